"""The settings as a value: what they refuse, how they travel, and that everything gets all."""

import inspect
import json
from dataclasses import MISSING, asdict, fields, replace
from typing import Any

import pytest
import torch

from autoseg.crf import STOCK, BilateralKernel, CRFConfig, DenseCRF, SpatialKernel
from autoseg.errors import UsageError

# A value of each field that is not the default, and with which marginals differ or are refused.
OTHER: dict[str, Any] = {
    "bilateral_weight": (0.5, 1.5, 1.0),
    "bilateral_xy_std": 12.5,
    "bilateral_rgb_std": 30.25,
    "spatial_weight": 0.1,  # no float32, and no short decimal in binary
    "spatial_xy_std": 2.5,
    "num_iterations": 2,
    "mode": "exact",
    "normalisation": "after",
    "compatibility": ((0.0, 1.5, 0.25), (1.0, -0.5, 0.0), (0.5, 0.125, 0.25)),
    "additional_kernels": (
        SpatialKernel(weight=(1.0, 0.25, 2.0), xy_std=2.5),
        BilateralKernel(weight=0.75, xy_std=9.0, rgb_std=20.0),
    ),
    "tolerance": 0.25,
    "subsample_above": None,
    "backend": "torch",
    "recompute": True,
}


def test_every_field_has_another_value_here():
    """So that tests over `OTHER` see a field that is added."""
    assert list(OTHER) == [field.name for field in fields(CRFConfig)]
    for field in fields(CRFConfig):
        assert OTHER[field.name] != field.default


def test_the_modules_arguments_are_the_fields():
    parameters = inspect.signature(DenseCRF).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    assert defaults == {field.name: field.default for field in fields(CRFConfig)}
    assert MISSING not in defaults.values()


@pytest.mark.parametrize("name", OTHER)
def test_a_field_reaches_the_module_and_comes_back_from_json(name):
    settings = replace(CRFConfig(), **{name: OTHER[name]})
    crf = DenseCRF(**{name: OTHER[name]})
    assert crf.settings == settings == settings.build().settings
    assert hash(settings) == hash(crf.settings)
    text = settings.to_json()
    assert CRFConfig.from_json(text) == settings
    # As a record keeps it: in other JSON, indented, with lists for tuples.
    assert CRFConfig.from_dict(json.loads(json.dumps(asdict(settings), indent=2))) == settings
    # An operator gets all of it but the compatibility, of which it gets the present tensor.
    packed = CRFConfig.from_json(crf.settings_text)
    assert packed == replace(settings, compatibility=None)


def test_what_is_given_becomes_plain():
    matrix = torch.tensor([[0.0, 0.1], [1.0, 0.0]])
    settings = CRFConfig(
        bilateral_weight=[1, 2], bilateral_xy_std=3, compatibility=matrix, additional_kernels=[]
    )
    assert settings.bilateral_weight == (1.0, 2.0)
    assert isinstance(settings.bilateral_xy_std, float)
    assert settings.additional_kernels == ()
    # The parameter's own numbers, to the last bit of float32.
    assert torch.equal(torch.tensor(settings.compatibility), matrix)
    assert settings.kernels[0] == BilateralKernel(weight=(1.0, 2.0), xy_std=3.0, rgb_std=3.0)


def test_the_line_for_tables_names_what_was_changed():
    usual = (
        "bilateral_weight 4, bilateral_xy_std 67, bilateral_rgb_std 3, spatial_weight 3, "
        "spatial_xy_std 1, num_iterations 10, mode fast"
    )
    assert str(STOCK["DeepLab"]) == usual
    assert str(CRFConfig(subsample_above=None)) == f"{usual}, subsample_above None"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_iterations": 2.5}, "num_iterations is 2.5; it must be a whole number"),
        ({"num_iterations": True}, "num_iterations is True; it must be a whole number"),
        ({"bilateral_xy_std": "67"}, "bilateral_xy_std is 67; it must be finite and above 0"),
        ({"spatial_weight": "3"}, "spatial_weight is 3; it must be finite and not negative"),
        ({"spatial_weight": True}, "spatial_weight is True; it must be finite and not negative"),
        ({"tolerance": "no"}, "tolerance is no; it must be finite and above 0"),
        ({"subsample_above": -1.0}, "subsample_above is -1.0; it must be finite and at least 0"),
        ({"mode": 3}, "unknown DenseCRF mode '3'"),
        ({"backend": ["torch"]}, "unknown DenseCRF backend"),
        ({"recompute": 1}, "recompute is 1; it must be True or False"),
        ({"compatibility": [[0, 1], [1]]}, "compatibility is no matrix of numbers"),
        (
            {"compatibility": torch.empty(2, 2, device="meta")},
            "on the meta device, where it has no val",
        ),
        (
            {"bilateral_weight": [1.0] * 3, "compatibility": [[0.0, 1.0], [1.0, 0.0]]},
            r"for one number of classes; these are for \[2, 3\]",
        ),
        ({"subsample_over": 5}, "unknown DenseCRF setting 'subsample_over'; did you mean 'subsamp"),
        ({"additional_kernels": [{"weight": 1.0}]}, "an additional kernel has weight; it needs"),
        ({"additional_kernels": 3}, "additional_kernels are 3; they must be a list of kernels"),
    ],
)
def test_values_of_a_record_that_cannot_be_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        CRFConfig.from_dict(changes)
