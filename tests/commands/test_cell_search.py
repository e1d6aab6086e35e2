"""A cell space from the command line: searched, resumed, retrained, shown."""

from pathlib import Path

import pytest

from autoseg import retrain, search, show
from autoseg.architecture import CellArchitecture, load_architecture
from autoseg.errors import UsageError
from autoseg.runs import load_record
from autoseg.trained import RetrainedNetwork

DATA = ["--image-size", "64", "72", "--train-length", "8", "--device", "cpu"]
SPACE = """
format_version = 1
kind = "cells"
name = "mine"
paper = "none"
num_cells = 3
retrain_num_cells = 4
num_nodes = 1
operations = ["none", "skip_connect", "sep_conv_3x3"]
stem_channels = [4, 4, 8]
filter_multiplier = 2
"""


@pytest.fixture
def searching(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(SPACE)
    return [
        *("--space", "mine.toml", "--num-epochs", "2", "--batch-size", "2", "--val-images", "1"),
        *("--out", "runs/found", *DATA),
    ]


@pytest.mark.nightly
def test_a_cell_space_is_searched_and_retrained(searching, capsys):
    assert search.main(searching) == 0
    assert search.main(["--resume", "--out", "runs/found"]) == 0  # nothing is left to do
    found = load_architecture("runs/found/architecture.json")
    assert isinstance(found, CellArchitecture) and found.num_cells == 4
    record = load_record(Path("runs/found"))
    assert record["config"]["search_space"]["kind"] == "cells"
    assert "path" not in record["results"]
    figures = {path.name for path in Path("runs/found/figures").glob("*.png")}
    assert figures == {"cell_normal.png", "cell_reduction.png", "history.png"}
    architecture = ["--architecture", "runs/found/architecture.json"]
    steps = ["--num-steps", "2", "--batch-size", "2", "--val-images", "1", *DATA]
    assert retrain.main([*architecture, *steps, "--out", "runs/trained"]) == 0
    with_weights = RetrainedNetwork.open(Path("runs/trained/searched"))
    assert with_weights.choice.architecture == found
    capsys.readouterr()
    assert show.main(["runs/found"]) == 0
    assert str(found) in capsys.readouterr().out


def test_what_no_cell_space_has_is_refused_before_a_folder_is_made(searching):
    for option, message in (
        (["--backend", "auto"], "^--backend auto: it belongs to spaces with a trellis, and 'mine'"),
        (
            ["--strategy", "random", "--estimator", "shared"],
            "^--estimator shared does not search a cell space such as 'mine'",
        ),
        (["--path-rule", "unbiased"], "--path-rule unbiased: it belongs to spaces with a trellis"),
    ):
        with pytest.raises(UsageError, match=message):
            search.main([*searching, *option])
    assert not Path("runs").exists()
