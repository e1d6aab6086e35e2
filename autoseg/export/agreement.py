"""Whether an exported form gives what its network gives."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

TOLERANCE = 1e-4
"""Largest norm of the logits' difference, as a share of the norm of the logits. Both are float32,
and add in another order. Of networks that unpool, see `allowed_difference`."""

_UNPOOLINGS = (torch.ops.aten.max_unpool2d, torch.ops.aten.max_unpool3d)

SIZES = ((1, 161, 97), (3, 96, 136))
"""Images, height and width, as the network sees them, that every form is held against: neither is
what the graph was made with."""


class UnpoolingWatch(TorchDispatchMode):
    """Sees whether anything unpools while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.has_unpooled = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, and look at its name."""
        self.has_unpooled |= func.overloadpacket in _UNPOOLINGS
        return func(*args, **(kwargs or {}))


def allowed_difference(rounding: float, *, has_unpooled: bool) -> float:
    """Return the largest norm of the logits' difference, as a share of the norm of the logits.

    Where the two largest values of a window are closer than rounding, another may be the largest,
    and unpooling puts a value elsewhere. Of a share p of the windows that are so, the norm of the
    difference is about sqrt(p): each value that moved counts whole.

    Args:
        rounding: What is allowed where nothing unpools.
        has_unpooled: Whether the network unpools: the share of windows that may change is then what
            others may differ by.
    """
    return math.sqrt(rounding) if has_unpooled else rounding


class DisagreementError(RuntimeError):
    """An exported form gives other logits than its network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How far an exported form is from its network."""

    largest_error: float
    """Over all sizes, the largest norm of the difference over the norm of the logits."""
    allowed: float
    """How large that might be."""
    equal_labels: float
    """Share of all pixels that have the same class."""
    sizes: tuple[tuple[int, int, int], ...]
    """How many images were compared, with their height and width."""

    def __str__(self) -> str:
        """Say it in one line."""
        sizes = ", ".join(f"{count} of {height} x {width}" for count, height, width in self.sizes)
        return (
            f"logits differ by {self.largest_error:.1e} of their norm ({self.allowed:g} allowed), "
            f"{100 * self.equal_labels:.3f} % of the labels are equal ({sizes})"
        )


def random_batches(num_channels: int, image_scale: float) -> Iterator[NDArray[np.uint8]]:
    """Yield random images, uint8 (N, H, W, C), that the network sees in each of `SIZES`.

    Args:
        num_channels: C.
        image_scale: Factor on the images' sides before the network sees them.
    """
    generator = np.random.default_rng(0)
    for count, height, width in SIZES:
        sides = (math.ceil(height / image_scale), math.ceil(width / image_scale))
        yield generator.integers(256, size=(count, *sides, num_channels), dtype=np.uint8)


def require_agreement(
    run: Callable[[NDArray[np.uint8]], Sequence[NDArray[Any]]],
    network: nn.Module,
    *,
    form: str,
    batches: Iterable[NDArray[np.uint8]],
    rounding: float = TOLERANCE,
) -> Agreement:
    """Hold an exported form against its network.

    Args:
        run: Maps images uint8 (N, H, W, C) to logits and labels.
        network: A `SegmentationGraph` in eval mode.
        form: What the form is called in the message.
        batches: Images, one or more times (N, H, W, C).
        rounding: What logits may differ by, as a share of their norm.

    Raises:
        DisagreementError: If the logits differ by more than is allowed.
    """
    largest, allowed, num_equal, num_pixels = 0.0, rounding, 0, 0
    counts: dict[tuple[int, int], int] = {}
    for images in batches:
        with torch.inference_mode(), UnpoolingWatch() as watch:
            expected, expected_labels = (each.numpy() for each in network(torch.from_numpy(images)))
        logits, labels = run(images)
        if logits.shape != expected.shape:
            raise DisagreementError(
                f"{form}: images {images.shape} give logits {logits.shape} where the network gives "
                f"{expected.shape}; this form was not written."
            )
        difference = float(np.linalg.norm(logits - expected) / np.linalg.norm(expected))
        # Places are decided in float32, whatever else is rounded to.
        moved = allowed_difference(TOLERANCE, has_unpooled=watch.has_unpooled)
        allowed = max(rounding, moved)
        if not difference <= allowed:  # NaN included
            raise DisagreementError(
                f"{form}: on images {images.shape} the logits differ from the network's by "
                f"{difference:.1e} of their norm, more than {allowed:g}; this form was not "
                "written."
            )
        largest = max(largest, difference)
        num_equal += int((labels == expected_labels).sum())
        num_pixels += labels.size
        count, height, width, _ = images.shape
        counts[height, width] = counts.get((height, width), 0) + count
    return Agreement(
        largest_error=largest,
        allowed=allowed,
        equal_labels=num_equal / num_pixels,
        sizes=tuple((count, *size) for size, count in counts.items()),
    )
