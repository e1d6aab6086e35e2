"""Go on with a call that was stopped, from the record that it left."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from autoseg.cli.console import announce

from .setting import Row, Setting, Variant


class Unit(NamedTuple):
    """One variant in one setting, of those that one call measures."""

    variant: Variant
    space: str
    num_layers: int
    filter_multiplier: int
    num_nodes: int
    crop: int
    batch_size: int


def unit_of(setting: Setting, variant: Variant) -> Unit:
    """Return what `unit_of_row` returns of its row."""
    space = setting.space
    sizes = (space.num_layers, space.filter_multiplier, space.num_nodes)
    return Unit(variant, space.name, *sizes, setting.crop, setting.batch_size)


def unit_of_row(row: Row) -> Unit:
    """Return what a row was measured of."""
    return Unit(*(getattr(row, name) for name in Unit._fields))


def earlier_results(
    record: Path, run: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[Unit, Row]] | None:
    """Read what the same call has measured before it was stopped.

    Args:
        record: JSON file, as `write_results` writes it.
        run: `describe_run`'s result for this call.

    Returns:
        What the record says of its run, with the ceilings that all its rows are held against, and
        the rows. None where there is no record, or one of another command, commit, machine or
        version: rows of two such calls do not belong into one table.
    """
    if not record.exists():
        return None
    kept = json.loads(record.read_text(encoding="utf-8"))
    if _identity(kept) != _identity(run):
        announce(f"begins anew: {record} is of another command, commit, machine or version.")
        return None
    rows = [Row(**row) for row in kept["rows"]]
    first = {name: kept[name] for name in (*run, "ceilings")}
    return first, {unit_of_row(row): row for row in rows}


def _identity(run: Mapping[str, Any]) -> list[Any]:
    """List what is the same when a call goes on; a checkout is dirty once it has written rows."""
    names = ("command", "setting", "fused_backend", "peer_commit", "versions", "hardware")
    return [*(run[name] for name in names), (run["git"] or {}).get("commit")]
