"""Cell spaces: the shipped ones, what their files may not hold, and reading either kind."""

import contextlib
import dataclasses
import re

import pytest

from autoseg.architecture import (
    CellSpace,
    SearchSpace,
    load_space,
    shipped,
    space_from_dict,
)
from autoseg.errors import UsageError
from tests.architecture.cells import SMALL
from tests.fuzzing import cases, damaged_bytes, damaged_json, is_record, require_clean_refusals

LINES = {
    "format_version": "1",
    "kind": '"cells"',
    "name": '"mine"',
    "paper": '"none"',
    "num_cells": "4",
    "retrain_num_cells": "6",
    "num_nodes": "1",
    "operations": '["none", "skip_connect"]',
    "stem_channels": "[8, 8, 16]",
    "filter_multiplier": "4",
}
PER_EDGE = {
    "normal_operations": '[["skip_connect"], ["noise"]]',
    "reduction_operations": '[["max_pool_3x3"], ["noise"]]',
}


def write(folder, *, without=(), **changes):
    lines = {key: value for key, value in (LINES | changes).items() if key not in without}
    path = folder / "mine.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in lines.items()))
    return path


def test_darts_space():
    # Sections 2.1 and 3.1: seven operations and "none" on 14 edges; A.1: 8 cells, C = 16.
    space = CellSpace.load("darts_cells")
    assert (space.num_cells, space.num_nodes, space.filter_multiplier) == (8, 4, 16)
    assert space.retrain_num_cells == 20
    assert space.num_edges == len(space.normal_operations) == len(space.reduction_operations) == 14
    assert {len(names) for names in space.normal_operations} == {8}
    assert space.normal_operations == space.reduction_operations
    assert [space.num_channels(stride) for stride in space.strides] == [16, 32, 64]


@pytest.mark.parametrize(
    ("name", "num_arch_parameters"),
    [("robust_s1", 56), ("robust_s2", 56), ("robust_s3", 84), ("robust_s4", 56)],
)
def test_the_spaces_of_robust_darts(name, num_arch_parameters):
    # Their code's logs print the numbers of entries of alpha.
    space = CellSpace.load(name)
    edges = (*space.normal_operations, *space.reduction_operations)
    assert sum(map(len, edges)) == num_arch_parameters
    whole = CellSpace.load("darts_cells")
    assert set(space.operations) <= {*whole.operations, "noise"}
    changes = {field: getattr(whole, field) for field in ("name", "paper", "normal_operations")}
    changes["reduction_operations"] = whole.reduction_operations
    assert dataclasses.replace(space, **changes) == whole


def test_a_space_with_candidates_for_each_edge_survives_its_record():
    assert space_from_dict(SMALL.to_dict()) == SMALL
    assert load_space("autodeeplab") == SearchSpace.load("autodeeplab")


def test_candidates_are_given_for_all_edges_or_for_each(tmp_path):
    edge = ("none", "skip_connect")
    assert load_space(write(tmp_path)).normal_operations == (edge, edge)
    space = load_space(write(tmp_path, without=["operations"], **PER_EDGE))
    assert space.normal_operations == (("skip_connect",), ("noise",))
    assert space.operations == ("skip_connect", "noise", "max_pool_3x3")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": '"trellis"'}, "kind = 'trellis', but a cell space has 'cells'."),
        ({"num_cells": "2"}, "cell space 'mine': num_cells = 2, but it must be at least 3."),
        ({"num_cells": "129"}, "cell space 'mine': num_cells = 129, but it may be at most 128."),
        ({"num_cells": "true"}, "num_cells = True, but it must be a whole number."),
        ({"num_nodes": "33"}, "cell space 'mine': num_nodes = 33, but it may be at most 32."),
        ({"num_nodes": "0"}, "cell space 'mine': num_nodes = 0, but it must be at least 1."),
        ({"filter_multiplier": "1"}, "filter_multiplier = 1, but it must be at least 2."),
        (
            {"filter_multiplier": "5000"},
            "filter_multiplier = 5000, but a cell of 1 nodes at stride 16 then has 20,000 channels,"
            " and may have 16,384.",
        ),
        ({"stem_channels": "[8, 8]"}, "stem_channels = (8, 8), but it must be three numbers"),
        ({"stem_channels": "8"}, "stem_channels = 8, but it must be a list of whole numbers."),
        ({"operations": '["none"]'}, "normal_operations[0] = ('none',), but it must list each"),
        (
            {"operations": '["skip_conect"]'},
            "normal_operations[0]: unknown operation 'skip_conect'; did you mean 'skip_connect'?",
        ),
        ({"operations": '"none"'}, "operations = 'none', but it must be a list of names."),
        (PER_EDGE, "it has both operations and normal_operations; give the operations of all"),
        ({"num_layers": "3"}, "'num_layers'; did you mean"),
        ({"name": '"a/b"'}, "name = 'a/b', but it must be one printable name"),
    ],
)
def test_what_a_file_may_not_hold(tmp_path, changes, message):
    path = write(tmp_path, **changes)
    with pytest.raises(UsageError, match=re.escape(message)) as refusal:
        load_space(path)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normal_operations": "[[]]"}, "normal_operations lists 1 edges, but 1 nodes have 2:"),
        (
            {"normal_operations": '[["skip_connect"], ["none", "noise"]]'},
            "normal_operations[1] = ('none', 'noise'), but edge 0 has 1 operations: all edges",
        ),
        ({"reduction_operations": "[1, 2]"}, "must be a list of names for each edge."),
    ],
)
def test_what_the_lists_of_edges_may_not_hold(tmp_path, changes, message):
    path = write(tmp_path, without=["operations"], **PER_EDGE | changes)
    with pytest.raises(UsageError, match=re.escape(message)):
        load_space(path)


@pytest.mark.parametrize("field", [key for key in LINES if key not in ("format_version", "kind")])
def test_a_missing_field_is_refused(tmp_path, field):
    missing = "normal_operations" if field == "operations" else field
    path = write(tmp_path, without=[field])
    with pytest.raises(UsageError, match=f"missing field '{missing}' of the cell space."):
        load_space(path)


def test_each_kind_refuses_the_other():
    with pytest.raises(UsageError, match=r"kind = 'cells', but a space of one cell and a path"):
        SearchSpace.load("darts_cells")
    with pytest.raises(UsageError, match=r"kind = None, but a cell space has 'cells'"):
        CellSpace.load("autodeeplab")


@pytest.mark.fuzz
def test_damaged_files_are_read_or_refused_by_name(memory_folder):
    path, content = memory_folder / "mine.toml", shipped("", ".toml")["robust_s1"].read_bytes()
    require_clean_refusals(load_space, path, damaged_bytes(content))


@pytest.mark.fuzz
def test_damaged_records_are_read_or_refused():
    for value in filter(is_record, cases(damaged_json(SMALL.to_dict()))):
        with contextlib.suppress(UsageError):
            space = space_from_dict(value)
            assert space_from_dict(space.to_dict()) == space
