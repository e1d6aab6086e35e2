"""From a zip of images and masks to a table.

    python examples/from_zip.py my_images.zip

unpacks into the folder my_images and runs the commands of examples/README.md, each of which a
person may as well type. `--trial` takes the fewest steps: within a minute or two it shows whether
every command runs on these images; its scores mean nothing.
"""

import argparse
import zipfile
from collections.abc import Sequence
from pathlib import Path

from autoseg.__main__ import run
from autoseg.cli import run_command
from autoseg.errors import UsageError, reading

COMMANDS = (
    "data {folder}",
    "search --dataset folder --data-root {folder}",
    "retrain",
    "compare",
)
"""What is run, after `python -m autoseg.`; a retraining goes on where the newest search ended."""

TRIAL = {
    "search": "--preset tiny --arch-steps 2 --batch-size 2 --val-images 2",
    "retrain": "--num-steps 2 --batch-size 2 --val-images 2",
    "compare": "--limit 2 --min-runs 1 --min-seconds 0",
}
"""Options of the fewest steps, by command."""


def unpack(archive: Path) -> Path:
    """Unpack a zip into a folder of its name, and return the folder that holds the images.

    Raises:
        UsageError: If the file is not there, or the folder is.
        FileError: If it is no zip.
    """
    folder = Path(archive.stem)
    if not archive.is_file():
        raise UsageError(f"{archive} is no file; name the zip of images and masks.")
    if folder.exists():
        raise UsageError(f"{folder} exists already; move it away, or work in another folder.")
    with reading(archive, "a zip archive"), zipfile.ZipFile(archive) as file:
        # macOS puts a shadow of every file into this folder.
        names = [name for name in file.namelist() if not name.startswith("__MACOSX/")]
        file.extractall(folder, names)
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


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
