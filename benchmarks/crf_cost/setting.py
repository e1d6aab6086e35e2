"""Sizes, parameters and rows of the measurements."""

from dataclasses import dataclass, replace

from autoseg.crf import STOCK, CRFConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A size of image."""

    name: str
    """What options and tables call it."""
    height: int
    """Pixels."""
    width: int
    """Pixels."""
    num_classes: int
    """K."""

    @property
    def num_pixels(self) -> int:
        """Pixels of the image."""
        return self.height * self.width

    @property
    def label(self) -> str:
        """Name and sizes."""
        return f"{self.name} {self.height} x {self.width} x {self.num_classes}"


CASES = {
    case.name: case
    for case in (
        Case(name="small", height=120, width=160, num_classes=12),
        Case(name="camvid", height=360, width=480, num_classes=12),
        Case(name="voc", height=375, width=500, num_classes=21),
        Case(name="city", height=1024, width=2048, num_classes=19),
    )
}
"""Sizes by name; "small" is for the exact mode, which takes minutes at the others on a CPU."""

PARAMETER_SETS: dict[str, CRFConfig] = {
    "readme": STOCK["pydensecrf's readme"],
    "deeplab": STOCK["DeepLab"],
}
"""Parameters by name; the number of iterations is set for each row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What one row measures."""

    case: Case
    """The size."""
    parameters: str
    """Name of the parameter set."""
    num_iterations: int
    """Updates."""
    num_threads: int
    """Threads that torch may use on the CPU."""

    def crf_parameters(self) -> CRFConfig:
        """Return the parameters with this task's number of iterations."""
        return replace(PARAMETER_SETS[self.parameters], num_iterations=self.num_iterations)


@dataclass(frozen=True, kw_only=True, slots=True)
class CostRow:
    """Time and memory of one method on one task."""

    case: str
    height: int
    width: int
    num_classes: int
    parameters: str
    num_iterations: int
    num_threads: int
    method: str
    median_ms: float | None
    """From probabilities to marginals, everything included; None if it could not be measured."""
    min_ms: float | None
    max_ms: float | None
    num_repeats: int
    speedup: float | None
    """Median over the rounds of pydensecrf's time over this one; None without pydensecrf."""
    memory_mib: float | None
    """Most memory beyond what was held before, in a process of its own; None if not measured."""
    failure: str | None = None
    """Why there is no time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AccuracyRow:
    """Distance of one method from the exact CRF on one image, or on all of them."""

    parameters: str
    image: str
    """Name of the image; "all" for the pooled row."""
    method: str
    mean_error: float | None
    """Mean of |Q - exact Q| over pixels and classes; None for scores that are no distribution."""
    p999_error: float | None
    """99.9th percentile of the same."""
    argmax_share: float
    """Share of pixels whose most likely class differs."""
    mean_ratio: float | None = None
    """Mean error over pydensecrf's."""
    argmax_ratio: float | None = None
    """Argmax share over pydensecrf's."""
    worst_mean_ratio: float | None = None
    """In the pooled row, the largest ratio of mean errors of any image."""
    changed_share: float | None = None
    """Share of pixels that the exact CRF relabels."""
