"""What a user can say to `python -m autoseg.show`."""

from dataclasses import dataclass
from pathlib import Path

from autoseg.config import Request


@dataclass(frozen=True, kw_only=True)
class ShowRequest(Request):
    """What a user can say to `python -m autoseg.show`."""

    run: Path = Path("runs")
    """A run folder, or a folder that holds some."""
