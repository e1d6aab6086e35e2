"""Files that would fill memory: their size is looked at before they are read."""

import os

import pytest

from autoseg.architecture import Architecture, SearchSpace
from autoseg.cli import read_request
from autoseg.config.crf import PartialCRFConfig
from autoseg.data.arrays import read_array
from autoseg.data.folder.description import read_description
from autoseg.data.lists import read_list
from autoseg.errors import FileError, UsageError
from autoseg.json_file import parse_json
from autoseg.requests import SearchRequest
from autoseg.runs import load_metrics, load_record
from autoseg.tuning import choose_crf

TEXT = {"prog": "x", "description": "x", "example": "x"}
READERS = {
    "architecture.json": Architecture.load,
    "space.toml": SearchSpace.load,
    "run.toml": lambda path: read_request(SearchRequest, ["--config", str(path)], **TEXT),
    "dataset.toml": read_description,
    "run.json": lambda path: load_record(path.parent),
    "metrics.jsonl": lambda path: load_metrics(path.parent),
    "crf.json": lambda path: choose_crf(PartialCRFConfig(), path),
    "list.txt": read_list,
    "scores.npy": lambda path: read_array(path, check_shape=lambda shape: None),
}


@pytest.mark.parametrize("name", READERS)
def test_ten_gigabytes_are_refused_by_name_and_not_read(name, tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / name
    path.touch()
    os.truncate(path, 10 * 10**9)  # a hole, which takes no room on the disk
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((FileError, UsageError), match=name.replace(".", r"\.")):
        READERS[name](path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # 64 MiB, in KiB


def test_one_key_twice_among_many_is_found_without_comparing_all_with_all():
    keys = [f'"{number}": 0' for number in range(200_000)]
    with pytest.raises(ValueError, match="it has the key '199999' twice"):
        parse_json(f"{{{', '.join([*keys, keys[-1]])}}}".encode())
