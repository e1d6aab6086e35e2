"""What a strategy builds for either kind of space, and what it can do with cells alone."""

from typing import Any

from autoseg.architecture import AnyArchitecture, Architecture, CellSpace, SearchSpace, Space
from autoseg.config import SearchConfig
from autoseg.errors import UsageError
from autoseg.proposers import ArchitectureDomain, CellDomain, Domain
from autoseg.strategies.macs import macs_limit
from autoseg.strategies.strategy import SearchTask
from autoseg.supernet import CellSupernet, Supernet

AnySupernet = Supernet | CellSupernet
"""Both kinds have `arch_parameters`, `weight_parameters`, `forward_weighted`, `decode` and
`decode_with_confidence`."""

_OF_A_TRELLIS = (
    *("beta_norm", "path_rule", "selection", "backend", "recompute_cells"),
    *("max_macs", "macs_weight", "macs_target"),
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


def build_supernet(task: SearchTask, *, recompute_cells: bool) -> AnySupernet:
    """Build the supernet of the task's space with random weights, on its device.

    Args:
        task: What is searched.
        recompute_cells: Evaluate the cells of a `Supernet` again in the backward pass; a
            `CellSupernet` keeps all it needs.
    """
    config, dataset = task.config, task.train_dataset
    if isinstance(task.space, CellSpace):
        return CellSupernet(
            task.space, num_classes=dataset.num_classes, in_channels=dataset.num_channels
        ).to(task.device)
    return Supernet(
        task.space,
        num_classes=dataset.num_classes,
        in_channels=dataset.num_channels,
        beta_norm=config.beta_norm,
        path_rule=config.path_rule,
        backend=task.backend,
        recompute_cells=recompute_cells,
    ).to(task.device)


def build_domain(task: SearchTask) -> Domain[Any]:
    """Return what can be proposed: the space's architectures, within a limit of MACs."""
    if isinstance(task.space, CellSpace):
        return CellDomain(task.space)
    return ArchitectureDomain(task.space, is_allowed=macs_limit(task))


def require_for_cells(task: SearchTask, *, whose: str, can_search: bool) -> None:
    """Refuse what does not search a cell space, and settings that it does not know.

    Args:
        task: What is searched; nothing is refused for a space with a trellis.
        whose: What would search it, for the message: "--strategy gumbel".
        can_search: Whether it searches cell spaces.

    Raises:
        UsageError: With what does.
    """
    if not isinstance(task.space, CellSpace):
        return
    if not can_search:
        raise UsageError(
            f"{whose} does not search a cell space such as {task.space.name!r}; use --strategy "
            "darts, darts2, robust, random, evolution or tpe, the last three with --estimator "
            "short or one without training, or take a space with a trellis (--space autodeeplab)."
        )
    defaults = SearchConfig()
    for name in _OF_A_TRELLIS:
        value = getattr(task.config, name)
        if value != getattr(defaults, name):
            raise UsageError(
                f"--{name.replace('_', '-')} {value}: it belongs to spaces with a trellis, and "
                f"{task.space.name!r} is a cell space; leave it out."
            )
