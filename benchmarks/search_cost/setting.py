"""What is measured, and what comes out of it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from autoseg.architecture import SearchSpace
from autoseg.training import ResolvedPrecision

Variant = Literal[
    "torch",
    "fused",
    "torch-recompute",
    "fused-recompute",
    "torch-graph",
    "fused-graph",
    "reference",
    "peer",
]
"""An implementation of the search step. torch and fused are back ends of `Supernet`; "-recompute"
evaluates cells again in the backward pass; "-graph" replays the whole step as one CUDA graph;
"reference" is `autoseg.supernet.reference`, edge by edge; "peer" is another project's supernet,
from its own checkout."""

OWN_VARIANTS: tuple[Variant, ...] = (
    "torch",
    "fused",
    "torch-recompute",
    "fused-recompute",
    "reference",
)
"""Variants that need nothing but this checkout."""

GRAPH_VARIANTS: tuple[Variant, ...] = ("torch-graph", "fused-graph")
"""Variants that need a GPU; their half-steps cannot be timed apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One size of the supernet and its input, on one machine."""

    space: SearchSpace
    """What is searched, with its numbers of layers, nodes and filters."""
    num_classes: int
    """K."""
    crop: int
    """Height and width of the images, in pixels."""
    batch_size: int
    """Images a half-step."""
    device: str
    """"cpu" or "cuda:N"."""
    precision: ResolvedPrecision
    """What convolutions and products are computed in."""
    num_threads: int
    """Threads of torch on the CPU."""
    peer: Path | None = None
    """Checkout of the peer, for its variant."""

    @property
    def label(self) -> str:
        """The sizes on one line."""
        space = self.space
        return (
            f"{space.name} L{space.num_layers} F{space.filter_multiplier} B{space.num_nodes}, "
            f"crop {self.crop}, batch {self.batch_size}"
        )

    def with_sizes(self, **sizes: int) -> "Setting":
        """Replace `crop` and `batch_size` here, and `num_layers` and the like in the space."""
        own = {name: sizes.pop(name) for name in ("crop", "batch_size") if name in sizes}
        return replace(self, space=replace(self.space, **sizes), **own)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTime:
    """Duration of one search step."""

    step_ms: float
    """Both half-steps, milliseconds."""
    weight_ms: float | None
    """Half-step of the weights: forward, backward, SGD; None where the step is one CUDA graph."""
    arch_ms: float | None
    """Half-step of alpha and beta: forward, backward, Adam; None as above."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calls:
    """Calls that one search step makes; see `search_cost.calls`."""

    num_operator_calls: int
    """Calls of torch's own operators that compute or copy."""
    num_kernel_calls: int
    """Calls of operators that are not torch's own."""
    num_free_calls: int
    """Views and allocations, in neither of the two."""
    num_gpu_kernels: int | None = None
    """Kernels that ran on the GPU, those of a replayed graph included; None on the CPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One variant in one setting."""

    setting: Setting
    """The sizes."""
    variant: Variant
    """The implementation."""
    warm_up: tuple[StepTime, ...] = ()
    """Steps before the counted ones."""
    times: tuple[StepTime, ...] = ()
    """Counted steps."""
    memory_mib: float | None = None
    """Peak during all these steps, beyond what was there before the first; None if not known."""
    calls: Calls | None = None
    """Calls of one further step."""
    failure: str | None = None
    """Why there is no measurement; None if there is one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of the table: a measurement, held against the others of the same setting."""

    variant: Variant
    space: str
    num_layers: int
    filter_multiplier: int
    num_nodes: int
    num_classes: int
    crop: int
    batch_size: int
    device: str
    precision: str
    num_threads: int
    num_repeats: int
    """Counted steps."""
    warm_up_ms: float | None
    """The first step, whatever is set up once included."""
    weight_min_ms: float | None
    weight_median_ms: float | None
    arch_min_ms: float | None
    arch_median_ms: float | None
    step_min_ms: float | None
    step_median_ms: float | None
    speedup_peer_min: float | None
    """The peer's smallest step time over this one's; None without the peer."""
    speedup_peer_median: float | None
    speedup_reference_min: float | None
    speedup_reference_median: float | None
    memory_mib: float | None
    memory_peer: float | None
    """The peer's peak memory over this one's."""
    memory_reference: float | None
    num_operator_calls: int | None
    num_kernel_calls: int | None
    gflop: float
    """Work that the step's mathematics needs, each result computed once."""
    floor_ms: float
    """Time below which this machine cannot do that work; see `search_cost.work`."""
    floor_share: float | None
    """Floor over smallest step time, in [0, 1]."""
    failure: str | None
    num_gpu_kernels: int | None = None
    """Kernels that ran on the GPU in one step."""
