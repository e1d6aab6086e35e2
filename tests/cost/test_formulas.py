"""Products that arrive as one operator cost the same on every device, by hand-worked formulas."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.cost import count_macs

N, L, E = 2, 12, 8  # images, tokens (3 x 4 pixels), width
HEADS, HIDDEN = 2, 16
SIZE = (3, 4)


class Calls(nn.Module):
    """Projects pixels to tokens (N, L, E), and hands them to a function."""

    def __init__(self, call, **modules) -> None:
        super().__init__()
        self.call = call
        self.project = nn.Linear(3, E)
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, images: Tensor) -> Tensor:
        return self.call(self, self.project(images.flatten(2).transpose(1, 2)))


PROJECTION = N * L * 3 * E
ATTENTION = 2 * N * L * L * E  # scores, and the sum that they weight, in all heads together
FOUR_PROJECTIONS = 4 * N * L * E * E
LSTM_WEIGHTS = 4 * HIDDEN * (E + HIDDEN)


def heads(tokens: Tensor) -> Tensor:
    return tokens.unflatten(2, (HEADS, E // HEADS)).transpose(1, 2)


def attend(module, tokens, **options):
    query = heads(tokens)
    return F.scaled_dot_product_attention(query, query, query, **options)


def attend_grouped(module, tokens):
    key = heads(tokens)
    return F.scaled_dot_product_attention(key.repeat(1, 2, 1, 1), key, key, enable_gqa=True)


def mask(module, tokens):
    allowed = torch.ones(L, L, dtype=torch.bool, device=tokens.device)
    return attend(module, tokens, attn_mask=allowed)


CASES = {
    "attention": (Calls(attend), ATTENTION),
    "causal attention": (Calls(lambda m, t: attend(m, t, is_causal=True)), ATTENTION),
    "masked attention": (Calls(mask), ATTENTION),
    "grouped attention": (Calls(attend_grouped), 2 * ATTENTION),
    "multi-head attention": (
        Calls(
            lambda m, t: m.inner(t, t, t, need_weights=False)[0],
            inner=nn.MultiheadAttention(E, HEADS, batch_first=True),
        ),
        FOUR_PROJECTIONS + ATTENTION,
    ),
    "multi-head attention with weights": (
        Calls(
            lambda m, t: m.inner(t, t, t)[0],
            inner=nn.MultiheadAttention(E, HEADS, batch_first=True),
        ),
        FOUR_PROJECTIONS + ATTENTION,
    ),
    "transformer encoder": (
        Calls(
            lambda m, t: m.inner(t),
            inner=nn.TransformerEncoder(
                nn.TransformerEncoderLayer(E, HEADS, HIDDEN, batch_first=True), 3
            ),
        ),
        3 * (FOUR_PROJECTIONS + ATTENTION + 2 * N * L * E * HIDDEN),
    ),
    "lstm": (
        Calls(lambda m, t: m.inner(t)[0], inner=nn.LSTM(E, HIDDEN, batch_first=True)),
        N * L * LSTM_WEIGHTS,
    ),
    "lstm of two layers and directions": (
        Calls(
            lambda m, t: m.inner(t)[0],
            inner=nn.LSTM(E, HIDDEN, 2, bidirectional=True, batch_first=True),
        ),
        N * L * 2 * (LSTM_WEIGHTS + 4 * HIDDEN * (2 * HIDDEN + HIDDEN)),
    ),
    "gru": (
        Calls(lambda m, t: m.inner(t)[0], inner=nn.GRU(E, HIDDEN, batch_first=True)),
        N * L * 3 * HIDDEN * (E + HIDDEN),
    ),
    "einsum": (Calls(lambda m, t: torch.einsum("nle,nke->nlk", t, t)), N * L * L * E),
    "matrix and vector": (Calls(lambda m, t: torch.mv(t[0], t[0, 0])), L * E),
    "dot": (Calls(lambda m, t: torch.dot(t[0, 0], t[0, 1])), E),
    "added products": (
        Calls(lambda m, t: torch.addbmm(t[0, :, :1], t, t.transpose(1, 2))),
        N * L * L * E,
    ),
    "added product of each": (
        Calls(lambda m, t: torch.baddbmm(t[:, :, :1], t, t.transpose(1, 2))),
        N * L * L * E,
    ),
}


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize("name", CASES)
def test_the_count_is_the_formulas_on_every_device(name, device):
    network, expected = CASES[name]
    count = count_macs(network, SIZE, batch_size=N, device=device)
    assert count.macs == PROJECTION + expected
    assert count.unmodelled == ()


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_product_without_a_formula_is_named(device):
    network = Calls(lambda m, t: m.inner(t, t), inner=nn.Bilinear(E, E, 5))
    count = count_macs(network, SIZE, batch_size=N, device=device)
    assert count.macs == PROJECTION
    assert count.unmodelled == ("aten.bilinear.default",)
    distances = count_macs(Calls(lambda m, t: torch.cdist(t, t)), SIZE, device=device)
    assert distances.unmodelled == ("aten.cdist.default",)


def test_an_operator_that_is_not_torchs_is_named():
    with torch.library._scoped_library("autoseg_test", "FRAGMENT") as library:
        library.define("square(Tensor x) -> Tensor")
        library.impl("square", lambda x: x @ x.transpose(1, 2), "CompositeExplicitAutograd")
        network = Calls(lambda m, t: torch.ops.autoseg_test.square(t))
        assert count_macs(network, SIZE, device="cpu").unmodelled == (
            "autoseg_test.square.default",
        )


def test_what_does_not_multiply_is_not_unmodelled():
    upsample = nn.Upsample(scale_factor=2, mode="bilinear")
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), upsample)
    assert count_macs(network, (9, 9), device="cpu").unmodelled == ()
