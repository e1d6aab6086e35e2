"""What a strategy builds for either kind of space, and what it can do with cells alone."""

from typing import Any

from autoseg.architecture import AnyArchitecture, Architecture, CellSpace, SearchSpace, Space
from autoseg.config import SearchConfig
from autoseg.errors import UsageError
from autoseg.proposers import ArchitectureDomain, CellDomain, Domain
from autoseg.strategies.costs import cost_limit
from autoseg.strategies.strategy import SearchTask
from autoseg.supernet import CellSupernet, Supernet

AnySupernet = Supernet | CellSupernet
"""Both kinds have `arch_parameters`, `weight_parameters`, `forward_weighted`, `decode` and
`decode_with_confidence`."""

TRELLIS_ONLY = frozenset(
    {
        *("beta_norm", "path_rule", "selection", "backend", "recompute_cells"),
        *("max_latency", "latency_weight", "latency_target", "latency_table", "front_cost"),
    }
)
"""Settings that a search over cells alone does not know."""


def trellis_space(space: Space) -> SearchSpace:
    """Return the space where `require_for_cells` has let none but those with a trellis pass."""
    assert isinstance(space, SearchSpace)
    return space


def trellis_supernet(supernet: AnySupernet) -> Supernet:
    """Return the supernet; as `trellis_space`."""
    assert isinstance(supernet, Supernet)
    return supernet


def trellis_architecture(architecture: AnyArchitecture) -> Architecture:
    """Return the architecture; as `trellis_space`."""
    assert isinstance(architecture, Architecture)
    return architecture


def build_supernet(
    task: SearchTask,
    *,
    recompute_cells: bool,
    partial_channels: int = 1,
    edge_normalisation: bool = False,
    trellis_type: type[Supernet] = Supernet,
    cells_type: type[CellSupernet] = CellSupernet,
) -> AnySupernet:
    """Build the supernet of the task's space with random weights, on its device.

    Args:
        task: What is searched.
        recompute_cells: Evaluate the cells of a `Supernet` again in the backward pass; a
            `CellSupernet` keeps all it needs.
        partial_channels: One of so many channels goes through the operations of a `Supernet`.
        edge_normalisation: Whether the edges of a `Supernet`'s cell are weighed by gamma.
        trellis_type: What is built for a space with a trellis.
        cells_type: What is built for a cell space.
    """
    config, dataset = task.config, task.train_dataset
    if isinstance(task.space, CellSpace):
        return cells_type(
            task.space, num_classes=dataset.num_classes, in_channels=dataset.num_channels
        ).to(task.device)
    return trellis_type(
        task.space,
        num_classes=dataset.num_classes,
        in_channels=dataset.num_channels,
        beta_norm=config.beta_norm,
        path_rule=config.path_rule,
        backend=task.backend,
        recompute_cells=recompute_cells,
        partial_channels=partial_channels,
        edge_normalisation=edge_normalisation,
    ).to(task.device)


def build_domain(task: SearchTask) -> Domain[Any]:
    """Return what can be proposed: the space's architectures, within a limit of cost."""
    limit = cost_limit(task)
    is_allowed = None if limit is None else limit.allows
    if isinstance(task.space, CellSpace):
        return CellDomain(task.space, is_allowed=is_allowed)
    return ArchitectureDomain(task.space, is_allowed=is_allowed)


def require_for_cells(task: SearchTask) -> None:
    """Refuse settings that a search over cells alone does not know, where they say something.

    Raises:
        UsageError: With the setting.
    """
    if not isinstance(task.space, CellSpace):
        return
    defaults = SearchConfig()
    for name in sorted(TRELLIS_ONLY):
        value = getattr(task.config, name)
        if value != getattr(defaults, name):
            raise UsageError(trellis_only(name, value, task.space))


def trellis_only(setting: str, value: object, space: CellSpace) -> str:
    """Say that a setting means nothing in a cell space."""
    return (
        f"--{setting.replace('_', '-')} {value}: it belongs to spaces with a trellis, and "
        f"{space.name!r} is a cell space; leave it out."
    )


def not_for_cells(whose: str, space: CellSpace, *, instead: str) -> str:
    """Say that something does not work in a cell space, and what does."""
    return (
        f"{whose} does not search a cell space such as {space.name!r}; use {instead}, or take a "
        "space with a trellis (--space autodeeplab)."
    )
