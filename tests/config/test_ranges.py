"""Every number that a user can give has a range, which help and checks share."""

import dataclasses
import math

import pytest

from autoseg import requests
from autoseg.config import Range, RetrainPreset, SearchConfig, TrainingConfig, field_types
from autoseg.errors import UsageError

REQUESTS = [getattr(requests, name) for name in requests.__all__ if name.endswith("Request")]


@pytest.mark.parametrize(
    ("interval", "inside", "outside", "text"),
    [
        (Range(low=1), [1, 10**400, 1.5], [0, 0.99, math.nan, math.inf], "at least 1"),
        (Range(low=0, without_low=True), [5e-324, 7], [0, -1, math.inf], "above 0"),
        (Range(low=0, high=1), [0, 1, 0.5], [-1e-9, 1 + 1e-9, math.nan], "from 0 to 1"),
        (Range(low=0, high=1, without_high=True), [0], [1], "at least 0 and below 1"),
        (Range(low=0, high=16, without_low=True), [16], [0, 17], "above 0 and at most 16"),
        (Range(low=0, high=4096), [], [], "from 0 to 4,096"),
    ],
)
def test_what_lies_in_a_range(interval, inside, outside, text):
    assert all(number in interval for number in inside)
    assert not any(number in interval for number in outside)
    assert str(interval) == text


@pytest.mark.parametrize("request_type", REQUESTS)
def test_every_number_has_a_range(request_type):
    numbers = {
        name
        for name, field_type in field_types(request_type).items()
        if field_type.scalar in (int, float) and field_type.range is None
    }
    assert numbers == set()


@pytest.mark.parametrize(
    ("config_type", "field", "value", "message"),
    [
        (SearchConfig, "weight_lr_final", -1.0, "must be at least 0."),
        (SearchConfig, "momentum", -1.0, "must be at least 0 and below 1."),
        (SearchConfig, "momentum", 1.0, "must be at least 0 and below 1."),
        (SearchConfig, "weight_decay", -1.0, "must be at least 0."),
        (SearchConfig, "seed", 10**26, "must be from 0 to 9,223,372,036,854,775,807."),
        (SearchConfig, "seed", -1, "must be from 0 to 9,223,372,036,854,775,807."),
        (SearchConfig, "weight_lr", 10**400, "must be above 0."),
        (SearchConfig, "weight_lr", math.nan, "must be above 0."),
        (SearchConfig, "image_scale", 1e308, "must be above 0 and at most 64."),
        (SearchConfig, "crop_size", (64, 0), "must be from 1 to 65,536."),
        (TrainingConfig, "overfit", 0, "must be at least 1, or none."),
        (RetrainPreset, "drop_path_keep", 7.0, "must be above 0 and at most 1."),
        (RetrainPreset, "drop_path_keep", 0.0, "must be above 0 and at most 1."),
    ],
)
def test_numbers_that_cannot_be_are_refused(config_type, field, value, message):
    with pytest.raises(UsageError, match=rf"^{field} = ") as caught:
        dataclasses.replace(config_type(), **{field: value})
    assert str(caught.value).endswith(f"it {message}")


def test_scales_have_an_order():
    with pytest.raises(
        UsageError, match=r"the smallest scale comes first; use --scale-range 1\.0 2"
    ):
        TrainingConfig(scale_range=(2.0, 1.0))
