"""What a search space's file may not hold: everything that is refused, and how."""

import dataclasses
import json
import os
import re

import pytest

from autoseg.architecture import OPERATIONS, SearchSpace, shipped
from autoseg.errors import FileError, UsageError
from tests.architecture.spaces import LINES, refused, write_space
from tests.fuzzing import (
    as_json,
    cases,
    damaged_bytes,
    damaged_json,
    is_record,
    require_clean_refusals,
)


def test_an_unknown_space_is_refused_with_the_nearest_name():
    refused(
        "autodeeplap",
        "unknown search space 'autodeeplap'; did you mean 'autodeeplab'? Known: autodeeplab, "
        "autodeeplab_depthwise, darts_cells, robust_s1, robust_s2, robust_s3, robust_s4.",
    )
    refused(
        "q",
        "unknown search space 'q'. Known: autodeeplab, autodeeplab_depthwise, darts_cells, "
        "robust_s1, robust_s2, robust_s3, robust_s4.",
    )


def test_a_missing_file_is_refused(tmp_path):
    path = tmp_path / "absent.toml"
    refused(
        path,
        f"search space file {path} does not exist. Shipped spaces: autodeeplab, "
        "autodeeplab_depthwise, darts_cells, robust_s1, robust_s2, robust_s3, robust_s4.",
    )


def test_an_unknown_preset_is_refused(tmp_path):
    path = shipped("", ".toml")["autodeeplab"]
    message = f"unknown preset of the space in {path} 'tinny'; did you mean 'tiny'? "
    refused("autodeeplab", message + "Known: paper, tiny.", preset="tinny")


@pytest.mark.parametrize("value", ["2", "0", '"1"', "true", "1.0"])
def test_another_format_version_is_refused(tmp_path, value):
    path = write_space(tmp_path, format_version=value)
    shown = {"true": "True", '"1"': "'1'"}.get(value, value)
    refused(
        path,
        f"{path}: format_version = {shown}, but this autoseg reads 1; update autoseg if the file "
        "is newer.",
    )


def test_a_file_without_format_version_is_refused(tmp_path):
    path = write_space(tmp_path, without=["format_version"])
    with pytest.raises(UsageError, match=r"format_version = None, but this autoseg reads 1"):
        SearchSpace.load(path)


@pytest.mark.parametrize("field", [key for key in LINES if key != "format_version"])
def test_a_missing_field_is_refused(tmp_path, field):
    path = write_space(tmp_path, without=[field])
    refused(path, f"{path}: missing field {field!r} of the search space.")


def test_an_unknown_field_is_refused_with_the_nearest_name(tmp_path):
    path = write_space(tmp_path, num_layer="4")
    known = ", ".join(sorted(set(LINES) - {"format_version"}))
    refused(
        path,
        f"unknown field of a search space in {path}: 'num_layer'; did you mean 'num_layers'? "
        f"Known: {known}.",
    )


def test_an_unknown_field_of_a_preset_is_refused(tmp_path):
    path = write_space(tmp_path)
    with path.open("a") as file:
        file.write("[presets.wide]\nfilter_multiplyer = 32\n")
    with pytest.raises(
        UsageError, match=r"'filter_multiplyer'; did you mean 'filter_multiplier'\?"
    ):
        SearchSpace.load(path, preset="wide")


@pytest.mark.parametrize("presets", ["3", "{tiny = 3}"])
def test_presets_that_are_not_tables_are_refused(tmp_path, presets):
    path = write_space(tmp_path, presets=presets)
    shown = "3" if presets == "3" else "{'tiny': 3}"
    message = f"{path}: presets = {shown}, but each preset must be a table like [presets.tiny]."
    refused(path, message, preset="tiny")
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        SearchSpace.preset_names(path)


@pytest.mark.parametrize(
    ("field", "value", "shown", "rule"),
    [
        ("name", "3", "3", "str"),
        ("paper", "[]", "[]", "str"),
        ("num_layers", '"12"', "'12'", "int"),
        ("num_layers", "12.0", "12.0", "int"),
        ("num_layers", "true", "True", "int"),
        ("num_nodes", "[5]", "[5]", "int"),
        ("filter_multiplier", "0.5", "0.5", "int"),
        ("head_rate_times_stride", "{}", "{}", "int"),
        ("strides", "4", "4", "a list of int"),
        ("strides", "[4.0, 8.0]", "[4.0, 8.0]", "a list of int"),
        ("stem_channels", "[true, 8, 8]", "[True, 8, 8]", "a list of int"),
        ("stem_channels", '"864"', "'864'", "a list of int"),
        ("operations", '"none"', "'none'", "a list of str"),
        ("operations", '["none", 3]', "['none', 3]", "a list of str"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(tmp_path, field, value, shown, rule):
    path = write_space(tmp_path, **{field: value})
    refused(path, f"{path}: {field} = {shown}, but it must be {rule}.")


STRIDES_RULE = "they start at 4, the stride of the stem, and double from level to level"


OPERATIONS_RULE = "it must list each operation once, and at least one besides 'none'"


NAME_RULE = "it must be one printable name of at most 100 characters without / \\ and :"


STEM_RULE = "it must be three positive numbers"


@pytest.mark.parametrize(
    ("field", "value", "shown", "rule"),
    [
        ("name", '""', "''", NAME_RULE),
        ("name", '"../../x"', "'../../x'", NAME_RULE),
        ("name", '"a\\u0000"', r"'a\x00'", NAME_RULE),
        ("name", '"\\u001b[31m"', r"'\x1b[31m'", NAME_RULE),
        ("name", f'"{"x" * 101}"', f"'{'x' * 37}...{'x' * 38}'", NAME_RULE),
        ("paper", '"a\\nb"', r"'a\nb'", "it must be printable text of at most 1000 characters"),
        ("num_layers", "129", "129", "it may be at most 128"),
        ("num_layers", "1_000_000_000", "1000000000", "it may be at most 128"),
        ("num_layers", f"0x{'f' * 5000}", "a number of about 6021 digits", "it may be at most 128"),
        ("num_nodes", "33", "33", "it may be at most 32"),
        ("filter_multiplier", "16385", "16385", "it may be at most 16384"),
        (
            "filter_multiplier",
            "5000",
            "5000",
            "a cell of 2 nodes at stride 8 then has 20,000 channels, and may have 16,384",
        ),
        ("head_rate_times_stride", "4097", "4097", "it may be at most 4096"),
        ("stem_channels", "[8, 2049, 8]", "(8, 2049, 8)", "each may be at most 2048"),
        (
            "strides",
            str([4 << level for level in range(9)]),
            "(4, 8, 16, 32, 64, 128, 256, 512, ...)",
            "there may be at most 8",
        ),
        ("num_layers", "0", "0", "it must be at least 1"),
        ("num_nodes", "-1", "-1", "it must be at least 1"),
        ("filter_multiplier", "0", "0", "it must be at least 1"),
        ("head_rate_times_stride", "0", "0", "it must be at least 1"),
        ("strides", "[]", "()", STRIDES_RULE),
        ("strides", "[8, 16]", "(8, 16)", STRIDES_RULE),
        ("strides", "[4, 8, 12]", "(4, 8, 12)", STRIDES_RULE),
        ("strides", "[4, 16]", "(4, 16)", STRIDES_RULE),
        ("stem_channels", "[8, 8]", "(8, 8)", STEM_RULE),
        ("stem_channels", "[8, 0, 8]", "(8, 0, 8)", STEM_RULE),
        ("operations", "[]", "()", OPERATIONS_RULE),
        ("operations", '["none"]', "('none',)", OPERATIONS_RULE),
        (
            "operations",
            '["skip_connect", "skip_connect"]',
            "('skip_connect', 'skip_connect')",
            OPERATIONS_RULE,
        ),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused(tmp_path, field, value, shown, rule):
    path = write_space(tmp_path, **{field: value})
    name = shown if field == "name" else "'mine'"
    refused(path, f"{path}: search space {name}: {field} = {shown}, but {rule}.")


def test_an_unknown_operation_is_refused_with_the_nearest_name(tmp_path):
    path = write_space(tmp_path, operations='["none", "sep_conv_3x4"]')
    refused(
        path,
        f"{path}: unknown operation 'sep_conv_3x4'; did you mean 'sep_conv_3x3'? "
        f"Known: {', '.join(sorted(OPERATIONS))}. "
        "An operation of one's own is known after --import FILE.py; docs/adding_operations.md.",
    )


def test_rules_hold_for_a_space_made_in_python():
    space = SearchSpace.load("autodeeplab")
    message = "^search space 'autodeeplab': num_layers = 0, but it must be at least 1.$"
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(space, num_layers=0)
    with pytest.raises(ValueError, match=r"^node 1 has no predecessor 3; it has 0 to 2\.$"):
        space.edge_index(3, 1)


def test_a_record_with_a_wrong_field_is_refused():
    record = SearchSpace.load("autodeeplab").to_dict()
    with pytest.raises(UsageError, match=r"^search space record: missing field 'paper' of the"):
        SearchSpace.from_dict({key: value for key, value in record.items() if key != "paper"})
    with pytest.raises(UsageError, match=r"^search space record: num_nodes = None, but it must be"):
        SearchSpace.from_dict(record | {"num_nodes": None})


@pytest.mark.parametrize("content", [b"num_layers = \n", b"num_layers 3", b"name = '\xff\xfe'"])
def test_what_is_not_toml_is_refused(tmp_path, content):
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(FileError, match=f"^{re.escape(str(path))} is not a valid TOML file: .+"):
        SearchSpace.load(path)


@pytest.mark.parametrize("name", ["mine.txt", "spaces/mine"])
def test_a_path_without_the_suffix_is_told_so(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("name = 'mine'")
    with pytest.raises(UsageError, match=r"search space file .*mine.*must end in \.toml"):
        SearchSpace.load(name)


def test_a_supernet_of_too_many_operations_is_refused_before_it_is_built():
    space = SearchSpace.load("autodeeplab")
    message = (
        "search space 'autodeeplab': num_layers = 128, but with 4 strides, 560 edges and 8 "
        "operations these are 2,293,760 operations in all, and may be 200,000."
    )
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        dataclasses.replace(space, num_layers=128, num_nodes=32, filter_multiplier=1)
    # Twice the paper's in every direction is allowed.
    larger = dataclasses.replace(space, num_layers=24, num_nodes=10, filter_multiplier=16)
    assert larger.num_layers == 24


# What was not refused, or with a traceback, or after minutes.
BAD_CONTENTS = [
    (b"a = " + b"[" * 60_000, "it is nested too deeply"),
    (b"name = 'a'\nname = 'b'\n", "Cannot overwrite a value"),
    (b"num_layers = " + b"9" * 5000, "Exceeds the limit"),
    (b"name = 'a\x00b'", r"invalid character '\x00'"),
    (b"num_layers = 3\n" + b"a." * 20_000 + b"a = 1", "line 2 has a key of more than 100 parts"),
    (b'name = "\\ud800"', "Escaped character is not a Unicode scalar value"),
    (b"#" * (2**16 + 1), "it has 65,537 bytes, more than 65,536"),
]


@pytest.mark.parametrize(("content", "reason"), BAD_CONTENTS)
def test_content_that_no_space_has_is_refused_in_one_line(tmp_path, content, reason):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        SearchSpace.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is not a valid TOML file: ")
    assert reason.lower() in message.lower()
    assert message.isprintable() and len(message) < 500


@pytest.mark.parametrize("value", ["nan", "inf", "1e999", "2020-01-01", "{a.b.c = [[[[[1]]]]]}"])
def test_values_that_toml_has_and_spaces_have_not(tmp_path, value):
    path = write_space(tmp_path, num_layers=value)
    with pytest.raises(UsageError, match=r"mine\.toml: num_layers = .+, but it must be int\.$"):
        SearchSpace.load(path)


def test_a_deep_key_is_refused_by_its_first_part(tmp_path):
    path = tmp_path / "deep.toml"
    path.write_text(f"format_version = 1\n{'a.' * 99}a = 1\n")
    with pytest.raises(UsageError, match=r"deep\.toml: 'a'"):
        SearchSpace.load(path)
    path.write_text(f"presets.{'a.' * 98}a = 1\n")
    with pytest.raises(UsageError, match=r"deep\.toml: format_version = None"):
        SearchSpace.load(path)


def test_folders_and_pipes_are_no_spaces(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    for name in ("pipe.toml", "folder.toml"):
        with pytest.raises(FileError, match=r" is not a valid TOML file: it is no regular file\.$"):
            SearchSpace.load(tmp_path / name)


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = write_space(tmp_path)
    plain = SearchSpace.load(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert SearchSpace.load(path) == plain


@pytest.mark.fuzz
def test_damaged_files_are_read_or_refused_by_name(memory_folder):
    path = write_space(memory_folder)
    with path.open("a") as file:
        file.write("[presets.tiny]\nnum_layers = 2\n")
    damaged = damaged_bytes(path.read_bytes())

    def read(file):
        space = SearchSpace.load(file, preset="tiny")
        assert SearchSpace.from_dict(json.loads(as_json(space.to_dict()))) == space

    require_clean_refusals(read, path, damaged)


@pytest.mark.fuzz
def test_damaged_records_are_read_or_refused():
    record = SearchSpace.load("autodeeplab").to_dict()
    for damaged in filter(is_record, cases(damaged_json(record))):
        try:
            space = SearchSpace.from_dict(damaged)
        except UsageError as error:
            assert str(error).isprintable() and len(str(error)) < 500, error
        else:
            assert SearchSpace.from_dict(space.to_dict()) == space
