"""Each check accepts what it names, and tells name, value and rule of what it refuses."""

import math

import pytest

from autoseg.runs import schema

NOTHING = object()


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (schema.text, ["", "a"], [None, 1, ["a"]]),
        (schema.flag, [True, False], [0, 1, None, "true"]),
        (schema.mapping, [{}, {"a": 1}], [None, [], "a"]),
        (
            schema.time,
            ["2024-01-01T00:00:00+00:00", "2024-01-01T00:00:00.5-03:00"],
            [None, 3, "", "2024-01-01T00:00:00", "2024-13-01T00:00:00+00:00"],
        ),
        (schema.whole(2, 5), [2, 5], [1, 6, 2.0, True, "3", None, math.nan]),
        (schema.number(-1, 2), [-1, 0.5, 2], [-1.1, 3, True, "1", None, math.nan, math.inf]),
        (schema.one_of("a", 1, False), ["a", 1, False], ["b", True, 0, 1.0, None]),
        (schema.optional(schema.text), [None, "a"], [1, []]),
        (schema.list_of(schema.whole()), [[], [1, 2]], [None, {}, "ab", [1, "a"], [None]]),
        (schema.list_of(schema.text, length=2), [["a", "b"]], [[], ["a"], ["a", "b", "c"]]),
        (
            schema.fields({"a": schema.text}, {"b": schema.whole()}),
            [{"a": "x"}, {"a": "x", "b": 1}, {"a": "x", "more": [None]}],
            [{}, {"b": 1}, {"a": 1}, {"a": "x", "b": None}, [], None],
        ),
        (schema.mapping_of(schema.whole()), [{}, {"a": 1, "": 2}], [{"a": 1, "b": "x"}, [], None]),
    ],
)
def test_what_is_accepted_and_what_is_not(check, good, bad):
    for value in good:
        check(value, "x")
    for value in bad:
        with pytest.raises(ValueError, match=r"^x(\[\d\]|\.[ab])? is |^it has no field 'x\.a'"):
            check(value, "x")


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (schema.whole(1, 9), 0, "n is 0; it must be a whole number from 1 to 9"),
        (schema.number(0, 1), "a", "n is 'a'; it must be a number from 0 to 1"),
        (schema.one_of("a", "b"), "c", "n is 'c'; it must be 'a' or 'b'"),
        (schema.list_of(schema.text), ["a", 3], "n[1] is 3; it must be a text"),
        (
            schema.fields({"a": schema.fields({"b": schema.flag})}),
            {"a": {"b": 0}},
            "n.a.b is 0; it must be true or false",
        ),
        (schema.fields({"a": schema.fields({"b": schema.flag})}), {"a": {}}, None),
        (schema.text, ["\x1b[31m" * 1000], None),
    ],
)
def test_the_message_holds_name_value_and_rule(check, value, message):
    with pytest.raises(ValueError) as caught:
        check(value, "n")
    assert message in (None, str(caught.value))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 200


def test_the_outermost_value_has_no_name():
    with pytest.raises(ValueError, match=r"^it is 3; it must be an object with fields$"):
        schema.fields({})(3, "")
    with pytest.raises(ValueError, match=r"^it has no field 'a'$"):
        schema.fields({"a": schema.text})({}, "")
