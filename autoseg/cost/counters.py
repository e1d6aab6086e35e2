"""Other opinions on the MACs: torch's, fvcore's and thop's counters, run as they are.

fvcore and thop call "FLOPs" or "MACs" what is one multiply-accumulate for convolutions, and each
adds or drops other things; `autoseg.cost.explain_macs` predicts by how much. All need a network
that runs: fvcore traces it, which fails on meta tensors as soon as an operator's shapes are worked
out in Python (bilinear resizing is one), so real tensors are the default.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from autoseg.cost.recording import eval_copy, example_images

_UNPOOLINGS = {"max_unpool1d": 1, "max_unpool2d": 2, "max_unpool3d": 3}
"""torch's unpoolings, and the sides of the maps that each works on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCount:
    """What another counter says about one forward pass in eval mode."""

    tool: str
    """Name of the counter: "torch", "fvcore" or "thop"."""

    macs: int | None
    """Total in the counter's own convention; None if it failed."""

    failure: str | None
    """Error of the counter, type and first line; None if there was none."""

    image_size: tuple[int, int]
    """Height and width of the images, in pixels."""

    batch_size: int
    """Number of images in the pass."""


def count_macs_fvcore(
    network: nn.Module,
    image_size: tuple[int, int],
    *,
    batch_size: int = 1,
    device: str = "cpu",
) -> ToolCount:
    """Count with fvcore's `FlopCountAnalysis`; its messages are silenced.

    Args:
        network: Maps images (N, 3, H, W) to logits; counted on a copy in eval mode.
        image_size: Height and width in pixels; a real device really computes this pass.
        batch_size: N.
        device: Where the copy runs.

    Returns:
        fvcore's total, or why it has none.

    Raises:
        ValueError: If the size holds no pixel.
    """

    def total(copied: nn.Module, images: Tensor) -> float:
        from fvcore.nn import FlopCountAnalysis  # slow to import, and needed only here

        analysis = FlopCountAnalysis(copied, (images,))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        with _traceable_unpooling():
            return analysis.tracer_warnings("none").total()

    return _count("fvcore", total, network, image_size, batch_size=batch_size, device=device)


def count_macs_thop(
    network: nn.Module,
    image_size: tuple[int, int],
    *,
    batch_size: int = 1,
    device: str = "cpu",
) -> ToolCount:
    """Count with thop's `profile`; its messages are silenced.

    Args:
        network: Maps images (N, 3, H, W) to logits; counted on a copy in eval mode, on which thop
            leaves its hooks and buffers.
        image_size: Height and width in pixels.
        batch_size: N.
        device: Where the copy runs; thop only reads shapes, so "meta" does as well.

    Returns:
        thop's total, or why it has none.

    Raises:
        ValueError: If the size holds no pixel.
    """

    def total(copied: nn.Module, images: Tensor) -> float:
        import thop  # warns on import, and is needed only here

        return thop.profile(copied, (images,), verbose=False)[0]

    return _count("thop", total, network, image_size, batch_size=batch_size, device=device)


def count_macs_torch(
    network: nn.Module,
    image_size: tuple[int, int],
    *,
    batch_size: int = 1,
    device: str = "cpu",
) -> ToolCount:
    """Count with torch's `FlopCounterMode`, two FLOPs a multiply-accumulate.

    Args:
        network: Maps images (N, 3, H, W) to logits; counted on a copy in eval mode.
        image_size: Height and width in pixels; a real device really computes this pass.
        batch_size: N.
        device: Where the copy runs; what torch counts of fused operators depends on it.

    Returns:
        torch's total, or why it has none.

    Raises:
        ValueError: If the size holds no pixel.
    """

    def total(copied: nn.Module, images: Tensor) -> float:
        from torch.utils.flop_counter import FlopCounterMode  # late: it loads triton

        with FlopCounterMode(display=False) as counter:
            copied(images)
        return counter.get_total_flops() / 2

    return _count("torch", total, network, image_size, batch_size=batch_size, device=device)


@contextmanager
def _traceable_unpooling() -> Iterator[None]:
    """Let unpooling be traced: its check of sizes refuses tensors, which sizes are in a trace.

    For this process's other threads too, for which it computes the same.
    """
    with ExitStack() as undo:
        for name, num_sides in _UNPOOLINGS.items():
            plain = getattr(functional, name)
            undo.callback(setattr, functional, name, plain)
            setattr(functional, name, partial(_unpool, plain, num_sides))
        yield


def _unpool(
    plain: Callable[..., Tensor],
    num_sides: int,
    /,
    input: Tensor,
    indices: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Call an unpooling with its output's size in plain numbers; see `torch.nn.MaxUnpool2d`."""
    kernels, strides, paddings = (
        (each,) * num_sides if isinstance(each, int) else tuple(each)
        for each in (kernel_size, kernel_size if stride is None else stride, padding)
    )
    if output_size is None:
        sides = zip(input.shape[-num_sides:], kernels, strides, paddings, strict=True)
        output_size = [(side - 1) * step + kernel - 2 * pad for side, kernel, step, pad in sides]
    numbers = [int(side) for side in output_size]
    return plain(input, indices, kernels, strides, paddings, numbers)


def _count(
    tool: str,
    total: Callable[[nn.Module, Tensor], float],
    network: nn.Module,
    image_size: tuple[int, int],
    *,
    batch_size: int,
    device: str,
) -> ToolCount:
    """Run a tool on a copy, and turn whatever it raises into a record."""
    images = example_images(network, image_size, batch_size=batch_size, device=device)
    copied = eval_copy(network, device=device)
    macs, failure = None, None
    with _silence(), torch.no_grad():
        try:
            macs = total(copied, images)
        # Not ours to narrow: a tool may raise anything, and that it did is the result.
        except Exception as error:
            lines = str(error).strip().splitlines()
            failure = f"{type(error).__name__}: {lines[0] if lines else ''}"
    return ToolCount(
        tool=tool,
        macs=None if macs is None else int(macs),
        failure=failure,
        image_size=image_size,
        batch_size=batch_size,
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Keep a tool's warnings and log lines off the screen, for this process's other threads too."""
    previous, handlers = logging.root.manager.disable, list(logging.root.handlers)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
        # thop logs through functions that give a root logger without handlers a new one.
        logging.root.handlers[:] = handlers
