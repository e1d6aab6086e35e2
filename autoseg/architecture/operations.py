"""The table of candidate operations: what each is, and what everything else derives from.

Operations that differ in kernel size alone are a family. Families are what the fast code knows: the
supernet evaluates all operations of one together, in plain operators, C++ and Triton alike
(`autoseg.supernet`), and `autoseg.ops` builds them for a derived network. Two families of atrous
convolution stand beside each other because their parameter counts differ: `dil_conv` is depthwise
separable (DARTS), `atrous_conv` is a full convolution (Auto-DeepLab's released network).

Anybody can add an operation of no family: `register_operation`, docs/adding_operations.md.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from autoseg.errors import UsageError
from autoseg.foreign_text import shown

NO_OPERATION = "none"
"""The operation that means "no connection"; it takes part in the softmax and is never decoded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Operations that differ in kernel size alone."""

    name: str
    """First part of its operations' names."""
    label: str
    """First part of their labels in drawings."""
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


Builder = Callable[[int, int], nn.Module]
"""From channels C and stride (1 or 2) to a module that maps (N, C, H, W) to as many channels, with
height and width over the stride, rounded up, and leaves its input as it is."""

MAX_NAME, MAX_LABEL = 40, 14


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One candidate operation."""

    name: str
    """Name in spaces and architectures."""
    label: str
    """Name in drawings."""
    description: str
    """What the operation computes."""
    family: Family | None = None
    """None for "none", which is evaluated nowhere, and for a registered operation."""
    kernel_size: int = 1
    """Rows and columns of its kernel or window, of an operation of a family."""
    build: Builder | None = None
    """Builds the modules that evaluate a registered operation; None for the others."""

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


OWN_REMEDY = "An operation of one's own is known after --import FILE.py; docs/adding_operations.md."
"""What to do where a name is not in the table."""


def operations_of(family: Family) -> tuple[Operation, ...]:
    """Return a family's operations, smallest kernel first."""
    members = [operation for operation in OPERATIONS.values() if operation.family == family]
    return tuple(sorted(members, key=lambda operation: operation.kernel_size))


def register_operation(
    name: str, build: Builder, *, description: str, label: str | None = None
) -> None:
    """Add an operation that spaces and architectures can then name.

    The supernet evaluates it edge by edge, by its own modules, whatever the back end; a derived
    network is built from them too. The same function may register its operation again, as when a
    notebook's cell is run twice.

    Args:
        name: Lower-case letters, digits and underscores.
        build: Called as `build(channels, stride)`; see `Builder`. In a search the batch norms of
            its modules lose their learned scale and shift, as those of all operations do.
        description: Its definition in a few words.
        label: What drawings write; the name without underscores, cut where it is long, if None.

    Raises:
        UsageError: If the name or the label cannot be one, or the name is taken.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) > MAX_NAME:
        raise UsageError(
            f"register_operation: name {shown(name)}, but it must be lower-case letters, digits "
            f"and underscores, a letter first, at most {MAX_NAME} of them."
        )
    if label is None:
        label = name.replace("_", " ")
        if len(label) > MAX_LABEL:
            label = f"{label[: MAX_LABEL - 1]}\N{HORIZONTAL ELLIPSIS}"
    if not label.isprintable() or not 1 <= len(label) <= MAX_LABEL:
        raise UsageError(
            f"register_operation: {name} has the label {shown(label)}, but drawings have room for "
            f"1 to {MAX_LABEL} printable characters."
        )
    before = OPERATIONS.get(name)
    if before is not None and (before.build is None or _origin(before.build) != _origin(build)):
        by = "comes with autoseg" if before.build is None else f"is {_origin(before.build)}'s"
        raise UsageError(f"register_operation: the name {name!r} {by}; choose another one.")
    OPERATIONS[name] = Operation(name=name, label=label, description=description, build=build)


def _origin(build: Builder) -> str:
    """Name the function or class that builds an operation."""
    named = build if hasattr(build, "__qualname__") else type(build)
    return f"{named.__module__}.{named.__qualname__}"
