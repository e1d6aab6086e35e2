"""Loading of search spaces, and their counts."""

import dataclasses
import math

import pytest

from autoseg.architecture import SearchSpace, load_space, shipped, space_from_dict
from tests.architecture.enumeration import all_paths
from tests.architecture.spaces import write_space
from tests.fresh_process import printed_by

PAPER_OPERATIONS = (
    "none",
    "skip_connect",
    "max_pool_3x3",
    "avg_pool_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "atrous_conv_3x3",
    "atrous_conv_5x5",
)


def test_the_papers_space():
    # Auto-DeepLab section 5.1: L = 12, B = 5, F = 8; in the head a 3x3 branch at rate 96 / s.
    space = SearchSpace.load("autodeeplab")
    assert (space.name, space.num_layers, space.num_nodes) == ("autodeeplab", 12, 5)
    assert (space.filter_multiplier, space.head_rate_times_stride) == (8, 96)
    assert space.strides == (4, 8, 16, 32)
    assert space.operations == PAPER_OPERATIONS
    assert space.stem_channels == (64, 64, 128)
    assert "1901.02985" in space.paper
    # Channels of a cell at stride s: B * F * s / 4.
    assert [5 * space.num_channels(s) for s in space.strides] == [40, 80, 160, 320]
    assert [space.head_rate_times_stride // s for s in space.strides] == [24, 12, 6, 3]
    assert SearchSpace.load("autodeeplab", preset="paper") == space


def test_the_depthwise_space_differs_in_the_atrous_operations_only():
    space, full = SearchSpace.load("autodeeplab_depthwise"), SearchSpace.load("autodeeplab")
    operations = tuple(op.replace("atrous_conv", "dil_conv") for op in full.operations)
    assert space == dataclasses.replace(full, name="autodeeplab_depthwise", operations=operations)
    assert operations != full.operations


@pytest.mark.parametrize("name", ["autodeeplab", "autodeeplab_depthwise"])
def test_the_tiny_preset_is_smaller_numbers_of_the_same(name):
    tiny, paper = SearchSpace.load(name, preset="tiny"), SearchSpace.load(name, preset="paper")
    for field in ("name", "paper", "strides", "operations", "head_rate_times_stride"):
        assert getattr(tiny, field) == getattr(paper, field)
    for field in ("num_layers", "num_nodes", "filter_multiplier"):
        assert getattr(tiny, field) < getattr(paper, field)
    assert all(a < b for a, b in zip(tiny.stem_channels, paper.stem_channels, strict=True))


def test_shipped_files_are_listed_by_name():
    spaces = shipped("", ".toml")
    trellises, cells = (
        ["autodeeplab", "autodeeplab_depthwise"],
        [f"robust_s{n}" for n in (1, 2, 3, 4)],
    )
    assert list(spaces) == [*trellises, "darts_cells", *cells]
    assert all(load_space(name).name == name for name in spaces)
    assert list(shipped("architectures", ".json")) == ["autodeeplab_paper"]


def test_a_space_is_loaded_by_its_path(tmp_path):
    path = write_space(tmp_path)
    expected = SearchSpace(
        name="mine",
        paper="none",
        num_layers=4,
        num_nodes=2,
        strides=(4, 8),
        operations=("none", "skip_connect"),
        stem_channels=(8, 8, 16),
        filter_multiplier=4,
        head_rate_times_stride=96,
    )
    assert SearchSpace.load(path) == SearchSpace.load(str(path)) == expected
    assert hash(SearchSpace.load(path)) == hash(expected)


def test_a_path_is_relative_to_the_current_directory(tmp_path, monkeypatch):
    write_space(tmp_path, name='"here"')
    monkeypatch.chdir(tmp_path)
    assert SearchSpace.load("mine.toml").name == "here"


def test_shipped_spaces_are_found_from_any_directory(tmp_path):
    # A new process, so that nothing is found through the directory that the tests run in.
    code = f"import os; os.chdir({str(tmp_path)!r}); from autoseg.architecture import *;"
    code += "print(SearchSpace.load('autodeeplab').num_paths());"
    code += "print(Architecture.load('autodeeplab_paper').num_layers)"
    assert printed_by(code) == "75025\n12\n"


def test_a_users_preset_replaces_what_it_names(tmp_path):
    path = write_space(tmp_path)
    with path.open("a") as file:
        file.write("[presets.wide]\nfilter_multiplier = 32\nstrides = [4, 8, 16]\n")
    plain = SearchSpace.load(path)
    wide = SearchSpace.load(path, preset="wide")
    assert wide == dataclasses.replace(plain, filter_multiplier=32, strides=(4, 8, 16))


def test_presets_are_listed_by_name(tmp_path):
    assert SearchSpace.preset_names("autodeeplab") == ["paper", "tiny"]
    path = write_space(tmp_path)
    assert SearchSpace.preset_names(path) == []
    with path.open("a") as file:
        file.write("[presets.wide]\nfilter_multiplier = 32\n")
    assert SearchSpace.preset_names(str(path)) == ["wide"]


def test_a_space_survives_its_dictionary():
    for name in shipped("", ".toml"):
        for preset in ("paper", "tiny"):
            space = load_space(name, preset=preset)
            assert space_from_dict(space.to_dict()) == space
    assert SearchSpace.load("autodeeplab").to_dict()["strides"] == [4, 8, 16, 32]


def test_a_space_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SearchSpace.load("autodeeplab").num_layers = 3  # type: ignore[misc]


def test_rows_of_alpha():
    # DARTS' order, as the released arrays number it: node by node, sources ascending.
    space = SearchSpace.load("autodeeplab")
    rows = [space.edge_index(source, node) for node in range(5) for source in range(2 + node)]
    assert rows == list(range(20)) == list(range(space.num_edges))
    # Edge ids of the published cell's last two nodes: 11, 13 and 17, 19.
    assert [space.edge_index(*edge) for edge in ((2, 3), (4, 3), (3, 4), (5, 4))] == [
        11,
        13,
        17,
        19,
    ]
    assert list(space.predecessors(0)) == [0, 1]
    assert list(space.predecessors(4)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("num_nodes", "num_edges"), [(1, 2), (2, 5), (3, 9), (5, 20), (7, 35)])
def test_number_of_edges(num_nodes, num_edges):
    # Node b has 2 + b predecessors: B (B + 3) / 2 in all.
    space = dataclasses.replace(SearchSpace.load("autodeeplab"), num_nodes=num_nodes)
    assert space.num_edges == num_edges == num_nodes * (num_nodes + 3) // 2


def test_numbers_of_the_papers_space():
    space = SearchSpace.load("autodeeplab")
    assert space.num_paths() == len(all_paths(12, 4)) == 75_025
    assert space.num_edges * len(space.operations) == 160
    assert len(space.trellis()) == 105
    # Cells of the paper (5.6e14): each of two branches takes any predecessor and any operation.
    predecessors = [len(space.predecessors(node)) for node in range(space.num_nodes)]
    num_ops = len(space.operations)
    assert math.prod(n**2 * num_ops**2 for n in predecessors) == math.factorial(6) ** 2 * 8**10
    assert math.factorial(6) ** 2 * 8**10 == 556_627_761_561_600
    # Cells that decoding can give: two predecessors that differ, operations other than "none".
    decodable = math.prod(math.comb(n, 2) * (num_ops - 1) ** 2 for n in predecessors)
    assert decodable == 2700 * 7**10 == 762_683_172_300


@pytest.mark.parametrize("num_layers", [1, 2, 3, 8, 10])
def test_a_changed_space_counts_its_own_paths(num_layers):
    space = dataclasses.replace(SearchSpace.load("autodeeplab"), num_layers=num_layers)
    assert space.num_paths() == len(all_paths(num_layers, 4))
    assert space.num_levels == 4
