"""A row of several views has the score that `evaluate` gives with them, and their work."""

import json
from functools import partial

import pytest

from autoseg import compare
from autoseg.cost import count_module_macs
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.evaluation import evaluate
from autoseg.trained import RetrainedNetwork
from tests.commands.test_compare import QUICK, SIZE, make_run


@pytest.mark.nightly
@pytest.mark.usefixtures("no_warm_up")
def test_a_second_row_has_the_score_of_its_views(tmp_path):
    folder, out = make_run(tmp_path / "runs" / "set" / "segnet"), tmp_path / "out"
    arguments = [str(folder), "--out", str(out), "--runs", str(tmp_path), "--no-crf", *QUICK]
    assert compare.main([*arguments, "--scales", "0.5", "1", "--flip"]) == 0
    record = json.loads((out / "compare.json").read_text())
    rows = {n["rows"][0]["views"]: n["rows"][0] for n in record["groups"][0]["networks"]}
    assert set(rows) == {None, "scales 0.5 1, flip"}
    network = RetrainedNetwork.open(folder).network()
    dataset = build_dataset("synthetic", split="val", image_size=SIZE, num_classes=4)
    scored = partial(evaluate, network, dataset, device="cpu", indices=(0, 32))
    assert rows[None]["miou"] == scored().plain.mean_iou()
    seen = rows["scales 0.5 1, flip"]
    expected = scored(scales=(0.5, 1.0), flip=True).plain.mean_iou()
    assert seen["miou"] == expected != rows[None]["miou"]
    height, width = SIZE
    work = [count_module_macs(network, (1, 3, height // n, width // n)) for n in (1, 2)]
    assert (rows[None]["macs"], seen["macs"]) == (work[0], 2 * sum(work))
    assert seen["num_params"] == rows[None]["num_params"]
    assert seen["label"] == f"{rows[None]['label']} (scales 0.5 1, flip)"
    assert "What several views gain" in (out / "compare.md").read_text()


def test_windows_that_cannot_be_are_refused_before_anything_is_measured(tmp_path):
    folder = make_run(tmp_path / "run")
    with pytest.raises(UsageError, match=r"window .*33.* 32"):
        compare.main([str(folder), "--out", str(tmp_path / "out"), "--window", "33", *QUICK])
