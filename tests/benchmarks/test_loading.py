"""The benchmark of loading: what its table says."""

import csv
import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.folder.drawing import binary_folder

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_each_way_to_keep_images_has_its_row(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    bench = importlib.import_module("loading")
    small = replace(bench.SEARCH_PRESETS["tiny"], crop_size=(8, 8), batch_size=2)
    monkeypatch.setitem(bench.SEARCH_PRESETS, "tiny", small)
    root, out = binary_folder(tmp_path / "data"), tmp_path / "loading.csv"
    words = ["--dataset", "folder", "--data-root", str(root), "--num-batches", "2"]
    assert bench.main([*words, "--out", str(out)]) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kept"] for row in rows] == ["decoded each time", "kept on disk"]
    for row in rows:
        per_batch = 1000 * float(row["batch_size"]) / float(row["milliseconds"])
        assert float(row["images_a_second"]) == pytest.approx(per_batch)
