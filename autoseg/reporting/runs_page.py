"""All runs of a folder as one HTML page, which lies in that folder and links to what is in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from autoseg.reporting.page import render_template

GENERATOR = "autoseg runs"
"""How the page says that autoseg wrote it, and may write it anew."""

_SCRIPTS = ("address.js", "table.js", "runs.js")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEntry:
    """A run folder as a line of the page."""

    folder: str
    """Path from the page to the run folder, with slashes."""
    kind: str
    """"search", "retrain" and the like; empty if unknown."""
    state: str
    """"finished" and the like; "unreadable" if its record cannot be read."""
    about: str
    """What was searched or trained, or why the record cannot be read."""
    doubts: tuple[str, ...]
    """Why its result is no achievement, or its decision doubtful; a sentence each."""
    score: float | None
    """mIoU on val, a fraction; None where there is none."""
    started: str
    """Time of its start, in words; empty if unknown."""
    pictures: tuple[str, ...]
    """Paths from the page to its pictures, with slashes."""

    @property
    def address(self) -> str:
        """The run folder as an address."""
        return _address(f"{self.folder}/")

    @property
    def thumbnails(self) -> list[tuple[str, str]]:
        """Each picture's address and its name."""
        return [(_address(path), path.rpartition("/")[2].rpartition(".")[0])
                for path in self.pictures]  # fmt: skip

    @property
    def doubts_text(self) -> str:
        """How many reasons there are to doubt it, to stand for them while they are folded."""
        return f"{len(self.doubts)} reason{'s' if len(self.doubts) > 1 else ''} to doubt it"

    @property
    def score_text(self) -> str:
        """The score in percent."""
        return "-" if self.score is None else f"{100 * self.score:.2f}"


def render_runs(entries: Sequence[RunEntry], *, where: str) -> str:
    """Render the page.

    Args:
        entries: The runs, in the order shown.
        where: The folder's name, for the heading.

    Returns:
        HTML, every text escaped. Its policy allows this page's script alone, and pictures beside
        it; without the script it shows the same.
    """
    return render_template("runs.html.j2", _SCRIPTS, runs=entries, where=where, generator=GENERATOR)


def _address(path: str) -> str:
    # "./" keeps a folder called "javascript:x" a folder.
    return "./" + quote(path, errors="surrogateescape")
