"""`python -m autoseg.tune crf` from end to end, and who takes its record."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from autoseg import evaluate, predict, tune
from autoseg.crf import STOCK, CRFConfig
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.evaluation import evaluate as evaluate_network
from autoseg.runs import load_record
from autoseg.trained import RetrainedNetwork
from tests.commands.test_runs_index import listed_states
from tests.commands.test_tensorboard import Writer
from tests.one_pixel import one_pixel_figures
from tests.stop_after import StopAfter
from tests.trained.random_run import SIZE, make_run

QUICK = ["--num-images", "2", "--num-trials", "4", "--device", "cpu"]


def read(folder):
    return json.loads((folder / "crf.json").read_text())


def test_the_record_holds_what_evaluate_finds(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writers = Writer.install(monkeypatch)
    folder = make_run(tmp_path / "runs" / "run")
    assert tune.main(["crf", str(folder), *QUICK, "--seed", "5", "--tensorboard"]) == 0
    out = capsys.readouterr().out
    assert listed_states(tmp_path / "runs") == {"run": "finished"}
    assert f"open {(folder / 'figures/crf_tuning.png').as_uri()}\n" in out
    assert (folder / "figures/crf_tuning.png").is_file()
    record = read(folder)
    assert (record["split"], record["num_images"], record["seed"]) == ("train", 2, 5)
    assert (record["indices"], record["num_trials"], record["finished"]) == ([0, 4], 4, True)
    assert "autoseg.tune crf" in record["command"] and "--seed 5" in record["command"]
    dataset = build_dataset("synthetic", split="train", image_size=SIZE, num_classes=4, length=8)
    parameters = CRFConfig.from_dict(record["parameters"])
    for crf, plain, refined in (
        (parameters, record["mean_iou_without"], record["mean_iou"]),
        (STOCK["DeepLab"], record["mean_iou_without"], record["stock"][0]["mean_iou"]),
    ):
        scores = evaluate_network(
            RetrainedNetwork.open(folder).network(),
            dataset,
            device="cpu",
            indices=(0, 4),
            crf=crf.build(),
        )
        assert scores.with_crf is not None
        assert plain == scores.plain.mean_iou()
        assert refined == scores.with_crf.mean_iou()
    tried = [trial["mean_iou"] for trial in record["trials"]]
    assert record["mean_iou"] == max(tried)
    (writer,) = writers
    assert [each for each in writer.scalars if each[0] == "crf_miou"] == [
        ("crf_miou", miou, number) for number, miou in enumerate(tried, start=1)
    ]
    assert "figures/crf_tuning" in [name for name, *_ in writer.images]
    assert record["use_crf"] == (record["mean_iou"] > record["mean_iou_without"])
    assert f"{record['mean_iou_change']:+.4f}" in out
    assert "no CRF" in out and "pydensecrf's readme" in out
    assert (folder / "figures" / "crf_tuning.png").stat().st_size > 5000
    stored = load_record(folder)
    assert stored["state"] == "finished"
    assert stored["results"]["crf_tuning"]["parameters"] == record["parameters"]


@one_pixel_figures()
def test_the_scores_are_printed_before_they_are_written(tmp_path, monkeypatch, capsys):
    folder = make_run(tmp_path / "run")

    def full(path, content):
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr("autoseg.commands.tune.atomic_write", full)
        with pytest.raises(OSError, match="disk full"):
            tune.main(["crf", str(folder), *QUICK])
    out = capsys.readouterr().out
    assert "best of all trials" in out and "the best CRF" in out
    assert tune.main(["crf", str(folder), *QUICK]) == 0  # no trial was lost
    captured = capsys.readouterr()
    assert "going on after 4 trials" in captured.err and captured.out.startswith(out)


@pytest.mark.slow
@one_pixel_figures()
def test_going_on_equals_never_stopping(tmp_path, capsys):
    whole, stopped = make_run(tmp_path / "whole"), make_run(tmp_path / "stopped")
    more = ["--num-images", "2", "--num-trials", "14"]
    assert tune.main(["crf", str(whole), *more]) == 0
    assert tune.main(["crf", str(stopped), *QUICK]) == 0
    assert tune.main(["crf", str(stopped), *more, "--cache-mib", "0"]) == 0
    err = capsys.readouterr().err
    assert "going on after 4 trials" in err
    assert "in memory" in err and "on disk" in err
    assert read(whole)["trials"] == read(stopped)["trials"]
    assert not list(stopped.glob(".crf-logits-*"))


@pytest.mark.slow
@one_pixel_figures()
def test_ctrl_c_saves_the_best_so_far(tmp_path, monkeypatch, capsys):
    folder = make_run(tmp_path / "run")
    with monkeypatch.context() as patched:
        patched.setattr("autoseg.commands.tune.StopRequest", StopAfter)
        StopAfter.asked = 1
        assert tune.main(["crf", str(folder), *QUICK]) == 130
        assert "stopped before a trial was scored. Again: python -m" in capsys.readouterr().out
        assert not (folder / "crf.json").exists()
        # Asked before each image's logits, each trial and each image of it.
        StopAfter.asked = 2 + 8
        assert tune.main(["crf", str(folder), *QUICK]) == 130
    record = read(folder)
    assert (record["num_trials"], record["num_trials_asked"], record["finished"]) == (2, 4, False)
    assert "stopped after 2 of 4 trials" in capsys.readouterr().out
    assert tune.main(["crf", str(folder), *QUICK]) == 0
    assert read(folder)["finished"]


@pytest.mark.slow
@one_pixel_figures()
def test_where_nothing_beats_the_network_alone_it_says_so(tmp_path, monkeypatch, capsys):
    folder = make_run(tmp_path / "run")
    dataset = build_dataset("synthetic", split="val", image_size=SIZE, num_classes=4)
    targets = {tuple(dataset[i].image.flatten()[:50].tolist()): dataset[i].target for i in (0, 32)}

    def perfect(network, images, **_):
        mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
        pixels = ((images[0] * std + mean) * 255).round().byte()
        target = targets[tuple(pixels.flatten()[:50].tolist())].clamp(max=3)
        return 30 * F.one_hot(target, 4).permute(2, 0, 1)[None].float()

    monkeypatch.setattr("autoseg.tuning.scoring.predict_logits", perfect)
    assert tune.main(["crf", str(folder), *QUICK, "--split", "val"]) == 0
    captured = capsys.readouterr()
    assert "the score with the CRF on val will be optimistic" in captured.err
    assert "nothing beats no CRF, so leave it out" in captured.out
    record = read(folder)
    assert record["mean_iou_without"] == 1.0
    assert record["use_crf"] is False
    monkeypatch.undo()
    assert evaluate.main([str(folder), "--crf"]) == 0
    err = capsys.readouterr().err
    assert "none of 4 trials beat the network without a CRF" in err
    assert "tuned on val, which its score there is optimistic about" in err


@pytest.mark.slow
@one_pixel_figures()
@pytest.mark.usefixtures("short_split")
def test_evaluate_and_predict_take_the_record_unless_told_otherwise(tmp_path, capsys):
    folder = make_run(tmp_path / "run")
    assert evaluate.main([str(folder), "--crf"]) == 0
    assert load_record(folder)["results"]["evaluation_val"]["crf"]["source"] == "stock"
    assert tune.main(["crf", str(folder), *QUICK]) == 0
    capsys.readouterr()
    assert evaluate.main([str(folder), "--crf"]) == 0
    captured = capsys.readouterr()
    assert f"tuned on 2 images of train, from {folder}/crf.json" in captured.err
    assert "(tuned on train)" in captured.out
    stored = load_record(folder)["results"]["evaluation_val"]["crf"]
    for name, value in read(folder)["parameters"].items():
        assert stored[name] == value
    assert (
        stored["mean_iou_change"]
        == stored["mean_iou"] - (load_record(folder)["results"]["evaluation_val"]["mean_iou"])
    )
    assert evaluate.main([str(folder), "--crf", "--num-iterations", "1"]) == 0
    stored = load_record(folder)["results"]["evaluation_val"]["crf"]
    assert (stored["source"], stored["num_iterations"]) == ("given", 1)

    pixels = np.random.default_rng(0).integers(0, 256, (20, 25, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    capsys.readouterr()
    photo, out = str(tmp_path / "photo.png"), str(tmp_path / "out")
    assert predict.main([str(folder), photo, "--out", out, "--crf"]) == 0
    assert "(tuned on train)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-trials", "1"], r"--num-trials must be at least 2, not 1"),
        (["--num-images", "-1"], r"--num-images must be at least 0, not -1"),
        (["--split", "test"], r"test"),
        (["--crf-mode", "fats"], r"fats"),
    ],
)
def test_bad_requests_are_told_what_to_do(tmp_path, arguments, message):
    folder = make_run(tmp_path / "run")
    with pytest.raises(UsageError, match=message):
        tune.main(["crf", str(folder), *arguments])
    assert not (folder / "crf.json").exists()


def test_only_the_crf_can_be_tuned(tmp_path):
    with pytest.raises(UsageError, match="cfr"):
        tune.main(["cfr", str(tmp_path)])
