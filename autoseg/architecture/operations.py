"""The table of candidate operations: what each is, and what everything else derives from.

Operations that differ in kernel size alone are a family. Families are what the fast code knows: the
supernet evaluates all operations of one together, in plain operators, C++ and Triton alike
(`autoseg.supernet`), and `autoseg.ops` builds them for a derived network. Two families of atrous
convolution stand beside each other because their parameter counts differ: `dil_conv` is depthwise
separable (DARTS), `atrous_conv` is a full convolution (Auto-DeepLab's released network).
"""

from dataclasses import dataclass
from typing import Literal

NO_OPERATION = "none"
"""The operation that means "no connection"; it takes part in the softmax and is never decoded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Operations that differ in kernel size alone."""

    name: str
    """First part of its operations' names."""
    label: str
    """The same in drawings."""
    kind: Literal["identity", "pool", "separable", "full"]
    """What it computes: the state; a statistic of its neighbourhood; depthwise and pointwise
    convolutions; full convolutions. Convolutions come after a ReLU, and all but the state are
    followed by batch norm."""
    rate: int = 1
    """Atrous rate of its convolutions."""
    stages: tuple[str, ...] = ()
    """Names of its convolutions, in their order, in `autoseg.supernet.source_layout`."""


SKIP = Family(name="skip_connect", label="skip", kind="identity")
MAX_POOL = Family(name="max_pool", label="max pool", kind="pool")
AVG_POOL = Family(name="avg_pool", label="avg pool", kind="pool")
SEP_CONV = Family(name="sep_conv", label="sep", kind="separable", stages=("sep1", "sep2"))
DIL_CONV = Family(name="dil_conv", label="dil", kind="separable", rate=2, stages=("dil",))
ATROUS_CONV = Family(name="atrous_conv", label="atrous", kind="full", rate=2, stages=("atrous",))

FAMILIES = (SKIP, MAX_POOL, AVG_POOL, SEP_CONV, DIL_CONV, ATROUS_CONV)
"""In the order of their weights and batch norms in the supernet's flat tensors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One candidate operation."""

    name: str
    """As spaces and architectures write it."""
    label: str
    """As drawings write it."""
    description: str
    """Its definition."""
    family: Family | None = None
    """None for "none", which is evaluated nowhere."""
    kernel_size: int = 1
    """Rows and columns of its kernel or window."""

    @property
    def rate(self) -> int:
        """Atrous rate of its convolutions."""
        return 1 if self.family is None else self.family.rate


def _sized(family: Family, size: int, description: str) -> Operation:
    return Operation(
        name=f"{family.name}_{size}x{size}",
        label=f"{family.label} {size}x{size}",
        description=description,
        family=family,
        kernel_size=size,
    )


_SEPARABLE = "(ReLU, {0}x{0} depthwise, pointwise, batch norm) twice"
_DILATED = "ReLU, {0}x{0} depthwise at rate 2, pointwise, batch norm (DARTS)"
_ATROUS = "ReLU, full {0}x{0} convolution at rate 2, batch norm (Auto-DeepLab)"

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(name=NO_OPERATION, label=NO_OPERATION, description="no connection"),
        Operation(name=SKIP.name, label=SKIP.label, description="identity", family=SKIP),
        _sized(MAX_POOL, 3, "3x3 max pooling, then batch norm in the search"),
        _sized(
            AVG_POOL,
            3,
            "3x3 average pooling over the pixels inside the map, then batch norm in search",
        ),
        *(_sized(SEP_CONV, size, _SEPARABLE.format(size)) for size in (3, 5)),
        *(_sized(DIL_CONV, size, _DILATED.format(size)) for size in (3, 5)),
        *(_sized(ATROUS_CONV, size, _ATROUS.format(size)) for size in (3, 5)),
    )
}
"""Every operation that a space may list, by name."""


def operations_of(family: Family) -> tuple[Operation, ...]:
    """Return a family's operations, smallest kernel first."""
    members = [operation for operation in OPERATIONS.values() if operation.family is family]
    return tuple(sorted(members, key=lambda operation: operation.kernel_size))
