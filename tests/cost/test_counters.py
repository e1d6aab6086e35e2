"""The two other counters: their tabled totals, their silence, and what they leave behind."""

import copy
import logging
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from autoseg.cost import ToolCount, count_macs_fvcore, count_macs_thop, explain_macs

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
    """A 1x1 convolution to 4 channels, pooling and its reverse, a 1x1 convolution to 5."""

    def __init__(self, sides: int, kernel: int, padding: int, unpool: str) -> None:
        super().__init__()
        convolution, pool, module = (
            (nn.Conv1d, nn.MaxPool1d, nn.MaxUnpool1d),
            (nn.Conv2d, nn.MaxPool2d, nn.MaxUnpool2d),
            (nn.Conv3d, nn.MaxPool3d, nn.MaxUnpool3d),
        )[sides - 1]
        self.sides, self.unpool = sides, unpool
        self.first, self.last = convolution(3, 4, 1), convolution(4, 5, 1)
        self.pool = pool(kernel, stride=2, padding=padding, return_indices=True)
        self.module = module(kernel, stride=2, padding=padding)

    def forward(self, images: Tensor) -> Tensor:
        maps = {1: images.flatten(2), 2: images, 3: images[:, :, None].expand(-1, -1, 4, -1, -1)}
        features = self.first(maps[self.sides])
        pooled, indices = self.pool(features)
        if self.unpool == "function":  # as people write it, with the size of before
            size, kernel = features.shape[2:], self.module.kernel_size
            function = getattr(functional, f"max_unpool{self.sides}d")
            padding = self.module.padding
            whole = function(pooled, indices, kernel, 2, padding, output_size=size)
        elif self.unpool == "module":
            whole = self.module(pooled, indices)
        else:
            whole = self.module(pooled, indices, output_size=features.size())
        return self.last(whole)


@pytest.mark.parametrize("unpool", ["module", "module with size", "function"])
@pytest.mark.parametrize("sides", [1, 2, 3])
@pytest.mark.parametrize(("kernel", "padding"), [(2, 0), (3, 1)])
def test_unpooling_is_counted_to_the_unit(
    sides: int, kernel: int, padding: int, unpool: str
) -> None:
    network = Unpooling(sides, kernel, padding, unpool)
    # Kernel 3 with padding 1 makes 4 of 8 and gives 7 back, if nobody says that it was 8.
    short = 1 if kernel == 3 and unpool == "module" else 0
    before = {1: (48,), 2: (6, 8), 3: (4, 6, 8)}[sides]
    macs = math.prod(before) * 12 + math.prod(side - short for side in before) * 20
    assert count_macs_fvcore(network, (6, 8)).macs == macs
    assert explain_macs(network, (6, 8), device="cpu").fvcore.macs == macs


def test_unpooling_is_torchs_again_afterwards() -> None:
    functions = [getattr(functional, f"max_unpool{sides}d") for sides in (1, 2, 3)]
    count_macs_fvcore(Unpooling(2, 2, 0, "module"), (8, 8))
    count_macs_fvcore(Untraceable(), (8, 8))
    assert functions == [getattr(functional, f"max_unpool{sides}d") for sides in (1, 2, 3)]


class Untraceable(nn.Module):
    """Gives what is no tensor, which a tracer refuses in several lines."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 1)

    def forward(self, images: Tensor) -> object:
        return object() if self.convolution(images) is not None else images


def test_a_tool_that_raises_says_so_in_its_record() -> None:
    count = count_macs_fvcore(Untraceable(), (8, 8))
    assert count.macs is None
    assert count.failure is not None
    assert ": " in count.failure  # type and message
    assert "\n" not in count.failure
    assert count_macs_thop(Untraceable(), (8, 8)).macs == 64 * 12


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
