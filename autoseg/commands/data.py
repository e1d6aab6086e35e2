"""A dataset's card, and a first dataset.toml."""

import os
import shlex
from pathlib import Path

from autoseg.atomic import atomic_write, require_writable
from autoseg.cli.console import announce, print_link
from autoseg.config import DataConfig
from autoseg.data import DATASETS, SPLITS, SegmentationDataset, build_split, spread_indices
from autoseg.data.cache import KeepsSamples, SampleCache
from autoseg.data.card import DatasetCard, make_card
from autoseg.data.card_text import card_text
from autoseg.data.folder import BadFilesError, require_readable
from autoseg.data.folder.description import DESCRIPTION_NAME
from autoseg.data.folder.proposal import propose_description
from autoseg.data.images import IMAGE_SUFFIXES
from autoseg.errors import UsageError
from autoseg.foreign_text import printable
from autoseg.reporting import draw_samples
from autoseg.reporting.figure import png_bytes
from autoseg.requests import DataRequest
from autoseg.runs import Progress

_MAX_WORKERS = 8
_SHEET_NAME = "samples.png"


def run_data(request: DataRequest) -> bool:
    """Write a dataset.toml, or print a dataset's card.

    Returns:
        False if training would fail on the dataset.

    Raises:
        UsageError: If there is no such dataset, or a file would be replaced or stand among images.
        FileError: If files of it cannot be read.
    """
    if request.is_init:
        _init(request)
        return True
    return _card(request)


def _init(request: DataRequest) -> None:
    request.refuse(
        ("data_root", "out", "num_samples"),
        "init writes a dataset.toml, and makes no card; leave it out.",
    )
    root = Path(request.target)
    path = request.data or root / DESCRIPTION_NAME
    if path.exists():
        raise UsageError(
            f"{path} exists already; move it away, or name another file with --data FILE."
        )
    proposal = propose_description(root)
    atomic_write(path, proposal.text.encode())
    for note in proposal.notes:
        print(note)
    print(f"saved {path}: read it, and give the classes their names")
    words = ["python", "-m", "autoseg.data", str(root)]
    words += [] if path == root / DESCRIPTION_NAME else ["--data", str(path)]
    print(f"next: {shlex.join(words)}")


def _card(request: DataRequest) -> bool:
    config = _config(request)
    _require_no_images(request.out, config.data_root)
    require_writable(request.out)
    try:
        datasets = _splits(config)
    except BadFilesError:  # of the others headers alone were read; a person mends all together
        announce("data: files cannot be used; all others are read, to name what is wrong")
        require_readable(config.data_root, config.data)
        raise
    for dataset in datasets:
        if isinstance(dataset, KeepsSamples):
            dataset.keep_samples(SampleCache(0))  # each is read once
    num_workers = min(_MAX_WORKERS, os.cpu_count() or 1)
    total = sum(len(dataset) for dataset in datasets)
    with Progress(total, description="data", unit="image") as progress:
        card = make_card(datasets, num_workers=num_workers, on_sample=progress.update)
    title = config.dataset if config.dataset != "folder" else str(config.data_root)
    print(card_text(card, title=title, escape=printable), end="")
    request.out.mkdir(parents=True, exist_ok=True)
    atomic_write(request.out / "card.md", card_text(card, title=title).encode())
    print(f"saved {request.out / 'card.md'}")
    _draw(request, datasets[0], card)
    if config.dataset == "folder" and not card.faults:
        words = ["python", "-m", "autoseg.search", "--dataset", "folder"]
        words += ["--data-root", str(config.data_root)]
        words += ["--data", str(config.data)] if config.data else []
        print(f"next: {shlex.join(words)}")
    return not card.faults


def _require_no_images(out: Path, root: Path | None) -> None:
    """Refuse a folder of the dataset's images, of which the contact sheet would be one."""
    if root is None or not out.is_dir() or not out.resolve().is_relative_to(root.resolve()):
        return
    for path in sorted(out.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and path.name != _SHEET_NAME:
            raise UsageError(
                f"--out {out} holds images of the dataset ({printable(path.name)}), and "
                f"{_SHEET_NAME} would be written among them; name a folder of its own."
            )


def _draw(request: DataRequest, dataset: SegmentationDataset, card: DatasetCard) -> None:
    """Draw the contact sheet; images that cannot be read are in the card already."""
    if card.faults:
        announce("no contact sheet: mend the faults, and run this again")
    elif request.num_samples:
        indices = spread_indices(len(dataset), request.num_samples)
        path = request.out / _SHEET_NAME
        atomic_write(path, png_bytes(draw_samples(dataset, indices)))
        print(f"saved {path}")
        print_link(path)


def _config(request: DataRequest) -> DataConfig:
    """Tell a dataset's name from a folder; a folder of a dataset's name needs a slash."""
    if request.target in DATASETS and request.target != "folder":
        return DataConfig(dataset=request.target, data_root=request.data_root, data=request.data)
    root = request.data_root if request.target == "folder" else Path(request.target)
    if request.target != "folder" and request.data_root is not None:
        raise UsageError(
            f"--data-root {request.data_root}: the folder {request.target} is named already; leave "
            "the option out."
        )
    return DataConfig(dataset="folder", data_root=root, data=request.data)


def _splits(config: DataConfig) -> list[SegmentationDataset]:
    """Build train and val, and test where there is one."""
    datasets = [build_split(config, split) for split in SPLITS[:2]]
    try:
        datasets.append(build_split(config, SPLITS[2]))
    except UsageError as error:  # not every dataset has one
        announce(f"data: no test split is shown, and no training needs one: {error}")
    return datasets
