"""How much work a search step is, and how fast this machine could do it.

Work is counted from the space alone, convolution by convolution; nothing is run. A multiply and an
add are two FLOPs. Pooling, normalisation, ReLU, resizing and sums are not in it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from autoseg.architecture import OPERATIONS, SearchSpace
from autoseg.cost import synchronised_clock

_BATCH_NORM_PASSES = 3  # write, read to normalise, read again in the backward pass


class Term(NamedTuple):
    """Convolutions that one gradient rule applies to."""

    flops: int
    """Floating point operations of the forward pass."""
    num_elements: int
    """Elements of the maps that batch norm reads behind them."""
    below_weights: bool
    """Whether a weight lies before the input, so that the weights' gradient passes through it."""
    below_arch: bool
    """Whether an alpha or beta lies before the input."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """Work of one search step."""

    forward_flops: int
    """One forward pass."""
    weight_flops: int
    """Forward, gradient of every weight, gradient of every input that a weight lies before."""
    arch_flops: int
    """Forward, gradient of every input that an alpha or beta lies before."""
    num_elements: int
    """Elements of all maps that a batch norm of a cell reads, in one forward pass."""

    @property
    def step_flops(self) -> int:
        """Operations of both half-steps."""
        return self.weight_flops + self.arch_flops

    def step_bytes(self, bytes_an_element: int) -> int:
        """Traffic of both half-steps if no map stays in a cache.

        Batch norm needs a whole map before it can pass on its first pixel. So each map in front of
        one is written, read to be normalised, and read again in the backward pass.
        """
        return 2 * _BATCH_NORM_PASSES * self.num_elements * bytes_an_element


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceilings:
    """What this machine reaches on the two simplest programs."""

    gflop_per_s: float
    """A large square matrix product, in the precision of the setting."""
    gb_per_s: float
    """A large copy; bytes read plus bytes written, 10**9."""

    def floor_ms(self, work: Work, *, bytes_an_element: int) -> float:
        """Return the time that the work or its traffic takes at the ceiling, milliseconds."""
        compute_s = work.step_flops / (1e9 * self.gflop_per_s)
        traffic_s = work.step_bytes(bytes_an_element) / (1e9 * self.gb_per_s)
        return 1000 * max(compute_s, traffic_s)


def count_work(
    space: SearchSpace, *, crop: int, batch_size: int, num_classes: int, is_shared: bool = True
) -> Work:
    """Count the work of a first-order search step.

    The weights' half-step is close to three forward passes, the architecture's to two: without the
    weights' gradients, and without any where nothing that is searched lies before.

    Args:
        space: Layers, nodes, filters, operations.
        crop: Height and width of the images.
        batch_size: N.
        num_classes: K.
        is_shared: Count each result once. False: as the paper's equations are written, where every
            edge is evaluated by itself for each input cell, the edges from the cell before the
            previous one and the pooling included.
    """
    terms = list(
        _terms(space, crop=crop, batch_size=batch_size, classes=num_classes, shared=is_shared)
    )
    return Work(
        forward_flops=sum(term.flops for term in terms),
        weight_flops=sum(term.flops * (2 + term.below_weights) for term in terms),
        arch_flops=sum(term.flops * (1 + term.below_arch) for term in terms),
        num_elements=sum(term.num_elements for term in terms),
    )


def _terms(
    space: SearchSpace, *, crop: int, batch_size: int, classes: int, shared: bool
) -> Iterator[Term]:
    half = (crop + 1) // 2
    sides = [(half + 1) // 2]
    for _ in space.strides[1:]:
        sides.append((sides[-1] + 1) // 2)
    pixels = [batch_size * side * side for side in sides]
    yield from _stem(space, num_pixels=(batch_size * half * half, pixels[0]))
    # Channels of each cell; layer -1 is the stem, which no alpha or beta lies before.
    widths = {(-1, 0): space.stem_channels[-1]}
    for layer in range(space.num_layers):
        for level, stride in enumerate(space.strides):
            sources = [
                edge.source_level
                for edge in space.trellis()
                if (edge.layer, edge.target_level) == (layer, level)
            ]
            if sources:
                widths[layer, level] = space.num_nodes * space.num_channels(stride)
                yield from _cell(space, widths, layer, level, sources, pixels[level], shared)
    last = space.num_layers - 1
    for level in range(space.num_levels):
        if (last, level) in widths:
            yield _head(widths[last, level], classes, pixels[level], batch_size)


def _stem(space: SearchSpace, *, num_pixels: tuple[int, int]) -> Iterator[Term]:
    first, second, third = space.stem_channels
    half, quarter = num_pixels
    yield Term(2 * 9 * 3 * first * half, 0, below_weights=False, below_arch=False)
    rest = 2 * 9 * (first * second * half + second * third * quarter)
    yield Term(rest, 0, below_weights=True, below_arch=False)


def _cell(
    space: SearchSpace,
    widths: dict[tuple[int, int], int],
    layer: int,
    level: int,
    sources: list[int],
    num_pixels: int,
    shared: bool,
) -> Iterator[Term]:
    """Count one cell: its input cells and its edges, for all input cells together."""
    channels, num_nodes = space.num_channels(space.strides[level]), space.num_nodes
    num_inputs = len(sources)
    below_arch = layer > 0
    for source in sources:
        kernel_area = 9 if source < level else 1  # 3x3 of stride 2 from the finer stride
        yield _input_cell(widths[layer - 1, source] * kernel_area, channels, num_pixels, below_arch)
    if (layer - 2, level) in widths:
        times = 1 if shared else num_inputs
        below = layer > 1
        for _ in range(times):
            yield _input_cell(widths[layer - 2, level], channels, num_pixels, below)
        yield _edges(space, channels, num_pixels, num_nodes, times, below, shared)
    for state in range(1, num_nodes + 1):
        # State 1 feeds every node, the node numbered state - 2 those after it.
        num_targets = num_nodes if state == 1 else num_nodes + 1 - state
        below = below_arch or state > 1
        yield _edges(space, channels, num_pixels, num_targets, num_inputs, below, shared)


def _input_cell(fan_in: int, channels: int, num_pixels: int, below_arch: bool) -> Term:
    return Term(2 * fan_in * channels * num_pixels, channels * num_pixels, True, below_arch)


def _edges(
    space: SearchSpace,
    channels: int,
    num_pixels: int,
    num_targets: int,
    num_inputs: int,
    below_arch: bool,
    shared: bool,
) -> Term:
    """Count all edges that leave one state, for all input cells that it was computed for."""
    flops = num_maps = 0
    for name in space.operations:
        family, area = OPERATIONS[name].family, OPERATIONS[name].kernel_size ** 2
        if OPERATIONS[name].build is not None:
            raise ValueError(f"count_work: the work of {name!r} does not follow from its name.")
        if family is None:
            continue
        if family.kind == "pool":
            num_maps += 1 if shared else num_targets
        is_separable = family.kind == "separable"
        macs = area * channels + channels**2 if is_separable else area * channels**2
        flops += 2 * macs * len(family.stages) * num_targets
        num_maps += len(family.stages) * num_targets
    return Term(
        flops * num_pixels * num_inputs,
        num_maps * channels * num_pixels * num_inputs,
        below_weights=True,
        below_arch=below_arch,
    )


def _head(width: int, classes: int, num_pixels: int, batch_size: int) -> Term:
    """Count ASPP with one rate (1x1, 3x3, image pooling, projection) and the classifier."""
    macs = num_pixels * ((1 + 9 + 3) * width**2 + width * classes) + batch_size * width**2
    return Term(2 * macs, 0, below_weights=True, below_arch=True)


def measure_ceilings(
    device: str, dtype: torch.dtype, *, matrix_side: int | None = None, copy_mib: int = 256
) -> Ceilings:
    """Measure a matrix product and a copy, the best of ten after one that is not counted.

    Args:
        device: "cpu" or "cuda:N".
        dtype: Precision of the matrices.
        matrix_side: Rows and columns; None: 2048 on the CPU, 8192 on a GPU.
        copy_mib: Size of the copied tensor; well above the caches.
    """
    side = matrix_side or (2048 if device == "cpu" else 8192)
    left, right, product = (torch.randn(side, side, device=device).to(dtype) for _ in range(3))
    product_s = _best_s(lambda: torch.mm(left, right, out=product), device)
    source = torch.ones(copy_mib * 2**20 // 4, device=device)
    target = torch.zeros_like(source)
    copy_s = _best_s(lambda: target.copy_(source), device)
    return Ceilings(
        gflop_per_s=2 * side**3 / product_s / 1e9, gb_per_s=2 * source.nbytes / copy_s / 1e9
    )


def _best_s(function: Callable[[], object], device: str, num_runs: int = 10) -> float:
    now = synchronised_clock(device, clock=time.perf_counter)
    function()
    best = float("inf")
    for _ in range(num_runs):
        start = now()
        function()
        best = min(best, now() - start)
    return best
