"""The whole command on tiny runs with random weights, and its refusals."""

import csv
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from autoseg import compare, tune
from autoseg.architecture import Architecture
from autoseg.cli import run_command
from autoseg.commands import compare as compare_command
from autoseg.commands.compare import run_compare
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.evaluation import evaluate
from autoseg.metrics import doubt_about
from autoseg.requests import CompareRequest
from autoseg.runs import Run
from autoseg.trained import NetworkChoice, RetrainedNetwork
from autoseg.training.overfit import overfit_note
from tests.one_pixel import one_pixel_figures

pytestmark = pytest.mark.usefixtures("no_warm_up")

SIZE = (32, 48)
QUICK = ["--limit", "2", "--min-runs", "1", "--min-seconds", "0", "--device", "cpu"]


def make_run(
    folder,
    *,
    num_classes=4,
    state="finished",
    seed=0,
    overfit=None,
    label="segnet_basic",
    class_name="class",
):
    """Write a run as the retraining leaves it, with random weights."""
    torch.manual_seed(seed)
    choice = NetworkChoice(label=label, name="segnet_basic", width=0.125)
    config = {
        "dataset": "synthetic",
        "data_root": None,
        "image_size": SIZE,
        "num_classes": num_classes,
        "image_scale": 1.0,
        "num_steps": 7,
        "overfit": overfit,
        "network": choice.to_dict(),
        "class_names": [f"{class_name} {number}" for number in range(num_classes)],
    }
    with Run.create(folder, kind="retrain", command=["x"], config=config, seed=seed) as run:
        run.save_weights("best", choice.build(num_classes).state_dict(), metadata={})
        run.update(results={"best_step": 5})
        if overfit is not None:
            run.update(results={"note": overfit_note(overfit)})
        run.finish(state)
    return folder


@pytest.mark.slow
@one_pixel_figures()
def test_each_run_has_the_parameters_that_were_tuned_for_it(tmp_path):
    tuned = make_run(tmp_path / "runs" / "set" / "tuned")
    make_run(tmp_path / "runs" / "set" / "stock", seed=1)
    arguments = ["crf", str(tuned), "--split", "val", "--num-images", "2", "--num-trials", "3"]
    assert tune.main(arguments) == 0
    out = tmp_path / "out"
    assert compare.main(["--runs", str(tmp_path / "runs"), "--out", str(out), *QUICK]) == 0
    record = json.loads((out / "compare.json").read_text())
    networks = [network for group in record["groups"] for network in group["networks"]]
    parameters = json.loads((tuned / "crf.json").read_text())["parameters"]
    for network in networks:
        plain, refined = network["rows"]
        assert refined["miou_change"] == pytest.approx(refined["miou"] - plain["miou"])
        if refined["run"] == str(tuned):
            assert f"num_iterations {parameters['num_iterations']}" in refined["crf"]
            assert refined["crf"].endswith("(tuned on val)")
            assert any("its score here is optimistic" in note for note in network["notes"])
        else:
            assert refined["crf"].endswith("(DeepLab's, not tuned)")
    assert "tuned on val" in record["protocol"]["CRF"]


def make_away(folder):
    """Write a run on images that are not on this machine."""
    choice = NetworkChoice(label="segnet_basic", name="segnet_basic", width=0.125)
    config = {
        "dataset": "camvid",
        "data_root": None,
        "image_size": None,
        "num_classes": None,
        "image_scale": 1.0,
        "num_steps": 7,
        "network": choice.to_dict(),
        "class_names": ["a", "b"],
    }
    with Run.create(folder, kind="retrain", command=["x"], config=config, seed=0) as run:
        run.update(results={"best_step": 5})
        run.finish()


def test_one_row_a_setting_in_every_format(tmp_path, capsys):
    folder = make_run(tmp_path / "runs" / "set" / "segnet")
    with Run.annotate(folder) as run:
        run.update(baselines={"colour_miou": 0.99})
    out = tmp_path / "out"
    arguments = ["--runs", str(tmp_path / "runs"), "--out", str(out), "--num-iterations", "1"]
    assert compare.main([*arguments, *QUICK]) == 0

    with (out / "compare.csv").open(newline="") as file:
        plain, refined = csv.DictReader(file)
    assert (plain["has_crf"], refined["has_crf"]) == ("False", "True")
    expected = evaluate(
        RetrainedNetwork.open(folder).network(),
        build_dataset("synthetic", split="val", image_size=SIZE, num_classes=4),
        device="cpu",
        indices=(0, 32),  # two of 64 images, evenly spread
    )
    assert float(plain["miou"]) == expected.plain.mean_iou()
    assert (plain["run"], plain["seed"], plain["num_steps"]) == (str(folder), "0", "7")
    assert (plain["best_step"], plain["num_images"], plain["split"]) == ("5", "2", "val")
    assert "num_iterations 1" in refined["crf"] and plain["crf"] == ""

    record = json.loads((out / "compare.json").read_text())
    (group,) = record["groups"]
    stored = group["networks"][0]["rows"][0]
    assert stored["miou"] == expected.plain.mean_iou()
    assert "--num-iterations 1" in record["protocol"]["Command"]
    names = {path.name for path in out.iterdir()}
    assert names == {
        *("compare.csv", "compare.md", "compare.tex", "compare.json", "report.html"),
        *("compare.png", "compare.svg"),
    }
    # The console ends with the table that the file holds, and says where everything is.
    printed = capsys.readouterr()
    table = [line for line in printed.out.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert all(line in (out / "compare.md").read_text() for line in table)
    assert printed.out.splitlines()[-1] == f"open {(out / 'report.html').as_uri()}"
    assert (tmp_path / "runs/index.html").is_file()
    assert "compare: 3/3 steps" in printed.err
    # A score below what each pixel's colour has is no achievement, and every document says so.
    doubt = doubt_about(expected.plain, [f"class {n}" for n in range(4)], colour_miou=0.99)
    assert f": doubtful: {doubt}." in printed.out
    assert "doubtful: its mIoU" in (out / "compare.md").read_text()
    assert "doubtful: its mIoU" in (out / "report.html").read_text()


def test_a_folder_for_results_that_cannot_be_is_told_before_the_measurements(tmp_path, monkeypatch):
    make_run(tmp_path / "runs" / "a")
    (tmp_path / "out").touch()
    monkeypatch.setattr(compare_command, "measure_networks", None)  # nothing may be measured
    with pytest.raises(OSError, match=r"nothing can be written to .*out: .*name another folder"):
        compare.main(["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), *QUICK])


def test_the_tables_are_printed_before_files_are_written(tmp_path, monkeypatch, capsys):
    make_run(tmp_path / "runs" / "a")

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(compare_command, "write_comparison", full)
    arguments = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--no-crf"]
    with pytest.raises(OSError, match="disk full"):
        compare.main([*arguments, *QUICK])
    assert "segnet_basic" in capsys.readouterr().out


def test_strangers_names_end_no_comparison(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command sets its own
    name = "[4pt] $a$ <b>_x_\x1b[31m"
    folder = make_run(tmp_path / "runs" / name, label="[4pt] $5 and $x <b>", class_name=name)
    out = tmp_path / "caf\udce9"
    arguments = ["--runs", str(tmp_path / "runs"), "--out", str(out), "--no-crf", *QUICK]
    with pytest.raises(SystemExit) as ended:
        run_command(lambda _: compare.main(arguments))
    assert ended.value.code == 0
    with (out / "compare.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["label"] == "[4pt] $5 and $x <b> x0.125"
    record = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    # JSON holds the texts as they are, but for what UTF-8 cannot hold.
    assert record["groups"][0]["networks"][0]["rows"][0]["run"] == str(folder)
    assert r"caf\udce9" in record["protocol"]["Command"]
    for path in out.iterdir():
        if path.suffix in (".md", ".tex", ".html", ".svg"):
            assert "\x1b" not in path.read_text(encoding="utf-8")
    assert str(out / "report.html").replace("\udce9", r"\udce9") in capsys.readouterr().out


@pytest.mark.slow
@one_pixel_figures()
def test_runs_that_cannot_be_compared_are_kept_apart(tmp_path, capsys):
    make_run(tmp_path / "runs" / "a", num_classes=4)
    make_run(tmp_path / "runs" / "b", num_classes=5)
    out = tmp_path / "out"
    out.mkdir()
    earlier = {"format": "autoseg-comparison", "groups": [{}, {}, {}]}
    (out / "compare.json").write_text(json.dumps(earlier))
    for name in ("compare-3.png", "compare-4.png", "compare-notes.txt"):
        (out / name).touch()
    compare.main(["--runs", str(tmp_path / "runs"), "--out", str(out), "--no-crf", *QUICK])
    for name, num_classes in (("compare.csv", "4"), ("compare-2.csv", "5")):
        with (out / name).open(newline="") as file:
            assert [row["num_classes"] for row in csv.DictReader(file)] == [num_classes]
    warning = "Not everything here can be compared: there are 2 tables"
    assert warning in capsys.readouterr().out
    assert warning in (out / "compare.md").read_text()
    assert warning in (out / "report.html").read_text()
    # A third group's figure was left by the earlier comparison; the others are somebody's own.
    assert not (out / "compare-3.png").exists()
    assert (out / "compare-4.png").exists() and (out / "compare-notes.txt").exists()


def test_an_architecture_among_the_results_is_not_replaced(tmp_path):
    file = tmp_path / "compare.json"
    Architecture.load("autodeeplab_paper").save(file)
    before = file.read_bytes()
    arguments = ["--networks", str(file), "--runs", str(tmp_path), "--out", str(tmp_path)]
    with pytest.raises(UsageError, match=r"compare\.json would replace the input .*compare\.json"):
        compare.main([*arguments, "--no-crf", *QUICK[2:]])
    assert file.read_bytes() == before


def test_networks_without_a_run_show_costs(tmp_path):
    out = tmp_path / "out"
    names = ["--networks", "icnet_resnet50", "--width", "0.125"]
    quick = QUICK[2:]  # nothing is scored that a limit could end
    compare.main([*names, "--runs", str(tmp_path), "--out", str(out), "--no-crf", *quick])
    with (out / "compare.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["miou"], row["run"], row["label"]) == ("", "", "icnet_resnet50 x0.125")
    assert (row["num_classes"], row["image_height"], row["image_width"]) == ("12", "96", "128")
    assert int(row["macs"]) > 0
    assert not (out / "compare.png").exists()  # nothing scored, nothing to draw
    assert "- Weights: random ones: no network" in (out / "compare.md").read_text()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"limit": 0}, r"limit = 0: it must be at least 1, or none"),
        ({"min_runs": 0}, r"min_runs = 0: it must be at least 1"),
        ({"width": 0.5}, r"--width is for networks without a run; name some with --networks"),
        ({"dataset": "camvid"}, r"--dataset is for networks without a run"),
    ],
)
def test_bad_settings_are_refused(fields, message):
    with pytest.raises(UsageError, match=message):
        CompareRequest(**fields)


def test_what_cannot_run_here_is_refused_before_anything_is_looked_for(tmp_path):
    asked = CompareRequest(runs=tmp_path, backend=("eager", "cuda-graph"), device="cpu")
    with pytest.raises(UsageError, match=r"^--backend cuda-graph needs a GPU"):
        run_compare(asked, command=[])


def test_the_door_in_benchmarks_is_the_command():
    door = Path(__file__).parents[2] / "benchmarks" / "compare.py"
    helped = subprocess.run(
        [sys.executable, str(door), "--help"],
        env={**os.environ, "PYTHONPATH": str(door.parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert helped.stdout.startswith("usage: python -m autoseg.compare ")
    assert helped.stderr == ""
