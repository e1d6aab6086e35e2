import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.runs.json_values import to_json


@dataclasses.dataclass(frozen=True, slots=True)
class Inner:
    crop: tuple[int, int]
    root: Path | None


def test_survives_json():
    value = {
        "inner": Inner(crop=(3, 5), root=Path("a/b")),
        "lr": np.float64(0.1),
        "steps": np.int64(7),
        "on": True,
        "iou": [0.5, math.nan],
        "none": None,
    }
    expected = {
        "inner": {"crop": [3, 5], "root": "a/b"},
        "lr": 0.1,
        "steps": 7,
        "on": True,
        "iou": [0.5, None],
        "none": None,
    }
    assert json.loads(json.dumps(to_json(value, where="x"), allow_nan=False)) == expected


def test_infinity_is_refused_with_its_place():
    with pytest.raises(ValueError, match=r"^metrics\.losses\[1\] is -inf: JSON has no infinity"):
        to_json({"losses": [1.0, -math.inf]}, where="metrics")


def test_a_tensor_is_refused_with_its_place():
    with pytest.raises(TypeError, match=r"^metrics\.loss is a torch\.Tensor.*x\.item\(\)"):
        to_json({"loss": torch.tensor(1.0)}, where="metrics")


def test_keys_must_be_strings():
    with pytest.raises(ValueError, match=r"^config has the key 3: JSON keys must be strings"):
        to_json({3: "a"}, where="config")


def test_text_that_could_not_be_read_back_is_escaped():
    assert to_json({"\ud800": ["a\0b", "größe"]}, where="x") == {r"\ud800": [r"a\x00b", "größe"]}
    with pytest.raises(ValueError, match=r"^config\.root is a\\udcff, whose name is not UTF-8"):
        to_json({"root": Path("a\udcff")}, where="config")


def test_whole_numbers_have_64_bits():
    assert to_json(2**64 - 1, where="x") == 2**64 - 1
    with pytest.raises(ValueError, match=r"^seed is a whole number of more than 64 bits"):
        to_json(10**26, where="seed")
