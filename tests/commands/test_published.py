"""The published datasets, in miniature, from the search to the table."""

import pytest

from autoseg import compare, retrain, search
from autoseg.runs import load_record
from tests.data.published.archives import ARCHIVES

pytestmark = pytest.mark.usefixtures("figures_of_one_pixel", "no_warm_up")

CPU = ["--device", "cpu"]
# Stride 32 needs maps of 64 pixels; the miniatures have 32 x 40.
SMALL = ["--image-scale", "2", "--batch-size", "2", "--crop-size", "64", "64", "--val-images", "2"]
SEARCH = ["--num-epochs", "1", "--arch-start-epoch", "0", "--arch-steps", "0", *SMALL, *CPU]
RETRAIN = ["--num-steps", "1", "--filter-multiplier", "4", *SMALL, *CPU]
COMPARE = ["--limit", "2", "--min-runs", "1", "--min-seconds", "0", "--no-crf", *CPU]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "voc" else pytest.mark.nightly)
        for name in ARCHIVES
    ],
)
def test_a_dataset_is_searched_retrained_and_compared(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = ARCHIVES[name](tmp_path / "archive")
    data = ["--dataset", name, "--data-root", str(root)]
    assert search.main([*data, *SEARCH, "--out", "runs/search"]) == 0
    assert retrain.main(["--architecture", "runs/search/architecture.json", *RETRAIN]) == 0
    assert compare.main(["--out", "out", *COMPARE]) == 0
    (record,) = (load_record(path.parent) for path in tmp_path.glob("runs/retrain-*/*/run.json"))
    assert record["config"]["dataset"] == name
    table = (tmp_path / "out/compare.md").read_text()
    assert f"{name} val" in table
