"""The two other counters: their tabled totals, their silence, and what they leave behind."""

import copy
import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from autoseg.cost import ToolCount, count_macs_fvcore, count_macs_thop

H, W = 64, 64
PIXELS = H * W

# Each tool's own convention, an operator at a time, worked out by hand from the shapes.
TABLE = [
    (nn.Conv2d(3, 8, 3, padding=1), PIXELS * 8 * 27, PIXELS * 8 * 27),
    (nn.ConvTranspose2d(3, 8, 4, 2, 1), PIXELS * 3 * 8 * 16, 4 * PIXELS * 3 * 8 * 16),
    (nn.BatchNorm2d(3), 2 * 3 * PIXELS, 4 * 3 * PIXELS),
    (nn.Upsample(scale_factor=2, mode="bilinear"), 4 * 12 * PIXELS, 11 * 12 * PIXELS),
    (nn.AdaptiveAvgPool2d(8), 3 * PIXELS, (8 * 8 + 1) * 3 * 8 * 8),
    (nn.Softmax(dim=1), 0, PIXELS * (3 * 3 - 1)),
    (nn.PReLU(), 0, 3 * PIXELS),
]


@pytest.mark.parametrize(("network", "fvcore", "thop"), TABLE)
def test_totals_of_single_operators(network: nn.Module, fvcore: int, thop: int) -> None:
    assert count_macs_fvcore(network, (H, W)).macs == fvcore
    assert count_macs_thop(network, (H, W)).macs == thop


def test_the_record_names_what_was_counted() -> None:
    network = nn.Conv2d(3, 2, 1)
    assert count_macs_thop(network, (4, 6), batch_size=3) == ToolCount(
        tool="thop", macs=3 * 24 * 6, failure=None, image_size=(4, 6), batch_size=3
    )
    fvcore = count_macs_fvcore(network, (4, 6), batch_size=3)
    assert (fvcore.tool, fvcore.macs, fvcore.image_size) == ("fvcore", 3 * 24 * 6, (4, 6))


def test_thop_counts_on_meta_what_it_counts_on_real_tensors() -> None:
    network = nn.Sequential(*(network for network, _, _ in TABLE[2:6]))
    real, meta = (count_macs_thop(network, (H, W), device=device) for device in ("cpu", "meta"))
    assert real.macs is not None
    assert real.macs == meta.macs


class Unpooling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 1)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        return self.unpool(*self.pool(self.convolution(images)))


def test_a_tool_that_raises_says_so_in_its_record() -> None:
    count = count_macs_fvcore(Unpooling(), (8, 8))
    assert count.macs is None
    assert count.failure is not None
    assert ": " in count.failure  # type and message
    assert "\n" not in count.failure
    assert count_macs_thop(Unpooling(), (8, 8)).macs == 64 * 12


@pytest.mark.parametrize("count", [count_macs_fvcore, count_macs_thop])
def test_the_network_is_not_touched(count: Callable[..., ToolCount]) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sigmoid())
    before = copy.deepcopy(network.state_dict())
    count(network, (8, 8))
    assert all(module.training for module in network.modules())
    # thop leaves total_ops behind on every module it has no rule for, here the sigmoid.
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(not module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("count", [count_macs_fvcore, count_macs_thop])
def test_tools_are_silent(
    count: Callable[..., ToolCount],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    # fvcore logs operators it does not know; thop warns about PReLU and logs a mode of resizing.
    resize = nn.Upsample(scale_factor=2, mode="nearest-exact")
    count(nn.Sequential(nn.Sigmoid(), nn.PReLU(), resize), (8, 8))
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    logging.getLogger("autoseg.tests").warning("afterwards logging works again")
    assert len(caplog.records) == 1


def test_tools_leave_the_root_logger_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    count_macs_thop(nn.Upsample(scale_factor=2, mode="nearest-exact"), (8, 8))
    assert logging.root.handlers == []


@pytest.mark.parametrize("count", [count_macs_fvcore, count_macs_thop])
def test_an_empty_image_is_refused(count: Callable[..., ToolCount]) -> None:
    with pytest.raises(ValueError, match="holds no pixel"):
        count(nn.Conv2d(3, 2, 1), (0, 8))
