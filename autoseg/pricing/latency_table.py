"""How long each part of a space's networks takes on one machine: a file that searches read."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch

from autoseg.architecture import SearchSpace
from autoseg.architecture.limits import MAX_CHANNELS
from autoseg.atomic import atomic_write
from autoseg.errors import FileError, UsageError, reading
from autoseg.foreign_text import printable
from autoseg.json_file import read_json
from autoseg.pricing.parts import PricedNetworks, assemble, parts_of
from autoseg.pricing.prices import Prices
from autoseg.runs import processor_name, schema

_WHAT = "a latency table that this autoseg can read"
_REMEDY = "measure it again with `python -m autoseg.latency`"
_FORMAT = 1
_MAX_SIDE = 16_384
_MAX_MS = 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What a latency is of, besides the network."""

    processor: str
    """Model of the CPU or GPU."""
    device: str
    """cpu or cuda."""
    num_threads: int | None
    """Threads that torch may use inside an operator on the CPU; None on a GPU."""
    torch_version: str
    """Version of torch."""

    @classmethod
    def here(cls, device: torch.device) -> Self:
        """Describe this machine, as far as work on the device goes."""
        return cls(
            processor=processor_name(device),
            device=device.type,
            num_threads=torch.get_num_threads() if device.type == "cpu" else None,
            torch_version=str(torch.__version__),
        )

    def __str__(self) -> str:
        """Write it on one line."""
        threads = "" if self.num_threads is None else f", threads: {self.num_threads}"
        return f"{printable(self.processor)} ({self.device}{threads}, torch {self.torch_version})"

    def differences(self, other: "Machine") -> list[str]:
        """Name what differs on another machine, with both values: "threads 2, there 1"."""
        return [
            f"{field.name} {getattr(self, field.name)}, there {getattr(other, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(other, field.name)
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class PartTime:
    """How long a part takes, for one image."""

    median_ms: float
    """Half of the runs were at least as fast."""
    low_ms: float
    """Lower end of the median's 95 % interval."""
    high_ms: float
    """Upper end of it."""
    num_runs: int
    """Runs behind the median."""
    is_steady: bool
    """Whether its times had settled, and the machine kept its speed meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyTable:
    """The times of all parts that networks of a space are made of, on one machine."""

    networks: PricedNetworks
    """The networks."""
    machine: Machine
    """Where they were measured: eval mode, float32, one image."""
    measured_at: str
    """When, in ISO 8601 with the offset from UTC."""
    parts: Mapping[str, PartTime]
    """The time of each, by the part's name."""

    def prices(self) -> Prices:
        """Price the networks in nanoseconds; a network takes the sum of its parts."""
        return assemble(
            self.networks, lambda part: round(1e6 * self.parts[part.name].median_ms), unit="ns"
        )

    @property
    def num_unsteady(self) -> int:
        """Parts whose times are in doubt."""
        return sum(not time.is_steady for time in self.parts.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain values that JSON can hold."""
        return {
            "format": _FORMAT,
            "networks": asdict(self.networks) | {"space": self.networks.space.to_dict()},
            "machine": asdict(self.machine),
            "measured_at": self.measured_at,
            "parts": {name: asdict(time) for name, time in self.parts.items()},
        }

    def write(self, path: Path) -> None:
        """Write the table, one part a line.

        Raises:
            OSError: If it cannot be written; the previous file is untouched then.
        """
        content = self.to_dict()
        times = content.pop("parts").items()
        parts = ",\n".join(f"    {json.dumps(name)}: {json.dumps(time)}" for name, time in times)
        lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in content.items()]
        text = "{\n" + ",\n".join([*lines, '  "parts": {\n' + parts + "\n  }"]) + "\n}\n"
        atomic_write(path, text.encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a table.

        Raises:
            UsageError: If the file does not exist.
            FileError: If it is no latency table, or not a whole one.
        """
        try:
            record: Any = read_json(path, _WHAT, remedy=_REMEDY)
        except FileNotFoundError as error:
            raise UsageError(f"latency table {error} {_REMEDY.capitalize()}.") from error
        with reading(path, _WHAT, remedy=_REMEDY):
            _TABLE(record, "")
            networks = _networks_from(record["networks"])
            names = [part.name for part in parts_of(networks)]
            parts = record["parts"]
            if missing := [name for name in names if name not in parts]:
                raise ValueError(f"it has no part {missing[0]!r}")
            return cls(
                networks=networks,
                machine=Machine(**_only(Machine, record["machine"])),
                measured_at=record["measured_at"],
                parts={name: PartTime(**_part_of(parts[name], name)) for name in names},
            )


def _networks_from(values: dict[str, Any]) -> PricedNetworks:
    try:
        space = SearchSpace.from_dict(values["space"], where="its space")
    except (UsageError, FileError) as error:  # of the file, not of a request
        raise ValueError(str(error)) from error
    height, width = values["image_size"]
    own = _only(PricedNetworks, values) | {"space": space, "image_size": (height, width)}
    return PricedNetworks(**own)


def _part_of(value: Any, name: str) -> dict[str, Any]:
    _PART(value, f"parts.{name}")
    return _only(PartTime, value)


def _only(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """Take the fields of a dataclass, and leave others that may stand beside them."""
    return {field.name: values[field.name] for field in fields(kind)}


_MS = schema.number(0, _MAX_MS)
_PART = schema.fields(
    {
        **dict.fromkeys(("median_ms", "low_ms", "high_ms"), _MS),
        "num_runs": schema.whole(1),
        "is_steady": schema.flag,
    }
)
_TABLE = schema.fields(
    {
        "format": schema.one_of(_FORMAT),
        "networks": schema.fields(
            {
                "space": schema.mapping,
                "image_size": schema.list_of(schema.whole(1, _MAX_SIDE), length=2),
                "num_classes": schema.whole(1, MAX_CHANNELS),
                "filter_multiplier": schema.whole(1, MAX_CHANNELS),
                "width": schema.number(1e-6, 1e3),
                "in_channels": schema.whole(1, MAX_CHANNELS),
            }
        ),
        "machine": schema.fields(
            {
                "processor": schema.text,
                "device": schema.one_of("cpu", "cuda"),
                "num_threads": schema.optional(schema.whole(1)),
                "torch_version": schema.text,
            }
        ),
        "measured_at": schema.time,
        "parts": schema.mapping,
    }
)
