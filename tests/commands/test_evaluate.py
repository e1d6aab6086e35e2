"""Scores are shown before anything that can fail."""

import re

import numpy as np
import pytest
import torch

from autoseg import evaluate
from autoseg.cli import run_command
from autoseg.data import normalise
from autoseg.runs import Run, load_record
from autoseg.runs import run as run_module
from autoseg.trained import RetrainedNetwork
from tests.test_atomic import as_nobody
from tests.trained.random_run import make_run

pytestmark = pytest.mark.usefixtures("short_split")


def run(monkeypatch, capsys, folder, *options):
    """Run the command as a process would; return exit code, standard output and error."""
    monkeypatch.setattr("sys.argv", ["evaluate", str(folder), "--device", "cpu", *options])
    with pytest.raises(SystemExit) as ended:
        run_command(evaluate.main)
    return ended.value.code, *capsys.readouterr()


def test_a_run_in_use_is_scored_and_the_scores_are_printed(tmp_path, monkeypatch, capsys):
    folder = make_run(tmp_path / "run")
    with Run.annotate(folder):
        code, out, err = run(monkeypatch, capsys, folder)
    assert (code, re.findall(r"mIoU 0\.\d{4} over \d classes", out) != []) == (1, True)
    assert "tree" in out
    assert "error: the scores above were not saved: run folder" in err and "is in use by" in err
    assert load_record(folder)["results"] == {"best_step": 5}


def test_a_folder_that_cannot_be_written_is_told_before_and_after(tmp_path, monkeypatch, capsys):
    folder = make_run(tmp_path / "run")
    for path in (tmp_path, *tmp_path.parents, *folder.rglob("*")):
        if "pytest-of-" in str(path):  # a worker of pytest-xdist has a folder of its own
            path.chmod(0o755)
    # Another user may not be allowed to read modules that are imported late.
    assert run(monkeypatch, capsys, folder)[0] == 0
    (folder / ".lock").unlink()
    folder.chmod(0o555)
    monkeypatch.setattr("os.access", lambda path, mode: path != folder)
    with as_nobody():
        code, out, err = run(monkeypatch, capsys, folder)
    assert code == 1 and "mIoU 0." in out
    assert "cannot be written: the scores will be printed, and not saved" in err
    assert re.search(r"the scores above were not saved: could not write .*Permission denied", err)


def test_a_full_disk_comes_after_the_scores(tmp_path, monkeypatch, capsys):
    folder = make_run(tmp_path / "run")

    def full(folder, record):
        raise OSError("disk full")

    monkeypatch.setattr(run_module, "save_record", full)
    code, out, err = run(monkeypatch, capsys, folder)
    assert code == 1 and "mIoU 0." in out
    assert "the scores above were not saved: disk full" in err


def test_borders_are_scored_where_they_are_asked_for(tmp_path, monkeypatch, capsys):
    folder = make_run(tmp_path / "run")
    code, out, _ = run(monkeypatch, capsys, folder, "--trimap", "2", "--surface-tolerance", "1")
    assert code == 0
    saved = load_record(folder)["results"]["evaluation_val"]
    borders, void = saved["trimap_iou_borders_2px"], saved["trimap_iou_void_2px"]
    assert f"IoU within 2 px of borders: {borders:.4f}" in out
    assert f"Surface Dice, 1 px: {saved['surface_dice_1px']:.4f}" in out
    assert f"IoU within 2 px of void: {void:.4f}" in out
    assert f"IoU by frequency {saved['frequency_weighted_iou']:.4f}" in out


def test_calibration_and_confusions_are_those_of_softmax_in_float64(tmp_path, monkeypatch, capsys):
    folder = make_run(tmp_path / "run")
    code, out, _ = run(monkeypatch, capsys, folder, "--calibration", "--confusions")
    assert code == 0
    trained = RetrainedNetwork.open(folder)
    network, dataset = trained.network(), trained.dataset("val")
    sure, right, counts = [], [], np.zeros((dataset.num_classes,) * 2)
    for sample in (dataset[i] for i in range(len(dataset))):
        with torch.inference_mode():
            logits = network(normalise(sample.image[None], dataset.normalisation))[0]
        share, pred = logits.double().softmax(0).max(0)
        known = sample.target != dataset.ignore_index
        sure.append(share[known].numpy())
        right.append((pred == sample.target)[known].numpy())
        np.add.at(counts, (sample.target[known].numpy(), pred[known].numpy()), 1)
    sure, right = np.concatenate(sure), np.concatenate(right)
    places = np.clip(np.ceil(15 * sure), 1, 15)
    bins = [places == place for place in np.unique(places)]
    error = sum(sum(b) * abs(right[b].mean() - sure[b].mean()) for b in bins) / len(sure)
    saved = load_record(folder)["results"]["evaluation_val"]
    assert saved["calibration_error"] == pytest.approx(error, abs=1e-5)
    assert f"calibration: expected error {saved['calibration_error']:.4f}; on average" in out
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    np.fill_diagonal(shares, 0)
    true, taken_for = np.unravel_index(shares.argmax(), shares.shape)
    names = dataset.class_names
    assert f"{names[true]} is taken for {names[taken_for]}: {100 * shares.max():.1f} % of" in out
