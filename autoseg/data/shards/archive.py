"""One shard, a tar archive: which samples it holds, and where their files begin.

The names of files say what belongs together, by the rules of the webdataset library: all up to the
first dot is a sample's key, and the rest says which part of it a file is. The places of all files
are known once the archive's headers were read, so that any sample is read from the middle of it.
"""

import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from autoseg.data.folder.pairing import IMAGE_ENDINGS, MASK_ENDINGS
from autoseg.data.images import require_regular_file
from autoseg.errors import FileError, UsageError, reading
from autoseg.foreign_text import listed, printable

MASK_WORDS = ("mask", "seg", "segmentation", "label", "labels", "annotation", "gt")
"""What a mask's ending may begin with, as in `seg.png`."""

_IMAGE_WORDS = ("image", "img")
_LOSSY = ("jpg", "jpeg", "webp")
_META = re.compile(r"__[^/]*__($|/)")  # the library's own files


class Member(NamedTuple):
    """A file in a shard."""

    shard: Path
    name: str
    start: int
    """Byte of the shard at which it begins."""
    size: int
    """Bytes."""

    def __str__(self) -> str:
        return f"{self.shard}/{self.name}"


class ShardSample(NamedTuple):
    """An image and its mask."""

    key: str
    image: Member
    mask: Member


def require_webdataset() -> None:
    """Say what reads shards where it is missing.

    Raises:
        UsageError: If the library is not installed.
    """
    if find_spec("webdataset") is None:
        raise UsageError(
            "webdataset: the library of this name, whose rules for shards are followed, is not "
            "installed: pip install 'autoseg-nas[webdataset]'."
        )


def index_shard(path: Path) -> list[ShardSample]:
    """Find the samples of a shard, in its order; headers alone are read.

    Raises:
        FileError: If it is no plain tar archive, or a sample is not one image and its mask.
        OSError: If it is not there or may not be read.
    """
    from webdataset.tariterators import base_plus_ext

    require_regular_file(path)
    samples: dict[str, dict[str, Member]] = {}
    remedy = "shards are plain .tar files, not compressed and not cut"
    with reading(path, "a tar archive", remedy=remedy), tarfile.open(path, "r:") as archive:
        for entry in archive:
            key, ending = base_plus_ext(entry.name)
            if key is None or ending is None or _META.match(entry.name):
                continue
            if not entry.isreg() or entry.issparse():
                continue
            parts = samples.setdefault(key, {})
            if (ending := ending.lower()) in parts:
                raise FileError(f"{printable(str(path))} holds {printable(entry.name)} twice.")
            parts[ending] = Member(path, entry.name, entry.offset_data, entry.size)
    if not samples:
        raise FileError(f"{printable(str(path))} holds no sample.")
    return [_sample(path, key, parts) for key, parts in samples.items()]


def _sample(path: Path, key: str, parts: dict[str, Member]) -> ShardSample:
    """Tell a sample's image from its mask by their endings; other parts are left out."""
    pictures = [ending for ending in parts if _suffix(ending) in (*IMAGE_ENDINGS, *MASK_ENDINGS)]
    masks = [ending for ending in pictures if ending.split(".")[0] in MASK_WORDS]
    if not masks and any(ending in _LOSSY for ending in pictures):
        masks = [ending for ending in pictures if ending == "png"]
    images = [ending for ending in pictures if ending not in masks]
    if len(images) > 1:
        images = [ending for ending in images if ending.split(".")[0] in _IMAGE_WORDS]
    if len(images) != 1 or len(masks) != 1:
        raise FileError(
            f"{printable(str(path))}: the sample {printable(key)} has {listed(sorted(parts))}; one "
            "image and one mask are needed, such as jpg and png, or png and seg.png."
        )
    return ShardSample(key, parts[images[0]], parts[masks[0]])


def _suffix(ending: str) -> str:
    return f".{ending.split('.')[-1]}"


@contextmanager
def unpacked(member: Member) -> Iterator[Path]:
    """Give a member as a file of its own, for those who read files; it is gone afterwards.

    Raises:
        FileError: If the shard is cut, or what is done with the file raises it; names the member.
        OSError: If the shard is not there or may not be read.
    """
    with reading(member.shard, "a tar archive"), member.shard.open("rb") as shard:
        shard.seek(member.start)
        content = shard.read(member.size)
    if len(content) < member.size:
        raise FileError(f"{printable(str(member))} is cut: its shard ends before it does.")
    with TemporaryDirectory(prefix="autoseg-shard-") as folder:
        path = Path(folder) / f"member{_suffix(member.name.lower())}"
        path.write_bytes(content)
        try:
            yield path
        except FileError as error:
            message = str(error).replace(str(path), printable(str(member)))
            raise FileError(message) from None
