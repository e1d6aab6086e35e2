from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest

from autoseg.config.field_types import FieldType, field_types
from autoseg.config.ranges import Range


@dataclass
class Config:
    a: int
    b: "float | None"  # as under `from __future__ import annotations`
    c: tuple[Path, ...]
    d: tuple[int, int, int] | None
    e: Literal[1, 2]
    f: Optional[str]  # noqa: UP045 - the older spelling is a type of its own
    g: tuple[Literal["x", "y"], ...]


def test_types_are_read():
    assert field_types(Config) == {
        "a": FieldType(scalar=int),
        "b": FieldType(scalar=float, is_optional=True),
        "c": FieldType(scalar=Path, is_tuple=True),
        "d": FieldType(scalar=int, is_tuple=True, length=3, is_optional=True),
        "e": FieldType(scalar=int, choices=(1, 2)),
        "f": FieldType(scalar=str, is_optional=True),
        "g": FieldType(scalar=str, choices=("x", "y"), is_tuple=True),
    }


@pytest.mark.parametrize(
    "hint",
    [
        dict,
        list[int],
        int | str,
        Literal["a"] | str,
        Literal["a"] | bool,
        Literal["a"] | int | float,
        tuple,
        tuple[int, str],
        bool | None,
        Any,
        Literal[1, "a"],
        complex,
    ],
)
def test_types_that_no_command_line_expresses(hint):
    config = make_dataclass("Config", [("some", hint)])
    with pytest.raises(TypeError, match=r"^Config\.some: the type .* cannot be given"):
        field_types(config)


def test_a_word_stands_in_place_of_the_whole_value():
    numbers = tuple[Annotated[int, Range(low=0, high=9)], ...]
    config = make_dataclass("Config", [("some", Literal["auto"] | numbers | None)])
    found = field_types(config)["some"]
    assert found.from_text(["auto"], "--some") == found.from_toml("auto", "some") == "auto"
    assert found.from_text(["none"], "--some") is found.from_toml("none", "some") is None
    assert found.from_text(["7", "3"], "--some") == found.from_toml([7, 3], "some") == (7, 3)
    assert found.description.endswith("a whole number from 0 to 9, or auto, or none")
    for texts in (["10"], ["no"], ["auto", "3"]):
        with pytest.raises(ValueError, match=r"--some must be .*, or auto, or none, not '?"):
            found.from_text(texts, "--some")
    with pytest.raises(ValueError, match=r"some must be a list \(.*, or auto, or none\), not 3"):
        found.from_toml(3, "some")


def test_a_choice_keeps_its_type():
    found = field_types(Config)["e"]
    assert found.from_text("2", "--e") == 2
    assert found.from_toml(2, "e") == 2
    with pytest.raises(ValueError, match="unknown value '2'"):
        found.from_toml("2", "e")
    with pytest.raises(ValueError, match="unknown value 'True'"):
        found.from_toml(True, "e")
