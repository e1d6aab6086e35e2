"""Whose parameters a CRF takes, and what the user is told of them."""

import json
from dataclasses import asdict, fields, replace
from functools import partial

import pytest

from autoseg.config.crf import PartialCRFConfig
from autoseg.crf import STOCK, CRFConfig
from autoseg.errors import UsageError
from autoseg.trained import RetrainedNetwork
from autoseg.tuning import TuningRecord, choose_crf, choose_crf_behind
from autoseg.tuning.record import TUNING_FORMAT, TUNING_FORMAT_VERSION
from tests.fuzzing import as_json, damaged_bytes, damaged_json, require_clean_refusals
from tests.trained.random_run import make_run

TUNED = CRFConfig(bilateral_weight=1.25, spatial_xy_std=2.5, num_iterations=3)


def write_record(path, **changes):
    record = {
        "format": TUNING_FORMAT,
        "format_version": TUNING_FORMAT_VERSION,
        "parameters": asdict(TUNED),
        "use_crf": True,
        "mean_iou_change": 0.01,
        "split": "train",
        "num_images": 7,
        "num_trials": 30,
        "num_trials_asked": 30,
        "finished": True,
        "weights_sha256": "abc",
    }
    path.write_text(json.dumps(record | changes))
    return path


def test_deeplabs_parameters_where_there_is_no_record(tmp_path):
    chosen = choose_crf(PartialCRFConfig(), tmp_path / "crf.json")
    assert chosen.parameters == STOCK["DeepLab"]
    # The released DeepLabv2 ResNet-101: bi_w 4, bi_xy_std 67, bi_rgb_std 3, pos_w 3, pos_xy_std 1.
    assert str(chosen.parameters) == (
        "bilateral_weight 4, bilateral_xy_std 67, bilateral_rgb_std 3, spatial_weight 3, "
        "spatial_xy_std 1, num_iterations 10, mode fast"
    )
    assert (chosen.source, chosen.notes) == ("stock", ())
    assert set(chosen.record()) == {f.name for f in fields(CRFConfig)} | {"source", "tuned_on"}
    assert chosen.record()["subsample_above"] == 100.0


def test_the_records_parameters_where_none_is_given(tmp_path):
    record = write_record(tmp_path / "crf.json")
    chosen = choose_crf(PartialCRFConfig(), record, weights_sha256="abc")
    assert chosen.parameters == TUNED
    assert chosen.text.endswith("(tuned on train)")
    assert chosen.notes == (
        f"CRF: parameters tuned on 7 images of train, from {tmp_path}/crf.json.",
    )
    assert chosen.record()["source"] == "tuned"


def test_a_networks_own_crf_layer_is_told(tmp_path):
    plain, with_layer = make_run(tmp_path / "plain"), make_run(tmp_path / "layer", crf_layer=True)
    plain, with_layer = map(RetrainedNetwork.open, (plain, with_layer))
    assert choose_crf_behind(plain, PartialCRFConfig(), weights="best").notes == ()
    (note,) = choose_crf_behind(with_layer, PartialCRFConfig(), weights="best").notes
    assert "is now refined a second time" in note


def test_the_command_line_wins_over_the_record_as_a_whole(tmp_path):
    choice = PartialCRFConfig(spatial_weight=0.5)
    chosen = choose_crf(choice, write_record(tmp_path / "crf.json"))
    # Not mixed: the tuned numbers belong together.
    assert chosen.parameters == CRFConfig(spatial_weight=0.5)
    assert chosen.source == "given"
    assert "is not used" in chosen.notes[0]


def test_a_mode_alone_keeps_the_tuned_numbers(tmp_path):
    chosen = choose_crf(PartialCRFConfig(crf_mode="exact"), write_record(tmp_path / "crf.json"))
    assert chosen.parameters == replace(TUNED, mode="exact")
    assert chosen.notes[-1] == "CRF: tuned in mode fast, used in mode exact."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_crf": False, "mean_iou_change": -0.02}, r"none of 30 trials beat .* by -0\.0200"),
        ({"finished": False, "num_trials_asked": 50}, r"stopped after 30 of 50 trials"),
        ({"weights_sha256": "of others"}, r"tuned for other weights"),
    ],
)
def test_what_speaks_against_the_record_is_said(tmp_path, changes, message):
    record = write_record(tmp_path / "crf.json", **changes)
    notes = choose_crf(PartialCRFConfig(), record, weights_sha256="abc").notes
    assert len(notes) == 2
    with pytest.raises(UsageError, match=message):
        raise UsageError(notes[1])


BAD = [
    ("{", r"crf\.json is not a tuning record of the CRF .*: Expecting .*autoseg\.tune crf RUN"),
    ("[]", r"crf\.json is not a tuning record .*: it is \[\]; it must be an object"),
    ({"format": "x"}, r"format is 'x'; it must be 'autoseg-crf-tuning'"),
    ({"format_version": 9}, r"format_version is 9; it must be 1"),
    ({"num_trials": None}, r"num_trials is None; it must be a whole number"),
    ({"split": "../x"}, r"split is '\.\./x'; it must be 'train' or 'val'"),
    ({"parameters": None}, r"parameters is None; it must be an object"),
    ({"parameters": {"spatial_weight": "x"}}, r"crf\.json is .* spatial_weight"),
    ({"parameters": {"bilateral_rgb_std": 0}}, r"crf\.json is .* bilateral_rgb_std"),
    ({"parameters": {"unknown": 1}}, r"crf\.json is .* unknown DenseCRF setting 'unknown'"),
    ({"parameters": {"mode": []}}, r"crf\.json is .*mode"),
    ({"parameters": {"num_iterations": 2**70}}, r"crf\.json is not .* more than 64 bits"),
    ({"mean_iou_change": 1e400}, r"crf\.json is not .*: it holds Infinity"),
    ("[" * 100_000, r"crf\.json is not .*: it is nested too deeply"),
]


@pytest.mark.parametrize(("content", "message"), BAD, ids=[message for _, message in BAD])
def test_a_bad_record_is_refused(tmp_path, content, message):
    path = tmp_path / "crf.json"
    if isinstance(content, str):
        path.write_text(content)
    else:
        write_record(path, **content)
    with pytest.raises(UsageError, match=message) as caught:
        TuningRecord.load(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


@pytest.mark.fuzz
def test_damage_of_any_kind_is_refused_with_the_files_name(memory_folder):
    path = write_record(memory_folder / "crf.json")
    record = json.loads(path.read_text())
    damaged = damaged_bytes(path.read_bytes()) | damaged_json(record).map(as_json)
    require_clean_refusals(partial(choose_crf, PartialCRFConfig()), path, damaged)


def test_bad_numbers_are_refused_before_anything_is_computed():
    with pytest.raises(UsageError, match="bilateral_rgb_std"):
        choose_crf(PartialCRFConfig(bilateral_rgb_std=0.0), None)
    with pytest.raises(UsageError, match="mode"):
        choose_crf(PartialCRFConfig(crf_mode="fats"), None)
