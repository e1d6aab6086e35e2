"""The predictors of the difficulty benchmark, on data small enough to work by hand."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch

from autoseg.data import build_dataset

_SCRIPT = Path(__file__).parents[2] / "benchmarks" / "synthetic_difficulty.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("synthetic_difficulty", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_constant_is_the_most_frequent_class(script: ModuleType) -> None:
    val = build_dataset("synthetic", split="val", num_classes=2)
    train_targets = torch.tensor([[[0, 1, 1, 1, 255, 255]]])
    val_targets = torch.tensor([[[0, 0, 1, 255]]])
    score = script.score_constant(train_targets, val_targets, val)
    # Everything is class 1: IoU 0 for class 0, 1 / 3 for class 1.
    assert score.predictor == "constant: building"
    assert score.class_iou == (0, pytest.approx(1 / 3))
    assert score.mean_iou == pytest.approx(1 / 6)
    assert score.pixel_accuracy == pytest.approx(1 / 3)


def test_histogram_predicts_what_its_cells_held(script: ModuleType) -> None:
    val = build_dataset("synthetic", split="val", num_classes=3)
    # Cell 0 held classes 0 0 1, cell 1 held 2, cell 2 nothing; ignored pixels do not count.
    train_cells = torch.tensor([[[0, 0, 0, 1, 1, 1, 3]]])
    train_targets = torch.tensor([[[0, 0, 1, 2, 255, 255, 0]]])
    val_cells = torch.tensor([[[0, 0, 1, 1, 1]]])
    val_targets = torch.tensor([[[0, 0, 2, 2, 255]]])
    score = script.score_histogram("test", train_cells, train_targets, val_cells, val_targets, val)
    # With the prior of train, cell 0 is class 0 and cell 1 is class 2: all four pixels are right.
    assert score.mean_iou == pytest.approx(1.0)
    assert score.pixel_accuracy == pytest.approx(1.0)


def test_colours_and_places_fall_into_their_cells(script: ModuleType) -> None:
    images = torch.tensor([0, 31, 32, 255], dtype=torch.uint8).view(4, 1, 1, 1)
    colours = script._colour_cells(images.expand(4, 3, 24, 16), num_levels=8)
    # 0 to 31 is the first of 8 levels, 32 the second, 255 the last one.
    assert colours[:, 0, 0].tolist() == [0, 0, 1 * 73, 7 * 73]
    cells = script._colour_and_place_cells(images.expand(4, 3, 24, 16))
    assert cells[0, 0, 0] == 0
    assert cells[0, 23, 15] == 12 * 8 - 1
    assert cells[3, 23, 15] == 8**3 * 12 * 8 - 1


def test_the_script_writes_its_record(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = "--num-train 4 --num-val 3 --num-networks 2 --num-steps 2 --batch-size 2"
    arguments += f" --width 4 --num-samples 2 --out {tmp_path}"
    script.main(arguments.split())
    record = json.loads((tmp_path / "difficulty.json").read_text())
    table = pd.read_csv(tmp_path / "difficulty.csv")
    assert len(table) == len(record["scores"]) == 4
    # The constant's score follows from the labels alone: its class's share, over 12 classes
    # that all occur.
    val = build_dataset("synthetic", split="val", length=3)
    targets = torch.stack([sample.target for sample in val])
    name = table.predictor[0].removeprefix("constant: ")
    share = (targets == val.class_names.index(name)).sum() / (targets != 255).sum()
    num_present = len(targets[targets != 255].unique())
    assert table.mean_iou[0] == pytest.approx(float(share) / num_present, abs=1e-4)  # 4 digits
    assert record["command"].endswith(arguments)
    assert record["config"]["num_steps"] == 2
    assert {"git", "versions", "hardware", "date"} <= set(record)
    shown = (tmp_path / "difficulty.md").read_text()
    assert shown in capsys.readouterr().out
    assert "small network" in shown
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")
