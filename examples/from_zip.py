"""From a zip of images and masks to a table.

    python examples/from_zip.py my_images.zip

unpacks into the folder my_images and runs the commands of examples/README.md, each of which a
person may as well type. `--trial` takes the fewest steps: within a minute or two it shows whether
every command runs on these images; its scores mean nothing.
"""

import argparse
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from autoseg.__main__ import run
from autoseg.cli import run_command
from autoseg.errors import FileError, UsageError, reading

COMMANDS = (
    "data {folder}",
    "search --dataset folder --data-root {folder}",
    "retrain",
    "compare",
)
"""What is run, after `python -m autoseg.`; a retraining goes on where the newest search ended."""

TRIAL = {
    "search": "--preset tiny --num-samples 2 --sample-steps 2 --batch-size 2",
    "retrain": "--num-steps 2 --batch-size 2 --val-images 2",
    "compare": "--limit 2 --min-runs 1 --min-seconds 0",
}
"""Options of the fewest steps, by command."""

MAX_GROWTH = 200
"""How many times its size a zip may unpack to: plain masks are packed a hundredfold at most."""


def unpack(archive: Path) -> Path:
    """Unpack a zip into a folder of its name, and return the folder that holds the images.

    Raises:
        UsageError: If the file is not there, or the folder is.
        FileError: If it is no zip, or one that would do harm.
    """
    folder = Path(archive.stem)
    if not archive.is_file():
        raise UsageError(f"{archive} is no file; name the zip of images and masks.")
    if folder.exists():
        raise UsageError(f"{folder} exists already; move it away, or work in another folder.")
    with reading(archive, "a zip archive"), zipfile.ZipFile(archive) as file:
        # macOS puts a shadow of every file into this folder.
        members = [each for each in file.infolist() if not each.filename.startswith("__MACOSX/")]
        require_harmless(archive, members)
        file.extractall(folder, members)
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def require_harmless(archive: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Look at what a zip says that it holds, before anything is unpacked.

    Raises:
        FileError: If a name leads out of the folder, a member is a link, or it would grow beyond
            what images do.
    """
    for member in members:
        name = member.filename.replace("\\", "/")
        if name.startswith("/") or ".." in name.split("/") or PureWindowsPath(name).drive:
            raise FileError(f"{archive}: {member.filename!r} leads out of the folder; refused.")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise FileError(f"{archive}: {member.filename!r} is a link; pack the file itself.")
    total, packed = sum(member.file_size for member in members), archive.stat().st_size
    if total > MAX_GROWTH * max(packed, 2**20):
        raise FileError(
            f"{archive} has {packed:,} bytes and would unpack to {total:,}, more than {MAX_GROWTH} "
            "times as many; if you trust it, unpack it yourself and run the commands on the folder."
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Unpack, then run the commands one after another; return the first exit code but 0."""
    parser = argparse.ArgumentParser(description="From a zip of images and masks to a table.")
    parser.add_argument("archive", type=Path, help="zip of images/ and masks/")
    parser.add_argument("--trial", action="store_true", help="take the fewest steps")
    request = parser.parse_args(argv)
    folder = unpack(request.archive)
    for command in COMMANDS:
        words = [word.format(folder=folder) for word in command.split()]
        words += TRIAL.get(words[0], "").split() if request.trial else []
        print(f"\n$ python -m autoseg.{' '.join(words)}", flush=True)
        if code := run(words):
            return code
    return 0


if __name__ == "__main__":
    run_command(main)
