"""TOML that was made to do harm."""

import re
import tomllib

import pytest

from autoseg.toml_file import MAX_PARTS, parse_toml


@pytest.mark.parametrize("part", ["a", "a-1", '"a b"', "'a.b'", "a \t"])
@pytest.mark.parametrize("line", ["{} = 1", "[{}]", "b = {{ {} = 1 }}", "[[ {} ]]"])
def test_a_key_of_many_parts_is_refused_before_it_is_parsed(part, line):
    few, many = (line.format(".".join([part] * n)) for n in (MAX_PARTS, 200_000))
    assert parse_toml(few.encode()) == tomllib.loads(few)
    message = f"line 3 has a key of more than {MAX_PARTS} parts"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_toml(f"x = 1\n\n{many}\n".encode())


@pytest.mark.parametrize(
    "text",
    [
        "a = [" + '"b.c", ' * 1000 + "]",  # a list of files, on one line
        "a = '" + "." * 1000 + "'",
        "a = [" + "0.5, " * 1000 + "]",
        "# " + "a " * 1000 + "\nb = 1",
        "\ufeffa = 1",
    ],
)
def test_dots_elsewhere_are_no_parts(text):
    assert parse_toml(text.encode()) == tomllib.loads(text.removeprefix("\ufeff"))
