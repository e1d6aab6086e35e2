"""Which runs and networks a comparison finds, leaves out or refuses."""

from pathlib import Path

import pytest

from autoseg.commands.compare import find_subjects
from autoseg.errors import UsageError
from autoseg.requests import CompareRequest
from autoseg.runs import Run, load_record
from autoseg.runs.record import save_record
from tests.commands.test_compare import SIZE, make_away, make_run


def request(tmp_path, **fields):
    return CompareRequest(runs=tmp_path / "runs", **fields)


def test_networks_without_a_run_join_the_runs(tmp_path):
    make_run(tmp_path / "runs" / "a", num_classes=5)
    subjects, _ = find_subjects(request(tmp_path, networks=("icnet_resnet50", "autodeeplab_paper")))
    assert [subject.dataset.num_classes for subject in subjects] == [5, 5, 5]
    assert [subject.image_size for subject in subjects] == [SIZE] * 3
    assert [len(subject.indices) for subject in subjects] == [64, 0, 0]
    assert subjects[2].label == "autodeeplab_paper F20"


def test_networks_of_one_dataset_share_its_images(tmp_path):
    for name in ("a", "b"):
        make_run(tmp_path / "runs" / name, num_classes=5)
    make_run(tmp_path / "runs" / "c", num_classes=4)
    subjects, _ = find_subjects(request(tmp_path))
    shared = {subject.dataset.num_classes: subject.dataset for subject in subjects}
    assert [s.dataset is shared[s.dataset.num_classes] for s in subjects] == [True] * 3
    assert set(shared) == {4, 5}


def test_a_folder_stands_for_the_runs_in_it_and_none_counts_twice(tmp_path):
    for name in ("a", "b"):
        make_run(tmp_path / "runs" / name)
    given = (tmp_path / "runs" / "b", tmp_path / "runs")
    subjects, _ = find_subjects(request(tmp_path, run=given))
    assert [subject.trained.folder.name for subject in subjects] == ["b", "a"]


def test_broken_runs_are_left_out_if_found_and_refused_if_named(tmp_path, monkeypatch):
    monkeypatch.delenv("AUTOSEG_DATA", raising=False)
    make_run(tmp_path / "runs" / "whole")
    make_run(tmp_path / "runs" / "early", state="interrupted")
    make_away(tmp_path / "runs" / "away")
    weights = make_run(tmp_path / "runs" / "cut") / "weights-best.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])

    subjects, left_out = find_subjects(request(tmp_path))
    assert [subject.trained.folder.name for subject in subjects] == ["whole"]
    by_name = {Path(sentence.split(":")[0]).name: sentence for sentence in left_out}
    assert "not finished (interrupted)" in by_name["early"]
    assert "camvid: no data folder was given" in by_name["away"]
    assert "weights-best.safetensors is not whole" in by_name["cut"]

    for name, message in (
        ("early", r"not finished \(interrupted\), so its score would say little; finish it with"),
        ("away", r"camvid: no data folder was given; name the folder with --data-root"),
        ("cut", r"weights-best\.safetensors is not whole"),
    ):
        with pytest.raises(ValueError, match=message):
            find_subjects(request(tmp_path, run=(tmp_path / "runs" / name,)))


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        ("results", "best_step", None, "results.best_step is None; it must be a whole number"),
        ("config", "num_steps", "x", "config.num_steps is 'x'; it must be a whole number"),
        ("config", "loss", 3, "config.loss is 3; it must be a list"),
        ("config", "weights", "x", "config.weights is 'x'; it must be an object"),
        ("config", "network", None, "config.network is None; it must be an object"),
        ("config", "image_size", "x", "image_size"),
        ("config", "dataset", 3, "config.dataset is 3; it must be a text"),
    ],
)
def test_one_odd_record_does_not_hide_the_others(tmp_path, part, field, value, message):
    make_run(tmp_path / "runs" / "whole")
    odd = make_run(tmp_path / "runs" / "odd")
    record = load_record(odd)
    record[part][field] = value
    save_record(odd, record)
    subjects, (sentence,) = find_subjects(request(tmp_path))
    assert [subject.trained.folder.name for subject in subjects] == ["whole"]
    assert "odd/run.json" in sentence and message in sentence


def test_a_sanity_check_is_no_result(tmp_path):
    make_run(tmp_path / "runs" / "whole")
    check = make_run(tmp_path / "runs" / "check", overfit=2)
    subjects, left_out = find_subjects(request(tmp_path))
    assert [subject.trained.folder.name for subject in subjects] == ["whole"]
    (sentence,) = left_out
    assert "check is a sanity check (--overfit 2), no result: scored on the 2 images" in sentence
    assert sentence.endswith("Retrain the network without --overfit, and compare that run.")
    with pytest.raises(UsageError, match=r"--overfit 2.*that it was trained on; it is not compa"):
        find_subjects(request(tmp_path, run=(check,)))


def test_no_run_says_what_to_run_first(tmp_path):
    with pytest.raises(
        UsageError, match=r"no finished retrain run under .*runs/ to compare: run "
    ) as e:
        find_subjects(request(tmp_path))
    assert "`python -m autoseg.search` and `python -m autoseg.retrain` first" in str(e.value)
    assert "compare costs alone with --networks NAME" in str(e.value)


def test_no_finished_run_says_why_the_others_do_not_count(tmp_path):
    make_run(tmp_path / "runs" / "early", state="interrupted")
    with pytest.raises(UsageError, match=r"early: .* is not finished \(interrupted\)"):
        find_subjects(request(tmp_path))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"networks": ("icnet_resnet5",)}, r"unknown network 'icnet_resnet5'; did you mean"),
        ({"networks": ("none.json",)}, r"architecture file none.json does not exist"),
        ({"run": (Path("nowhere"),)}, r"nowhere holds no run"),
        ({"networks": ("icnet_pruned",), "dataset": "x"}, r"unknown dataset 'x'"),
    ],
)
def test_bad_names_are_refused(tmp_path, fields, message):
    with pytest.raises(UsageError, match=message):
        find_subjects(request(tmp_path, **fields))


def test_a_run_of_another_kind_is_refused(tmp_path):
    with Run.create(tmp_path / "s", kind="search", command=[], config={}, seed=0) as run:
        run.finish()
    with pytest.raises(UsageError, match=r"s is a search run and holds no retrained network; run"):
        find_subjects(request(tmp_path, run=(tmp_path / "s",)))
