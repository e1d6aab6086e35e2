"""Latency tables: how one is measured, and how a search takes it."""

from dataclasses import replace
from pathlib import Path

from autoseg.architecture import Architecture, CellSpace, Space, load_space, preset_names
from autoseg.atomic import require_writable
from autoseg.cli import resolve_device
from autoseg.cli.console import announce
from autoseg.cli.outputs import refuse_replaced_input
from autoseg.commands.cpu_threads import pinned_threads
from autoseg.config import RETRAIN_PRESETS
from autoseg.distributed import is_first_process
from autoseg.errors import UsageError
from autoseg.pricing import (
    LatencyTable,
    Machine,
    PricedNetworks,
    cheapest,
    measure_table,
)
from autoseg.requests import LatencyRequest, SearchRequest
from autoseg.strategies import SearchTask
from autoseg.strategies.costs import networks_of

TABLE_NAME = "latency_table.json"
"""A search's copy of its table, in the run folder."""


def run_latency(request: LatencyRequest) -> str:
    """Measure a table, and write it.

    Returns:
        What to tell of it.

    Raises:
        UsageError: If the space has cells alone, the table would replace its file, or threads are
            given for a GPU.
    """
    device = resolve_device(request.device)
    has_preset = request.preset in preset_names(request.space)
    space: Space = load_space(request.space, preset=request.preset if has_preset else None)
    if isinstance(space, CellSpace):
        raise UsageError(
            f"--space {space.name}: the networks of a cell space have no prices; use a space with "
            "a trellis, such as autodeeplab."
        )
    refuse_replaced_input(request.out, inputs=[Path(request.space)])
    require_writable(request.out.parent)
    sizes = RETRAIN_PRESETS[request.preset]
    networks = PricedNetworks(
        space=space,
        image_size=request.size,
        num_classes=request.num_classes,
        in_channels=request.in_channels,
        filter_multiplier=sizes.filter_multiplier,
        width=sizes.width,
    )
    with pinned_threads(request.threads, device):
        announce(f"latency: on {Machine.here(device)}")
        table = measure_table(networks, device=device)
    table.write(request.out)
    prices = table.prices()
    least = cheapest(prices)
    return "\n".join(
        [
            f"wrote {request.out}: {len(table.parts)} parts{_doubt(table)}",
            f"The fastest architecture takes {prices.written(prices.cost(least))} by it:",
            str(least),
        ]
    )


def with_latency_table(task: SearchTask, request: SearchRequest, folder: Path) -> SearchTask:
    """Give a search the table that its settings ask for, and say what it is.

    Args:
        task: The search.
        request: Its settings.
        folder: Its run folder, which a search that is resumed has its table from.

    Raises:
        UsageError: If there is no table, or one of other networks, with the command that measures
            the right one; or if nothing asks for it.
        FileError: If the file is no latency table.
    """
    limit, target = request.max_latency, request.latency_target
    if limit is None and target is None and request.front_cost == "macs":
        if request.latency_table is not None:
            raise UsageError(
                f"--latency-table {request.latency_table}: nothing reads it; give --max-latency, "
                "--latency-weight and --latency-target, or --strategy nsga2 --front-cost latency, "
                "or leave it out."
            )
        return task
    networks = networks_of(task)
    path = folder / TABLE_NAME if request.resume else request.latency_table
    if path is None:
        raise UsageError(
            "latency is predicted from the times of the networks' parts on the machine that they "
            f"are meant for, and there is no --latency-table; measure one there with\n"
            f"{_measuring(networks, request)}"
        )
    table = LatencyTable.load(path)
    if differences := table.networks.differences(networks):
        raise UsageError(
            f"--latency-table {path}: it is of other networks than those of this search: "
            f"{'; '.join(differences)}. Measure one of these with\n{_measuring(networks, request)}"
        )
    announce(f"search: latency as on {table.machine}, by {path}{_doubt(table)}")
    if others := table.machine.differences(Machine.here(task.device)):
        announce(
            f"search: warning: the latency table is of another machine than this one "
            f"({'; '.join(others)}): what is predicted, and kept, is the latency there"
        )
    return replace(task, latency_table=table)


def keep_table(task: SearchTask, folder: Path) -> None:
    """Write a search's table, if it has one, into its run folder."""
    if task.latency_table is not None and is_first_process():
        task.latency_table.write(folder / TABLE_NAME)


def predicted_latency(task: SearchTask, found: object) -> dict[str, float]:
    """Say the latency of what was found, and return it for the record; nothing without a table."""
    table = task.latency_table
    if table is None:
        return {}
    assert isinstance(found, Architecture)
    prices = table.prices()
    cost = prices.cost(found)
    announce(f"search: what was found takes {prices.written(cost)} by the latency table")
    return {"predicted_latency_ms": cost / 1e6}


def _measuring(networks: PricedNetworks, request: SearchRequest) -> str:
    """Write the command that measures the networks of a search."""
    assert request.preset != "auto"
    return LatencyRequest(
        space=request.space,
        preset=request.preset,
        size=networks.image_size,
        num_classes=networks.num_classes,
        in_channels=networks.in_channels,
    ).command()


def _doubt(table: LatencyTable) -> str:
    """Say how many times are in doubt, to follow the table's name."""
    if table.num_unsteady == 0:
        return ""
    return (
        f"; the times of {table.num_unsteady} of its {len(table.parts)} parts are in doubt, for "
        "the machine's speed varied meanwhile"
    )
