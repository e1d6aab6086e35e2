"""Rows of an earlier comparison, of this machine or of another one, read from its compare.json."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from autoseg.comparison.rows import BorderResult, ComparisonRow, NetworkComparison
from autoseg.errors import FileError, reading
from autoseg.json_file import read_json
from autoseg.runs import schema

RECORD_FORMAT = "autoseg-comparison"
"""What a comparison's record calls itself."""
RECORD_VERSION = 2
"""2 added to each row the machine that it was measured on, and the trainings behind it."""

_WHAT = "a comparison's record"
_REMEDY = "compare again where it comes from, with this autoseg, and give the compare.json of that"


def earlier_networks(path: Path) -> list[NetworkComparison]:
    """Read what an earlier comparison measured; its pictures and single images are not kept.

    Args:
        path: Its compare.json.

    Returns:
        Its networks, a joined one as its trainings, so that more seeds may join them.

    Raises:
        FileError: If it is no comparison's record, is damaged, or is of an earlier autoseg.
        OSError: If the file system refuses.
    """
    record = read_json(path, _WHAT, remedy=_REMEDY)
    is_ours = isinstance(record, dict) and record.get("format") == RECORD_FORMAT
    if not isinstance(record, dict) or not is_ours:
        raise FileError(f"{path} is no comparison's record: its format is not {RECORD_FORMAT!r}.")
    if record.get("format_version") != RECORD_VERSION:
        raise FileError(
            f"{path} has format version {record.get('format_version')!r}, and this autoseg reads "
            f"{RECORD_VERSION}: {_REMEDY}."
        )
    with reading(path, _WHAT, remedy=_REMEDY):
        _RECORD(record, "")
        groups: Any = record["groups"]  # as _RECORD has checked
        networks = [_network(each) for group in groups for each in group["networks"]]
        return [training for network in networks for training in network.trainings]


def _network(values: Mapping[str, Any]) -> NetworkComparison:
    """Build a network from checked values, nan where a class has no IoU."""
    rows = tuple(_row(row) for row in values["rows"])
    num_classes = len(values["class_names"])
    ious = tuple(iou and _defined(iou, num_classes) for iou in values["class_iou"])
    borders = tuple(
        tuple(
            BorderResult(**{**result, "by_class": _defined(result["by_class"], num_classes)})
            for result in scores
        )
        for scores in values["borders"]
    )
    if not 1 <= len(rows) == len(ious) or len(borders) not in (0, len(rows)):
        raise ValueError("a network must have one list of class_iou, and of borders, for each row")
    return NetworkComparison(
        rows=rows,
        class_names=tuple(values["class_names"]),
        class_iou=ious,
        notes=tuple(values["notes"]),
        borders=borders,
        is_earlier=True,
        members=tuple(_network(member) for member in values["members"]),
    )


def _row(values: Mapping[str, Any]) -> ComparisonRow:
    # Whether it was measured elsewhere is a matter of the table that it stands in.
    names = {field.name for field in fields(ComparisonRow)} - {"measured_elsewhere"}
    known: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name in names
    }
    if known["num_seeds"] is not None and "weights" not in known:  # there was no choice yet
        known |= {"weights": "best", "is_chosen_on_split": known["split"] == "val"}
    return ComparisonRow(**known)


def _defined(values: list[float | None], num_classes: int) -> tuple[float, ...]:
    if len(values) != num_classes:
        raise ValueError(f"a score by class has {len(values)} values for {num_classes} classes")
    return tuple(math.nan if value is None else value for value in values)


def _check_of(hint: Any) -> schema.Check:
    """Return the check of a field by its type."""
    if get_origin(hint) is tuple:
        return schema.list_of(_check_of(get_args(hint)[0]))
    if NoneType in get_args(hint):
        return schema.optional(_check_of(next(a for a in get_args(hint) if a is not NoneType)))
    checks = {str: schema.text, bool: schema.flag, int: schema.whole(), float: schema.number()}
    return checks[hint]


def _row_check() -> schema.Check:
    hints = get_type_hints(ComparisonRow)
    checks = {field.name: _check_of(hints[field.name]) for field in fields(ComparisonRow)}
    late = {f.name for f in fields(ComparisonRow) if f.default is not MISSING}
    return schema.fields(
        {name: check for name, check in checks.items() if name not in late},
        {name: check for name, check in checks.items() if name in late},
    )


_SCORES = schema.list_of(schema.optional(schema.number()))
_BORDER = schema.fields(
    {
        "key": schema.text,
        "heading": schema.text,
        "mean": schema.optional(schema.number()),
        "by_class": _SCORES,
    }
)
_TRAINING = {
    "rows": schema.list_of(_row_check()),
    "class_names": schema.list_of(schema.text),
    "class_iou": schema.list_of(schema.optional(_SCORES)),
    "notes": schema.list_of(schema.text),
    "borders": schema.list_of(schema.list_of(_BORDER)),
}
_MEMBER = schema.fields({**_TRAINING, "members": schema.list_of(schema.mapping, length=0)})
_NETWORK = schema.fields({**_TRAINING, "members": schema.list_of(_MEMBER)})
_RECORD = schema.fields(
    {"groups": schema.list_of(schema.fields({"networks": schema.list_of(_NETWORK)}))}
)
