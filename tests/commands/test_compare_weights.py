"""`compare --weights last` scores the last weights, and every row says which weights it is of."""

import json
from dataclasses import replace

import pytest
import torch

from autoseg import compare
from autoseg.commands.compare import _weights_text, find_subjects
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.evaluation import evaluate
from autoseg.requests import CompareRequest
from autoseg.runs import Run
from autoseg.trained import RetrainedNetwork
from tests.commands.test_compare import QUICK, SIZE, make_run


def make_whole_run(folder):
    """Write a run whose last weights are not its best ones."""
    make_run(folder)
    torch.manual_seed(1)
    network = RetrainedNetwork.open(folder).network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    with Run.annotate(folder) as run:
        run.save_weights("last", network.state_dict(), metadata={"step": "7"})
    return folder


@pytest.mark.nightly
@pytest.mark.usefixtures("no_warm_up")
def test_best_and_last_weights_are_scored_and_named(tmp_path, capsys):
    folder = make_whole_run(tmp_path / "runs" / "set" / "segnet")
    arguments = [str(folder), "--runs", str(tmp_path), "--no-crf", *QUICK]
    assert compare.main([*arguments, "--out", str(tmp_path / "best")]) == 0
    printed = capsys.readouterr().out
    assert ", weights best, weights chosen on these images (optimistic) yes" in printed
    earlier = ["--earlier", str(tmp_path / "best" / "compare.json")]
    out = tmp_path / "both"
    assert compare.main([*arguments, *earlier, "--weights", "last", "--out", str(out)]) == 0
    record = json.loads((out / "compare.json").read_text())
    (group,) = record["groups"]
    rows = {row["weights"]: row for network in group["networks"] for row in network["rows"]}
    run = RetrainedNetwork.open(folder)
    dataset = build_dataset("synthetic", split="val", image_size=SIZE, num_classes=4)
    told = {
        "best": ("segnet_basic x0.125", 5, True),
        "last": ("segnet_basic x0.125 (last weights)", 7, False),
    }
    assert set(rows) == set(told)  # two rows: other weights are no second seed
    for which, (label, step, is_chosen) in told.items():
        row = rows[which]
        score = evaluate(run.network(which), dataset, device="cpu", indices=(0, 32)).plain
        assert row["miou"] == score.mean_iou()
        assert row["weights_sha256"] == run.weights_sha256(which)
        assert (row["label"], row["best_step"], row["is_chosen_on_split"]) == (
            label,
            step,
            is_chosen,
        )
    assert rows["best"]["miou"] != rows["last"]["miou"]
    assert record["protocol"]["Weights"].startswith("the last ones of the training")
    table = (out / "compare.md").read_text()
    assert "Weights chosen on these images (optimistic)" in table


@pytest.mark.parametrize("which", ["best", "last"])
def test_a_subject_has_the_weights_that_were_asked_for(tmp_path, which):
    folder = make_whole_run(tmp_path / "run")
    ((subject,), _) = find_subjects(CompareRequest(run=(folder,), weights=which))
    expected = RetrainedNetwork.open(folder).network(which).state_dict()
    other = RetrainedNetwork.open(folder).network({"best": "last", "last": "best"}[which])
    torch.testing.assert_close(subject.network.state_dict(), expected, rtol=0, atol=0)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(subject.network.state_dict(), other.state_dict())
    assert subject.trained.best_step == {"best": 5, "last": 7}[which]
    assert subject.trained.has_chosen("val") is (which == "best")
    assert not subject.trained.has_chosen("test")
    given, bare = CompareRequest(weights=which), replace(subject, trained=None)
    text = _weights_text(given, [subject])
    assert text.startswith({"best": "those of the best validation", "last": "the last"}[which])
    assert _weights_text(given, [subject, bare]) == f"{text}; of networks without a run random ones"
    assert _weights_text(given, [bare]).startswith("random ones")


def test_a_run_without_last_weights_is_told(tmp_path):
    folder = make_run(tmp_path / "run")
    with pytest.raises(UsageError, match=r"weights-last"):
        compare.main(
            [str(folder), "--weights", "last", "--out", str(tmp_path / "o"), "--no-crf", *QUICK]
        )
