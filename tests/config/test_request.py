"""A request remembers what was said; presets and earlier runs decide the rest."""

import copy
import dataclasses
import pickle
from dataclasses import dataclass

import pytest

from autoseg.config import (
    DataConfig,
    LossConfig,
    RecipeConfig,
    Request,
    SearchConfig,
    TrainingConfig,
    read_values,
    values_of,
)
from autoseg.config.request import Difference
from autoseg.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Sizes:
    crop: tuple[int, int] = (1, 2)
    batch: int = 3
    scale: float = 1.0

    def __post_init__(self):
        if self.batch > self.crop[0] * 100:
            raise UsageError("batch and crop cannot stand together")


@dataclass(frozen=True, kw_only=True)
class Asked(Request, Sizes):
    name: str = "x"


def test_what_was_named_is_known_even_where_it_equals_the_default():
    assert Asked().given == frozenset()
    asked = Asked(batch=3, name="y")
    assert asked.given == {"batch", "name"}
    assert asked == Asked(name="y")  # two requests are equal by what they ask


def test_others_decide_what_was_left_open():
    asked = Asked(batch=5).with_defaults(Sizes(batch=9, crop=(7, 7)), scale=2.0, batch=8)
    assert asked == Asked(batch=5, crop=(7, 7), scale=2.0)
    assert asked.given == {"batch"}
    # A second time: what an earlier default decided is still open.
    assert asked.with_defaults(scale=3.0).scale == 3.0
    assert asked.with_values(batch=6).batch == 6
    assert asked.with_values(batch=6).given == {"batch"}


def test_fields_are_held_against_each_other_when_nothing_is_open():
    asked = Asked(batch=200)
    with pytest.raises(UsageError, match="cannot stand together"):
        asked.pick(Sizes)
    assert asked.with_defaults(crop=(2, 2)).pick(Sizes) == Sizes(batch=200, crop=(2, 2))


def test_an_option_that_is_not_read_is_refused_unless_it_is_off():
    asked = Asked(name="x", crop=(), batch=0)
    with pytest.raises(UsageError, match=r"^--name, --batch: not read; leave it out\.$"):
        asked.refuse(("scale", "name", "crop", "batch"), "not read; leave it out.")
    asked.refuse(("scale", "crop"), "not read.")
    # What others decided was not given.
    asked.with_defaults(scale=2.0).refuse(("scale",), "not read.")


def test_differences_are_those_of_what_was_said():
    saved = Asked(batch=4, crop=(5, 5), name="z")
    assert Asked().differences(saved) == []
    assert Asked(batch=4, name="y", crop=(1, 2)).differences(saved) == [
        Difference("crop", (5, 5), (1, 2)),
        Difference("name", "z", "y"),
    ]
    assert Asked(name="y").differences(saved, ignoring=("name",)) == []


def test_a_copy_says_the_same():
    asked = Asked(batch=4)
    for other in (copy.deepcopy(asked), pickle.loads(pickle.dumps(asked))):
        assert (other, other.given) == (asked, asked.given)


def test_values_come_back_from_json():
    values = {"crop": [5, 6], "scale": 2, "strange": None, "name": "y"}
    assert read_values(Asked, values, where="run.json") == Asked(crop=(5, 6), scale=2.0, name="y")
    with pytest.raises(UsageError, match=r"^run\.json: field 'batch' must be a whole number, not "):
        read_values(Asked, {"batch": "many"}, where="run.json")
    path = {"data_root": None, "image_size": None, "dataset": "camvid"}
    assert read_values(DataConfig, path, where="x") == DataConfig(dataset="camvid")


def test_shared_settings_are_declared_once():
    shared = {field.name for field in dataclasses.fields(RecipeConfig)}
    assert len(shared) == 16
    for config_type in (SearchConfig, TrainingConfig):
        assert shared <= set(values_of(config_type()))
    own = set(values_of(SearchConfig())) & set(values_of(TrainingConfig()))
    assert own == shared
    assert not shared & set(values_of(LossConfig()))
