"""What a user can say to `python -m autoseg.networks`."""

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from autoseg.config import Count, Pixels, Request
from autoseg.errors import UsageError

PROG = "python -m autoseg.networks"


@dataclass(frozen=True, kw_only=True)
class NetworksRequest(Request):
    """What a user can say to `python -m autoseg.networks`."""

    network: tuple[str, ...] = ()
    """Networks, architectures and encoders to list; none: all."""
    encoder: tuple[str, ...] = ()
    """Encoders that each family in --network (fcn, pspnet, deeplabv3, deeplabv3plus) is listed
    over; published pairs are listed without it."""
    num_classes: Count = 19
    """Classes of the segmentation networks; Cityscapes has 19."""
    size: tuple[Pixels, ...] = (512, 1024, 1024, 2048)
    """Image sizes for the MACs of segmentation networks, in pixels: height and width in turn."""
    format: Literal["table", "markdown", "csv"] = "table"
    """table is for a terminal, markdown a whole page, csv has the exact values."""
    out: Path | None = None
    """File to write; none: standard output."""

    def __post_init__(self) -> None:
        """Check what the types do not say.

        Raises:
            UsageError: If a number cannot be.
        """
        Request.__post_init__(self)
        given = " ".join(map(str, self.size))
        if not self.size:
            raise UsageError("--size is empty; give height and width, for example 512 1024.")
        if len(self.size) % 2:
            raise UsageError(
                f"--size {given}: the height {self.size[-1]} has no width; give both in turn, for "
                "example --size 512 1024 1024 2048."
            )

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Heights and widths in pairs, each once."""
        pairs = zip(self.size[::2], self.size[1::2], strict=True)
        return tuple(dict.fromkeys(pairs))

    def command(self) -> str:
        """Write the command line that says the same, without any absolute path."""
        names = [
            field.name
            for field in fields(self)
            if getattr(self, field.name) != field.default
            and not (field.name == "out" and self.out is not None and self.out.is_absolute())
        ]
        return shlex.join([*PROG.split(), *self.words(names)])
