"""What an architecture's file may not hold: everything that is refused, and how."""

import json
import os
import re

import pytest

from autoseg.architecture import Architecture, CellEdge
from autoseg.architecture.architecture import FORMAT_VERSION
from autoseg.errors import FileError, UsageError
from tests.architecture.architectures import small
from tests.fuzzing import as_json, damaged_bytes, damaged_json, require_clean_refusals

KNOWN_OPS = (
    "skip_connect, max_pool_3x3, avg_pool_3x3, sep_conv_3x3, sep_conv_5x5, dil_conv_3x3, "
    "dil_conv_5x5, atrous_conv_3x3, atrous_conv_5x5"
)


def edge(source, op):
    return {"source": source, "op": op}


GOOD = [edge(0, "skip_connect"), edge(1, "sep_conv_3x3")]

STRIDES_RULE = "they start at 4, the stride of the stem, and double from level to level"

EDGES_RULE = 'but it must be a list of two edges like {"source": 0, "op": "sep_conv_3x3"}.'

NAME_RULE = "it must be one printable name of at most 100 characters without / \\ and :"

WRONG_FIELDS = [
    ("format", "autoseg-space", "the field 'format' must be 'autoseg-architecture'."),
    ("format", None, "the field 'format' must be 'autoseg-architecture'."),
    ("space", 3, "space = 3, but it must be a name."),
    ("space", None, "space = None, but it must be a name."),
    ("strides", 4, "strides = 4, but it must be a list of whole numbers."),
    ("strides", [4, 8.0], "strides = [4, 8.0], but it must be a list of whole numbers."),
    ("strides", [], f"strides = (), but {STRIDES_RULE}."),
    ("strides", [8, 16], f"strides = (8, 16), but {STRIDES_RULE}."),
    ("strides", [16, 8, 4], f"strides = (16, 8, 4), but {STRIDES_RULE}."),
    ("strides", [4, 8, 16, 16], f"strides = (4, 8, 16, 16), but {STRIDES_RULE}."),
    ("path", "4 8", "path = '4 8', but it must be a list of whole numbers."),
    ("path", [4, "8"], "path = [4, '8'], but it must be a list of whole numbers."),
    ("path", [True, 4], "path = [True, 4], but it must be a list of whole numbers."),
    ("path", {"4": 8}, "path = {'4': 8}, but it must be a list of whole numbers."),
    ("path", [], "path is empty, but it needs one stride a layer."),
    ("path", [4, 32], "path[1] = 32, but the strides are (4, 8, 16)."),
    ("path", [0], "path[0] = 0, but the strides are (4, 8, 16)."),
    (
        "path",
        [4, 8, 16, 4],
        "path[3] goes from stride 16 to 4, but a layer may at most halve or double the stride.",
    ),
    (
        "path",
        [4, 16],
        "path[1] goes from stride 4 to 16, but a layer may at most halve or double the stride.",
    ),
    (
        "path",
        [16, 16],
        "path[0] goes from stride 4 to 16, but a layer may at most halve or double the stride.",
    ),
    ("space", "", f"space = '', but {NAME_RULE}."),
    ("space", "../../x", f"space = '../../x', but {NAME_RULE}."),
    ("space", "a\n\x1b[31m", f"space = 'a\\n\\x1b[31m', but {NAME_RULE}."),
    ("space", "x" * 101, f"space = '{'x' * 37}...{'x' * 38}', but {NAME_RULE}."),
    (
        "strides",
        [4 << n for n in range(9)],
        "strides = (4, 8, 16, 32, 64, 128, 256, 512, ...), but there may be at most 8.",
    ),
    ("strides", [4] * 5000, "strides = (4, 4, 4, 4, 4, 4, 4, 4, ...), but there may be at most 8."),
    ("path", [4] * 129, "path has 129 layers, but at most 128 are allowed."),
    ("path", [2**63], f"path[0] = {2**63}, but the strides are (4, 8, 16)."),
    (
        "path",
        "4" * 5000,
        f"path = '{'4' * 37}...{'4' * 38}', but it must be a list of whole numbers.",
    ),
    ("cell", [GOOD] * 33, "cell has 33 nodes, but at most 32 are allowed."),
    ("cell", [[[[[[3]]]]]], f"cell[0] = [[[[[...]]]]], {EDGES_RULE}"),
    ("cell", {}, "cell = {}, but it must be a list of nodes."),
    ("cell", None, "cell = None, but it must be a list of nodes."),
    ("cell", [], "cell is empty, but it needs at least one node."),
    ("cell", [3], f"cell[0] = 3, {EDGES_RULE}"),
    ("cell", [GOOD, [[0, "skip_connect"]]], f"cell[1] = [[0, 'skip_connect']], {EDGES_RULE}"),
    ("cell", [[{"source": 0}]], f"cell[0] = [{{'source': 0}}], {EDGES_RULE}"),
    (
        "cell",
        [[edge(0, "skip_connect") | {"width": 3}]],
        f"cell[0] = [{{'source': 0, 'op': 'skip_connect', 'width': 3}}], {EDGES_RULE}",
    ),
    ("cell", [GOOD, GOOD[:1]], "cell[1] has 1 edges, but a node has exactly 2."),
    ("cell", [GOOD + GOOD[:1]], "cell[0] has 3 edges, but a node has exactly 2."),
    ("cell", [[]], "cell[0] has 0 edges, but a node has exactly 2."),
]

WRONG_EDGES = [
    *(
        (
            edge(source, "skip_connect"),
            f"reads source {source!r}, but node 1 may read 0 to 2 (0, 1: "
            "the earlier cells; 2 and on: the nodes before it).",
        )
        for source in (3, -1, 1.0, "1", True, None, [0])
    ),
    *(
        (
            edge(0, op),
            f"has operation {op!r}, but it must be one of {KNOWN_OPS}. An operation of one's own "
            "is known after --import FILE.py; docs/adding_operations.md.",
        )
        for op in ("none", "sep_conv_7x7", None, 3, ["skip_connect"], {})
    ),
]


def refused(folder, content, message):
    """Write `content` and check that loading it names the file and says `message`."""
    path = folder / "bad.json"
    path.write_text(json.dumps(content))
    with pytest.raises(FileError, match=f"^{re.escape(f'{path}: architecture: {message}')}$"):
        Architecture.load(path)


@pytest.mark.parametrize(("field", "value", "message"), WRONG_FIELDS)
def test_a_wrong_field_is_refused(tmp_path, field, value, message):
    refused(tmp_path, small().to_dict() | {field: value}, message)


@pytest.mark.parametrize(("wrong", "message"), WRONG_EDGES)
def test_a_wrong_edge_is_refused(tmp_path, wrong, message):
    cell = [GOOD, [wrong, edge(1, "skip_connect")]]
    refused(tmp_path, small().to_dict() | {"cell": cell}, f"cell[1] {message}")


@pytest.mark.parametrize("version", [0, FORMAT_VERSION + 1, "1", True, 1.0, None])
def test_another_version_is_refused(tmp_path, version):
    content = small().to_dict() | {"format_version": version}
    refused(
        tmp_path,
        content,
        f"format_version = {version!r}, but this autoseg reads 1; update autoseg if the file is "
        "newer.",
    )


@pytest.mark.parametrize("field", ["space", "strides", "path", "cell"])
def test_a_missing_field_is_refused(tmp_path, field):
    content = small().to_dict()
    del content[field]
    refused(tmp_path, content, f"missing field {field!r}.")


def test_an_unknown_field_is_refused(tmp_path):
    refused(tmp_path, small().to_dict() | {"genotype": 1}, "unknown field 'genotype'.")


@pytest.mark.parametrize("content", [[], 3, None, "autoseg-architecture", {}, [{"format": 1}]])
def test_json_of_something_else_is_refused(tmp_path, content):
    refused(tmp_path, content, "the field 'format' must be 'autoseg-architecture'.")


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": "autoseg-arch', b"\xff\xfe{}"])
def test_what_is_not_json_is_refused(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match=f"^{re.escape(str(path))} is not a valid JSON file: .+"):
        Architecture.load(path)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "a.json"
    small().save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError, match="is not a valid JSON file"):
            Architecture.load(path)


def test_a_missing_file_is_refused_with_the_shipped_names(tmp_path):
    path = tmp_path / "absent.json"
    message = f"architecture file {path} does not exist. Shipped ones: autodeeplab_paper."
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        Architecture.load(path)


@pytest.mark.parametrize("path", [(4.0, 8), (True,)])
def test_a_path_that_a_file_could_not_hold_is_refused_in_python_too(path):
    message = f"architecture: path[0] = {path[0]!r}, but the strides are (4, 8, 16)."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        small(path=path)


# What was not refused, or with a traceback, or after minutes.
BAD_CONTENTS = [
    (b"[" * 60_000, "it is nested too deeply"),
    (b'{"a": ' * 40 + b"[[[[[[[[[[[]]]]]]]]]]]" + b"}" * 40, "it is nested too deeply"),
    (b'{"format_version": ' + b"9" * 5000 + b"}", "Exceeds the limit"),
    (b'{"format_version": ' + b"9" * 50 + b"}", "it holds a whole number of more than 64 bits"),
    (b'{"format_version": NaN}', "it holds NaN, which JSON does not have"),
    (b'{"format_version": -Infinity}', "it holds -Infinity, which JSON does not have"),
    (b'{"format_version": 1e999}', "it holds a number that is too large"),
    (b'{"space": "a", "space": "b"}', "it has the key 'space' twice"),
    (b'{"space": "a\\u0000b"}', "with a NUL"),
    (b'{"space": "\\ud800"}', "with half of a surrogate pair"),
    (b'{"space": "a"} {}', "Extra data"),
    (b" " * (2**16 + 1), "it has 65,537 bytes, more than 65,536"),
]


@pytest.mark.parametrize(("content", "reason"), BAD_CONTENTS)
def test_content_that_no_architecture_has_is_refused_in_one_line(tmp_path, content, reason):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        Architecture.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is not a valid JSON file: ") and reason in message
    assert message.isprintable() and len(message) < 500


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "a.json"
    small().save(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert Architecture.load(path) == small()


def test_folders_and_pipes_are_no_architectures(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path, tmp_path / "pipe.json"):
        with pytest.raises(FileError, match=r" is not a valid JSON file: it is no regular file\.$"):
            Architecture.load(path)


def test_an_unknown_field_is_shown_short(tmp_path):
    long = "x" * 1000
    refused(tmp_path, small().to_dict() | {long: 1}, f"unknown field '{'x' * 37}...{'x' * 38}'.")


def test_the_largest_architecture_survives(tmp_path):
    edges = (CellEdge(0, "skip_connect"), CellEdge(1, "atrous_conv_5x5"))
    largest = Architecture(
        space="x" * 100,
        strides=tuple(4 << level for level in range(8)),
        path=(4,) * 128,
        cell=(edges,) * 32,
    )
    largest.save(tmp_path / "a.json")
    assert (tmp_path / "a.json").stat().st_size < 20_000
    assert Architecture.load(tmp_path / "a.json") == largest


def load_and_save(path):
    """Load an architecture that then survives a copy."""
    architecture = Architecture.load(path)
    copy = path.with_name("copy.json")
    architecture.save(copy)
    assert Architecture.load(copy) == architecture


PAST = [
    small().to_dict() | changed
    for changed in ({"path": [4, 10**400]}, {"space": "\ud800"}, {"strides": [4, 2.0**70]})
]


@pytest.mark.fuzz
def test_damaged_files_are_read_or_refused_by_name(memory_folder):
    path = memory_folder / "a.json"
    small().save(path)
    require_clean_refusals(load_and_save, path, damaged_bytes(path.read_bytes()))


@pytest.mark.fuzz
def test_damaged_values_are_read_or_refused_by_name(memory_folder):
    path = memory_folder / "a.json"
    values = damaged_json(small().to_dict())
    require_clean_refusals(load_and_save, path, values.map(as_json), past=map(as_json, PAST))
