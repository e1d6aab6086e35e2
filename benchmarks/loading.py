"""Measure what loading a training batch costs: `python benchmarks/loading.py --dataset camvid`.

Batches of a search's tiny preset, in processor time of the one process that loads them: decoded
each time, and from a cache on disk.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from csv_rows import write_rows

from autoseg.cli import OK, read_request, run_command
from autoseg.commands.presets import choose_image_scale
from autoseg.config import SEARCH_PRESETS, DataConfig, SearchConfig
from autoseg.config.ranges import Count
from autoseg.data import SegmentationDataset, build_split
from autoseg.training import augmented_batches

PROG = "python benchmarks/loading.py"

_PRESET = "tiny"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadingRequest:
    """What a user can say to `python benchmarks/loading.py`."""

    dataset: str = "camvid"
    """Dataset by name."""
    data_root: Path | None = None
    """Folder of the dataset; where none is given, AUTOSEG_DATA names it."""
    num_batches: Count = 20
    """Counted batches, after one that warms up."""
    out: Path = Path("results/loading/loading.csv")
    """CSV file, written anew after every row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadingRow:
    """What a batch costs in processor time."""

    kept: str
    """Where decoded images come from."""
    milliseconds: float
    """Processor time that a batch takes."""
    batch_size: int
    images_a_second: float
    """What one process loads that has a core to itself."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        LoadingRequest,
        list(sys.argv[1:] if argv is None else argv),
        prog=PROG,
        description="Time the loading of a search's batches.",
        example=f"{PROG} --dataset camvid --data-root camvid",
    )
    rows: list[LoadingRow] = []
    for row in measure(request):
        rows.append(row)
        write_rows(rows, request.out)
        print(f"{row.kept:25} {row.milliseconds:8.1f} ms  {row.images_a_second:7.1f} images/s")
    print(f"written: {request.out}")
    return OK


def measure(request: LoadingRequest) -> Iterator[LoadingRow]:
    """Time batches with each way to keep decoded images."""
    with tempfile.TemporaryDirectory() as folder:
        for kept, cache in (("decoded each time", None), ("kept on disk", Path(folder))):
            data = DataConfig(dataset=request.dataset, data_root=request.data_root, cache=cache)
            train = build_split(data, split="train")
            config = replace(
                SEARCH_PRESETS[_PRESET],
                image_scale=choose_image_scale(_PRESET, train.largest_size),
            )
            _seconds(train, config, request.num_batches)  # fills the cache
            seconds = _seconds(train, config, request.num_batches)
            yield LoadingRow(
                kept=kept,
                milliseconds=1000 * seconds,
                batch_size=config.batch_size,
                images_a_second=config.batch_size / seconds,
            )


def _seconds(train: SegmentationDataset, config: SearchConfig, num_batches: int) -> float:
    """Return the processor time of one of some batches, after one that warms up."""
    batches = augmented_batches(train, config)
    next(batches)
    begin = time.process_time()
    for _ in range(num_batches):
        next(batches)
    return (time.process_time() - begin) / num_batches


if __name__ == "__main__":
    sys.exit(run_command(main))
