"""The predictions against the tools themselves, to the unit."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.cost import MacPrediction, count_macs_fvcore, count_macs_thop, explain_macs
from autoseg.ops import pool_with_indices, unpool


class Lambda(nn.Module):
    """A function as a network; it sees a kernel (4, 3, 3, 3) and a matrix (3, 5)."""

    def __init__(self, function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.kernel = nn.Parameter(torch.ones(4, 3, 3, 3))
        self.matrix = nn.Parameter(torch.ones(3, 5))

    def forward(self, images: Tensor) -> Tensor:
        return self.function(images, self.kernel, self.matrix)


class OwnConvolution(nn.Conv2d):
    """A subclass, which thop does not recognise."""


class Mixed(nn.Module):
    """A small segmentation network with something for every rule."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8))
        self.depthwise = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8)
        self.pool = nn.AdaptiveAvgPool2d(6)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.learnt_up = nn.ConvTranspose2d(8, 6, 4, 2, 1, groups=2, bias=False)
        self.head = OwnConvolution(6, 20, 1)
        self.shuffle = nn.PixelShuffle(2)
        self.softmax = nn.Softmax(dim=1)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.stem(images))
        pooled = F.interpolate(
            self.pool(features), size=features.shape[2:], mode="bilinear", align_corners=False
        )
        features = self.up(self.depthwise(features + pooled))
        logits = self.shuffle(self.head(self.learnt_up(features)))
        return self.softmax(F.interpolate(logits, size=images.shape[2:], mode="nearest"))


NETWORKS = {
    "conv": nn.Conv2d(3, 8, 3, padding=1),
    "conv, padding same": nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.Conv2d(4, 2, 1)),
    "conv subclass": OwnConvolution(3, 4, 3),
    "transposed conv": nn.ConvTranspose2d(3, 6, 4, 2, 1, groups=3),
    "transposed conv, stride 1": nn.ConvTranspose2d(3, 6, 3),
    "batch norm": nn.BatchNorm2d(3),
    "batch norm without scale": nn.BatchNorm2d(3, affine=False),
    "batch norm without statistics": nn.BatchNorm2d(3, track_running_stats=False),
    "group norm": nn.GroupNorm(3, 3),
    "layer norm": nn.LayerNorm(18),
    "layer norm without scale": nn.LayerNorm(18, elementwise_affine=False),
    "instance norm": nn.InstanceNorm2d(3, affine=True),
    "bilinear module": nn.Upsample(scale_factor=2, mode="bilinear"),
    "bilinear module, old": nn.UpsamplingBilinear2d(size=(7, 9)),
    "nearest module": nn.Upsample(scale_factor=2),
    "exact nearest module": nn.Upsample(scale_factor=2, mode="nearest-exact"),
    "bicubic module": nn.Upsample(size=(9, 9), mode="bicubic"),
    "bilinear function": Lambda(lambda x, k, m: F.interpolate(x, size=(7, 9), mode="bilinear")),
    "antialiased": Lambda(
        lambda x, k, m: F.interpolate(x, size=(7, 9), mode="bilinear", antialias=True)
    ),
    "nearest function": Lambda(lambda x, k, m: F.interpolate(x, size=(7, 9))),
    "adaptive pool": nn.AdaptiveAvgPool2d(5),
    "adaptive pool to 1": nn.AdaptiveAvgPool2d(1),
    "global mean": Lambda(lambda x, k, m: x.mean((2, 3))),
    "average and max pool": nn.Sequential(nn.AvgPool2d(3, 2), nn.MaxPool2d(2)),
    "softmax": nn.Softmax(dim=1),
    "softmax, last axis": nn.Softmax(dim=-1),
    "activations": nn.Sequential(nn.ReLU(), nn.PReLU(), nn.LeakyReLU(), nn.Sigmoid()),
    "unpooling": Lambda(lambda x, k, m: unpool(*pool_with_indices(x), x.shape[2:])),
    "pixel shuffle": nn.Sequential(nn.Conv2d(3, 8, 1), nn.PixelShuffle(2)),
    "linear": nn.Linear(18, 4),
    "functional conv": Lambda(lambda x, k, m: F.conv2d(x, k, padding=1)),
    "functional linear": Lambda(lambda x, k, m: F.linear(x.mean((2, 3)), m.T)),
    "matmul": Lambda(lambda x, k, m: x.flatten(2).transpose(1, 2) @ m),
    "matmul, left broadcast": Lambda(lambda x, k, m: m.T @ x.flatten(2)),
    "bmm": Lambda(lambda x, k, m: torch.bmm(x.flatten(2), x.flatten(2).transpose(1, 2))),
    "grid sample": Lambda(
        lambda x, k, m: F.grid_sample(x, x[:, :2].permute(0, 2, 3, 1), align_corners=False)
    ),
    "mixed": Mixed(),
}


def check(prediction: MacPrediction, actual: int | None) -> None:
    assert actual is not None
    assert prediction.macs == actual
    assert prediction.unmodelled == ()
    assert all(term.macs != 0 for term in prediction.terms)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch_size", [1, 2])
def test_both_totals_are_predicted_to_the_unit(name: str, batch_size: int) -> None:
    network, size = NETWORKS[name], (14, 18)
    explanation = explain_macs(network, size, batch_size=batch_size)
    fvcore = count_macs_fvcore(network, size, batch_size=batch_size)
    thop = count_macs_thop(network, size, batch_size=batch_size)
    check(explanation.fvcore, fvcore.macs)
    check(explanation.thop, thop.macs)


def test_the_terms_are_those_worked_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ConvTranspose2d(8, 2, 2, 2)
    )
    explanation = explain_macs(network, (10, 10))
    convolution, transposed = 100 * 24, 100 * 8 * 2 * 4
    assert explanation.canonical.macs == convolution + transposed
    assert [term.macs for term in explanation.fvcore.terms] == [2 * 800]
    assert explanation.fvcore.terms[0].reason.startswith("batch norm")
    terms = {term.reason.split(":")[0]: term.macs for term in explanation.thop.terms}
    assert terms == {
        "transposed convolution": 3 * transposed,  # the output has four times the positions
        "normalisation modules": 4 * 800,
    }


def test_a_module_in_two_places_is_counted_four_times_by_thop() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 3, 1)
            self.body = nn.Sequential(self.first)

        def forward(self, images: Tensor) -> Tensor:
            return self.body(images)

    explanation = explain_macs(Twice(), (4, 4))
    check(explanation.thop, count_macs_thop(Twice(), (4, 4)).macs)
    assert explanation.thop.macs == 4 * explanation.canonical.macs


def test_what_is_not_modelled_is_named() -> None:
    network = Lambda(lambda x, k, m: torch.einsum("nchw,ck->nkhw", x, m))
    assert explain_macs(network, (4, 4)).fvcore.unmodelled == ("aten.einsum.default",)
    recurrent = nn.Sequential(nn.Flatten(1, 2), nn.GRU(4, 5, batch_first=True))
    assert explain_macs(recurrent, (4, 4)).thop.unmodelled == ("GRU",)


def test_a_large_image_is_predicted_from_shapes_alone() -> None:
    # fvcore would have to compute this pass on real tensors. Nothing in Mixed depends on the size
    # except through its shapes, so every per-pixel term scales with the area.
    small, large = (explain_macs(Mixed(), size) for size in ((16, 32), (1024, 2048)))
    area = (1024 * 2048) // (16 * 32)
    assert large.canonical.macs == area * small.canonical.macs
    # Pooling to 6 x 6 reads every pixel in fvcore's price, so all of its terms scale as well.
    assert large.fvcore.macs == area * small.fvcore.macs
