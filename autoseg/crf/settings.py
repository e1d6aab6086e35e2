"""Everything that a dense CRF is told before it sees an image, as one value."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from autoseg.crf.backend import check_backend
from autoseg.crf.kernels import (
    MODES,
    BilateralKernel,
    Kernel,
    SpatialKernel,
    Weight,
    check_std,
    is_number,
    plain_weight,
)
from autoseg.crf.linear import NORMALISATIONS
from autoseg.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from autoseg.crf.dense_crf import DenseCRF

Compatibility = Tensor | Sequence[Sequence[float]]
"""mu, the penalty of each label for each other, (K, K)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CRFConfig:
    """All that a dense CRF is built from; the defaults are those of DeepLab's release.

    The module, the operator, the kernels, a network's CRF layer and the records pass this value on
    as a whole, so that none of them can forget a part. It compares by value, and what its fields
    hold is plain: numbers, names, and tuples of them. docs/crf.md has the reasons.
    """

    bilateral_weight: Weight = 4.0
    """Initial weight of the appearance term, no unit, >= 0; or one for each class: the message
    about class l is multiplied by the l-th. (Learning does not keep any weight above zero.)"""
    bilateral_xy_std: float = 67.0
    """Standard deviation of the appearance term over positions, pixels."""
    bilateral_rgb_std: float = 3.0
    """Standard deviation of the appearance term over colours, in units of 0 to 255."""
    spatial_weight: Weight = 3.0
    """Initial weight or weights of the smoothness term, no unit, >= 0."""
    spatial_xy_std: float = 1.0
    """Standard deviation of the smoothness term over positions, pixels."""
    num_iterations: int = 10
    """Updates after Q_0 = softmax(logits), >= 0."""
    mode: str = "fast"
    """How the sums over all pixels are computed: "fast" by the permutohedral lattice, "accurate"
    by a denser one (less than half the error), "exact" pair by pair (up to about 240 x 180 pixels
    on a CPU), "local" over 11 x 11 pixels around each, for comparison with ConvCRF."""
    normalisation: str = "symmetric"
    """What divides each kernel K, with D = K 1: "symmetric" (D^-1/2 K D^-1/2), "before" (K D^-1),
    "after" (D^-1 K) or "none". With "none" a lattice keeps its own scale, on photographs about 0.6
    of the kernel's."""
    compatibility: Compatibility | None = None
    """Initial mu, (K, K), finite: the penalty of each label for each other, no unit. Its symmetric
    part is what is used, for all kernels. None for Potts, which is not learnt."""
    additional_kernels: Sequence[Kernel] = ()
    """Any number of kernels beside the two."""
    tolerance: float | None = None
    """Stop an image's updates after one that changes no probability by this much; None never
    does. On a GPU, each update then waits for the one before."""
    subsample_above: float | None = 100.0
    """Row sum of the bilateral kernels, about the number of pixels that are like a pixel, above
    which half of them are enough for an update of the compiled kernels for CPUs, if their first
    marginals are alike as well; None: never."""
    backend: str = "auto"
    """"fused" for kernels that are made for the device, "torch" for plain operators, "auto" for
    the fastest at hand."""
    recompute: bool = False
    """Whether the backward pass runs updates again instead of keeping all of them: memory for any
    number of updates is that of about two. Such a gradient cannot be differentiated again."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, and make every field plain.

        Raises:
            UsageError: If a number is out of its range or a name is unknown.
        """
        plain: dict[str, Any] = {}
        for name in ("bilateral_xy_std", "bilateral_rgb_std", "spatial_xy_std"):
            check_std(f"DenseCRF: {name}", getattr(self, name))
            plain[name] = float(getattr(self, name))
        for name in ("bilateral_weight", "spatial_weight"):
            plain[name] = plain_weight(f"DenseCRF: {name}", getattr(self, name))
        plain["additional_kernels"] = tuple(self.additional_kernels)
        plain["compatibility"] = _plain_compatibility(self.compatibility)
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        _check_num_iterations(self.num_iterations)
        object.__setattr__(self, "num_iterations", int(self.num_iterations))
        if self.mode not in MODES:
            raise unknown_name("DenseCRF mode", str(self.mode), MODES)
        if self.normalisation not in NORMALISATIONS:
            raise unknown_name("DenseCRF normalisation", str(self.normalisation), NORMALISATIONS)
        if self.tolerance is not None and not (
            is_number(self.tolerance) and 0 < self.tolerance < math.inf
        ):
            raise UsageError(
                f"DenseCRF: tolerance is {self.tolerance}; it must be finite and above 0, or None "
                "to never stop early."
            )
        if self.subsample_above is not None and not (
            is_number(self.subsample_above) and 0 <= self.subsample_above < math.inf
        ):
            raise UsageError(
                f"DenseCRF: subsample_above is {self.subsample_above}; it must be finite and at "
                "least 0, or None to compute every pixel in every update."
            )
        check_backend(self.backend, mode=self.mode)
        if not isinstance(self.recompute, bool):
            raise UsageError(f"DenseCRF: recompute is {self.recompute}; it must be True or False.")
        sizes = sorted(set(self._class_counts()))
        if len(sizes) > 1:
            raise UsageError(
                "DenseCRF: weights per class and the compatibility must be for one number of "
                f"classes; these are for {sizes}."
            )

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """All kernels, with their initial weights: bilateral, spatial, then the additional ones."""
        return (
            BilateralKernel(
                weight=self.bilateral_weight,
                xy_std=self.bilateral_xy_std,
                rgb_std=self.bilateral_rgb_std,
            ),
            SpatialKernel(weight=self.spatial_weight, xy_std=self.spatial_xy_std),
            *self.additional_kernels,
        )

    def with_iterations(self, num_iterations: int | None) -> "CRFConfig":
        """Return the same settings for another number of updates; None for these."""
        if num_iterations in (None, self.num_iterations):
            return self
        return replace(self, num_iterations=num_iterations)

    def build(self) -> "DenseCRF":
        """Build the CRF."""
        from autoseg.crf.dense_crf import DenseCRF  # it is built from settings

        return DenseCRF(**{field.name: getattr(self, field.name) for field in fields(self)})

    def to_json(self) -> str:
        """Write all fields as one line of JSON, from which `from_json` makes an equal value."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "CRFConfig":
        """Read what `to_json` has written."""
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CRFConfig":
        """Build settings from a record's values: `asdict(settings)`, or that from JSON.

        Fields that an older record does not name have their defaults.

        Raises:
            UsageError: If a name is unknown or a value is not as described.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise unknown_name("DenseCRF setting", name, known)
        kernels = values.get("additional_kernels", ())
        if not isinstance(kernels, Sequence):
            raise UsageError(
                f"DenseCRF: additional_kernels are {kernels}; they must be a list of kernels."
            )
        kernels = [_kernel_of(each) for each in kernels]
        return cls(**{**values, "additional_kernels": kernels})

    def __str__(self) -> str:
        """Write in one line the fields up to the mode, and others that are not the defaults."""
        shown = []
        for number, field in enumerate(fields(self)):
            value = getattr(self, field.name)
            if number < _NUM_ALWAYS_SHOWN or value != field.default:
                shown.append(f"{field.name} {_shown(value)}")
        return ", ".join(shown)

    def _class_counts(self) -> Iterator[int]:
        """Yield each number of classes that a field is for."""
        for kernel in self.kernels:
            if isinstance(kernel.weight, tuple):
                yield len(kernel.weight)
        if self.compatibility is not None:
            yield len(self.compatibility)


_NUM_ALWAYS_SHOWN = 7


def _check_num_iterations(num_iterations: int) -> None:
    if not isinstance(num_iterations, Integral) or isinstance(num_iterations, bool):
        raise UsageError(
            f"DenseCRF: num_iterations is {num_iterations}; it must be a whole number."
        )
    if num_iterations < 0:
        raise UsageError(
            f"DenseCRF: num_iterations is {num_iterations}; it must not be negative "
            "(0 returns the softmax of the logits)."
        )


def _plain_compatibility(
    compatibility: Compatibility | None,
) -> tuple[tuple[float, ...], ...] | None:
    """Return a compatibility as a tuple of rows, rounded to float32 as the parameter will be."""
    if compatibility is None:
        return None
    if isinstance(compatibility, Tensor) and compatibility.is_meta:
        raise UsageError(
            "DenseCRF: compatibility is on the meta device, where it has no values; give it as a "
            "sequence of rows."
        )
    try:
        matrix = torch.as_tensor(compatibility, dtype=torch.float32, device="cpu").detach()
    except (TypeError, ValueError) as error:  # ragged rows, or no numbers
        raise UsageError(f"DenseCRF: compatibility is no matrix of numbers: {error}.") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise UsageError(
            f"DenseCRF: compatibility has shape {tuple(matrix.shape)}; it must be (K, K)."
        )
    if not torch.isfinite(matrix).all():
        raise UsageError("DenseCRF: compatibility must be finite; it has an infinity or NaN.")
    return tuple(map(tuple, matrix.tolist()))


def _kernel_of(values: Kernel | Mapping[str, Any]) -> Kernel:
    """Return the kernel that a record describes; one with a deviation over colours is bilateral."""
    if isinstance(values, Kernel):
        return values
    if not isinstance(values, Mapping):
        raise UsageError(f"DenseCRF: an additional kernel is {values}; it must be a kernel.")
    kind = BilateralKernel if "rgb_std" in values else SpatialKernel
    names = {field.name for field in fields(kind)}
    if set(values) != names:
        raise UsageError(
            f"DenseCRF: an additional kernel has {', '.join(values) or 'nothing'}; it needs "
            f"{', '.join(sorted(names))}."
        )
    return kind(**values)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


STOCK: dict[str, CRFConfig] = {
    "DeepLab": CRFConfig(),
    "pydensecrf's readme": CRFConfig(
        bilateral_weight=10.0,
        bilateral_xy_std=80.0,
        bilateral_rgb_std=13.0,
        spatial_weight=3.0,
        spatial_xy_std=3.0,
        num_iterations=5,
    ),
}
"""Settings in wide use, by where they come from."""
