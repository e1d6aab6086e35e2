"""Coverage-guided search for files that a reader neither reads nor refuses by name.

No part of the suite. `pip install atheris`, then `python -m tests.atheris_readers READER` and
libFuzzer's options, as in

    python -m tests.atheris_readers architecture -max_total_time=60 -artifact_prefix=/tmp/found-

A file that a reader fails over is kept; it becomes an example (`past`) of that reader's own test.
"""

import io
import sys
import tempfile
import warnings
import zlib
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["autoseg", "json", "numpy.lib", "PIL", "tomllib"]):
    from PIL import Image

    from autoseg.architecture import Architecture, SearchSpace
    from autoseg.architecture.space_files import shipped
    from autoseg.data.folder.description import read_description
    from autoseg.data.labels import read_labels
    from autoseg.data.lists import read_list
    from autoseg.data.segmentation_files import read_scores
    from autoseg.errors import FileError, UsageError

DESCRIPTION = b'val_share = 0.1\n[splits]\nval = ["a"]\n[[classes]]\nname = "a"\nvalue = [1, 7]\n'
LABELS = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
SCORES = np.full((2, 3, 4), 0.5, dtype=np.float32)


def written(save, *arguments, **options) -> bytes:
    """Return what a writer writes into a stream."""
    stream = io.BytesIO()
    save(stream, *arguments, **options)
    return stream.getvalue()


def with_checksums(content: bytes) -> bytes:
    """Give each chunk of a PNG its checksum: with a wrong one Pillow looks no further."""
    data, start = bytearray(content), 8
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(data[start : start + 4])
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[start + 4 : end]).to_bytes(4)
        start = end + 4
    return bytes(data)


ARCHITECTURE, *_ = shipped("architectures", ".json").values()
SPACE = shipped("", ".toml")["autodeeplab"]

READERS = {
    "architecture": (Architecture.load, "a.json", ARCHITECTURE.read_bytes()),
    "space": (SearchSpace.load, "a.toml", SPACE.read_bytes()),
    "description": (read_description, "a.toml", DESCRIPTION),
    "list": (read_list, "a.txt", b'a.png\tb.png\n"a b.png" c.png\n'),
    "labels": (read_labels, "a.png", written(LABELS.save, "PNG")),
    "palette": (read_labels, "a.png", written(LABELS.convert("P").save, "PNG")),
    "tiff": (read_labels, "a.tif", written(LABELS.save, "TIFF")),
    "npy": (lambda path: read_scores(path, are_logits=True), "a.npy", written(np.save, SCORES)),
    "npz": (lambda path: read_scores(path, are_logits=False), "a.npz", written(np.savez, SCORES)),
}
"""For each reader: the function, a name for its file, and a file that it reads."""


def main() -> None:
    """Run libFuzzer over one reader."""
    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(f"The first argument names a reader: {', '.join(READERS)}.")
    read, name, seed = READERS[sys.argv.pop(1)]
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        path = Path(folder) / name
        seeds = Path(folder) / "seeds"
        seeds.mkdir()
        (seeds / name).write_bytes(seed)

        def check(content: bytes) -> None:
            path.write_bytes(with_checksums(content) if path.suffix == ".png" else content)
            with warnings.catch_warnings(action="ignore"):
                try:
                    read(path)
                except (FileError, UsageError, OSError) as error:
                    message = str(error)
                    assert name in message and message.isprintable(), repr(message)

        path.write_bytes(seed)
        read(path)
        atheris.Setup([*sys.argv, str(seeds), "-timeout=10", "-rss_limit_mb=3000"], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
