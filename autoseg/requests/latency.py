"""What a user can say to `python -m autoseg.latency`."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autoseg.config import Count, Pixels, Request
from autoseg.config.threads import ThreadConfig

PROG = "python -m autoseg.latency"


@dataclass(frozen=True, kw_only=True)
class LatencyRequest(Request, ThreadConfig):
    """The networks whose parts are timed, and the file for their times."""

    space: str = "autodeeplab"
    """Search space: the name of a shipped one with a trellis, or the path of a TOML file."""
    preset: Literal["tiny", "paper"] = "tiny"
    """Sizes of the space, and of the networks that are retrained."""
    size: tuple[Pixels, Pixels] = (96, 128)
    """Height and width of an image as the network sees it, in pixels; the default is the embedded
    dataset's. A search takes its largest image, times --image-scale."""
    num_classes: Count = 12
    """Classes of the dataset; the embedded one has 12."""
    in_channels: Count = 3
    """Channels of the images."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N: where the networks will be used."""
    out: Path = Path("latency.json")
    """JSON file for the table, which is replaced if it is there."""

    def command(self) -> str:
        """Write the command line that says the same."""
        names = ["space", "preset", "size", "num_classes", "in_channels", "out"]
        return shlex.join([*PROG.split(), *self.words(names)])
