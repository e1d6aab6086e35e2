"""ADE20K as in the Scene Parsing Challenge 2016: 150 classes."""

from collections import Counter
from pathlib import Path

from autoseg.contract import SPLITS
from autoseg.data.folder.masks import IGNORED, MaskCodec
from autoseg.data.folder.pairing import Pair
from autoseg.data.images import require_regular_file
from autoseg.data.labels import default_palette
from autoseg.data.published.archive import Archive, count_note
from autoseg.data.published.images import PublishedImages
from autoseg.errors import FileError, UsageError, reading, unknown_name
from autoseg.foreign_text import printable

NUM_CLASSES = 150

_FOLDERS = {"train": "training", "val": "validation"}
_NUM_IMAGES = {"train": 20_210, "val": 2000}
_NAMES = "objectInfo150.txt"
_FULL = ("index_ade20k.mat", "index_ade20k.pkl", "images/ADE")
_ARCHIVE = Archive(
    dataset="ade20k",
    files="ADEChallengeData2016.zip",
    site="sceneparsing.csail.mit.edu",
    needed=("images", "annotations", _NAMES),
    places=("ADEChallengeData2016", "."),
)


def ade20k(*, split: str, data_root: str | Path | None = None) -> PublishedImages:
    """Build a split of ADE20K's challenge data: 20,210 train and 2,000 val images.

    Labels hold 1 to 150 for the classes, here 0 to 149, and 0 for everything else, which is not
    evaluated.

    Source: Zhou et al. 2017, "Scene Parsing through ADE20K Dataset"; numbering of the development
    kit's README.

    Raises:
        UsageError: If the split is unknown or has no public labels, or the archive is not there.
        FileError: If files of it are missing or damaged.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    _ARCHIVE.refuse_test(split)
    _refuse_full(data_root)
    root = _ARCHIVE.find(data_root)
    images = sorted((root / "images" / _FOLDERS[split]).glob("*.jpg"))
    labels = root / "annotations" / _FOLDERS[split]
    pairs = [Pair(image=path, mask=labels / f"{path.stem}.png") for path in images]
    _ARCHIVE.require_files(pairs)
    return PublishedImages(
        name="ade20k",
        split=split,
        root=root,
        pairs=pairs,
        reader=ade20k_labels(),
        class_names=_read_names(root / _NAMES),
        palette=default_palette(NUM_CLASSES + 1)[1:],
        attribution="ADE20K, Scene Parsing Challenge 2016 (Zhou et al. 2017)",
        notes=count_note("ade20k", split, len(pairs), _NUM_IMAGES[split]),
    )


def ade20k_labels() -> MaskCodec:
    """Return the reader of labels: 0 has no class, and the classes begin with 1."""
    return MaskCodec(
        by_colour=False,
        table=((0, IGNORED), *((number + 1, number) for number in range(NUM_CLASSES))),
        remedy="the labels of the challenge are grey PNGs of 0 to 150: unpack the archive again.",
    )


def _refuse_full(data_root: str | Path | None) -> None:
    if data_root and any((Path(data_root) / name).exists() for name in _FULL):
        raise UsageError(
            f"ade20k: {printable(str(data_root))} is the full ADE20K, whose colours name "
            f"thousands of objects; {_ARCHIVE.files} of {_ARCHIVE.site} has the 150 classes that "
            "are compared."
        )


def _read_names(path: Path) -> tuple[str, ...]:
    """Read the classes' names: a head, then lines of index, ratio, counts, and the names."""
    with reading(path, "ADE20K's list of classes"):
        require_regular_file(path)
        lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines[1:] if line.strip()]
    numbers = [row[0].strip() for row in rows]
    if numbers != [str(number) for number in range(1, NUM_CLASSES + 1)]:
        raise FileError(
            f"{printable(str(path))} does not list the classes 1 to {NUM_CLASSES}, a line each "
            "under its head, with tabs between the columns; unpack the archive again."
        )
    full = [row[-1].strip() for row in rows]
    short = [name.split(",")[0].split(";")[0].strip() for name in full]
    counts = Counter(short)
    return tuple(s if s and counts[s] == 1 else f for s, f in zip(short, full, strict=True))
