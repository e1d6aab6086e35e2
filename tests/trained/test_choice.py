"""The choice of a network as a record keeps it."""

import json
from dataclasses import fields

import pytest

from autoseg.architecture import Architecture
from autoseg.crf import CRFConfig
from autoseg.errors import UsageError
from autoseg.networks import CRF_RNN
from autoseg.trained import NetworkChoice

FIXED = NetworkChoice(label="icnet_resnet50", name="icnet_resnet50", width=0.125)


def searched():
    return NetworkChoice(
        label="searched",
        architecture=Architecture.load("autodeeplab_paper"),
        width=0.125,
        filter_multiplier=4,
    )


@pytest.mark.parametrize("choice", [FIXED, searched()], ids=lambda choice: choice.label)
@pytest.mark.parametrize("has_crf", [False, True])
def test_a_record_builds_the_same_choice(choice, has_crf):
    if has_crf:
        choice = choice.with_crf_layer()
        assert choice.label.endswith("+crf")
    values = json.loads(json.dumps(choice.to_dict()))
    assert NetworkChoice.from_dict(values) == choice
    # Records of before the layer have no such entry, and need none.
    assert ("crf_layer" in values) == has_crf


@pytest.mark.parametrize("label", ["../../x", "/tmp/x", "..", "", "a\x00b", "..\\x", "\ud800"])
def test_a_label_that_leads_out_of_the_folder_is_refused(label):
    values = {**FIXED.to_dict(), "label": label}
    with pytest.raises(UsageError, match=r"network label .* cannot be the name of a run folder"):
        NetworkChoice.from_dict(values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": "x"}, r"network\.width is 'x'; it must be a number from 0\.001 to 100"),
        ({"width": 1e9}, r"network\.width is 1000000000\.0; it must be a number"),
        ({"label": None}, r"network\.label is None; it must be a text"),
        ({"filter_multiplier": 2**40}, r"network\.filter_multiplier is \d+; it must be"),
        ({"drop_path_keep": 7}, r"network\.drop_path_keep is 7; it must be a number from 0 to 1"),
        ({"widht": 1}, r"unknown field of a network 'widht'; did you mean 'width'"),
        ({"architecture": {}}, r"network must have either a name or an architecture"),
        ({"encoder": "resnet50"}, r"encoder .resnet50. was given for the fixed network"),
        ({"encoder": 3}, r"network\.encoder is 3; it must be a text"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        NetworkChoice.from_dict({**FIXED.to_dict(), **changes})


def test_all_that_the_crf_starts_from_is_recorded():
    recorded = json.loads(json.dumps(FIXED.with_crf_layer().to_dict()))["crf_layer"]
    assert set(recorded) == {field.name for field in fields(CRFConfig)}
    assert recorded["subsample_above"] == CRF_RNN.subsample_above
    assert recorded["normalisation"] == "after"


def test_a_record_that_names_less_of_the_crf_means_what_was_the_case_then():
    values = FIXED.with_crf_layer().to_dict()
    named = ("bilateral_weight", "bilateral_xy_std", "bilateral_rgb_std", "spatial_weight")
    named += ("spatial_xy_std", "num_iterations", "mode")
    values["crf_layer"] = {name: values["crf_layer"][name] for name in named}
    assert NetworkChoice.from_dict(values) == FIXED.with_crf_layer()
