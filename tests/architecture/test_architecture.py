"""The architecture as a value, and the round trip through its file."""

import copy
import dataclasses
import json
import pickle

import pytest

from autoseg.architecture import Architecture, CellEdge, SearchSpace
from tests.architecture.architectures import CELL, small

# The network of the paper as the authors' TensorFlow code (deeplab/core/nas_network.py) has it.
OFFICIAL_OPERATIONS = [
    *("atrous_5x5", "separable_3x3_2", "separable_3x3_2", "atrous_3x3", "separable_3x3_2"),
    *("separable_3x3_2", "separable_5x5_2", "separable_5x5_2", "separable_5x5_2", "atrous_5x5"),
]

OFFICIAL_SOURCES = [1, 0, 1, 0, 3, 1, 4, 2, 3, 5]  # hiddenstate_indices

OFFICIAL_BACKBONE = [0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1]


def test_the_published_architecture_is_the_official_one():
    states = {0: 1, 1: 0}  # official 0 is the previous cell, 1 the one before it
    states |= {index: index for index in range(2, 7)}  # 2 and on are the blocks in both
    names = {"atrous": "atrous_conv", "separable": "sep_conv"}
    edges = []
    for source, operation in zip(OFFICIAL_SOURCES, OFFICIAL_OPERATIONS, strict=True):
        family, size = operation.split("_")[:2]
        edges.append(CellEdge(states[source], f"{names[family]}_{size}"))
    published = Architecture.load("autodeeplab_paper")
    assert published == Architecture(
        space="autodeeplab",
        strides=(4, 8, 16, 32),
        path=tuple(4 * 2**level for level in OFFICIAL_BACKBONE),
        cell=tuple(zip(edges[::2], edges[1::2], strict=True)),
    )
    # The same as ids of DARTS' 20 edges; a public re-implementation has 18 where 17 belongs.
    space = SearchSpace.load("autodeeplab")
    ids = [space.edge_index(e.source, n) for n, node in enumerate(published.cell) for e in node]
    assert ids == [0, 1, 2, 3, 5, 8, 11, 13, 17, 19]
    assert published.path == (4, 4, 4, 8, 16, 8, 16, 16, 32, 32, 16, 8)
    assert {edge.op for node in published.cell for edge in node} <= set(space.operations)


def test_json_round_trip(tmp_path):
    for architecture in (small(), Architecture.load("autodeeplab_paper")):
        architecture.save(tmp_path / "a.json")
        loaded = Architecture.load(tmp_path / "a.json")
        assert loaded == architecture
        assert hash(loaded) == hash(architecture)
        assert Architecture.load(str(tmp_path / "a.json")) == architecture
        assert Architecture.from_dict(architecture.to_dict()) == architecture
        assert all(isinstance(edge, CellEdge) for node in loaded.cell for edge in node)


def test_the_file_is_readable_with_one_node_a_line(tmp_path):
    path = tmp_path / "a.json"
    small().save(path)
    assert path.read_text() == (
        "{\n"
        '  "format": "autoseg-architecture",\n'
        '  "format_version": 1,\n'
        '  "space": "mine",\n'
        '  "strides": [4, 8, 16],\n'
        '  "path": [4, 8, 16, 8],\n'
        '  "cell": [\n'
        '    [{"source": 0, "op": "skip_connect"}, {"source": 1, "op": "sep_conv_3x3"}],\n'
        '    [{"source": 1, "op": "max_pool_3x3"}, {"source": 2, "op": "atrous_conv_5x5"}]\n'
        "  ]\n"
        "}\n"
    )
    assert json.loads(path.read_text()) == small().to_dict()


def test_a_name_that_json_must_escape_survives(tmp_path):
    architecture = small(space='a "quoted" näme')
    architecture.save(tmp_path / "a.json")
    assert Architecture.load(tmp_path / "a.json") == architecture


def test_the_order_in_which_edges_are_given_does_not_matter(tmp_path):
    swapped = small(cell=tuple(node[::-1] for node in CELL))
    assert swapped == small()
    assert hash(swapped) == hash(small())
    assert swapped.cell == CELL
    # The operations moved with their sources.
    assert swapped.cell[0] == ((0, "skip_connect"), (1, "sep_conv_3x3"))


def test_lists_and_plain_pairs_become_tuples_and_edges():
    given = small(
        strides=[4, 8, 16], path=[4, 8, 16, 8], cell=[[tuple(edge) for edge in n] for n in CELL]
    )
    assert given == small()
    assert hash(given) == hash(small())
    assert given.cell[1][1].op == "atrous_conv_5x5"


@pytest.mark.parametrize(
    "changes",
    [
        {"space": "other"},
        {"strides": (4, 8, 16, 32)},
        {"path": (4, 8, 16, 16)},
        {"path": (4, 8, 16)},
        {"cell": CELL[:1]},
        {"cell": (CELL[0], (CellEdge(0, "max_pool_3x3"), CellEdge(2, "atrous_conv_5x5")))},
        {"cell": (CELL[0], (CellEdge(1, "avg_pool_3x3"), CellEdge(2, "atrous_conv_5x5")))},
        # Operations of one node swapped: another network, so another value.
        {"cell": ((CellEdge(0, "sep_conv_3x3"), CellEdge(1, "skip_connect")), CELL[1])},
    ],
)
def test_another_network_is_another_value(changes):
    assert small(**changes) != small()
    assert len({small(**changes), small(), small()}) == 2


def test_copies_and_pickles_are_equal():
    for other in (copy.deepcopy(small()), pickle.loads(pickle.dumps(small()))):
        assert other == small() and hash(other) == hash(small())


@pytest.mark.parametrize("field", ["space", "strides", "path", "cell"])
def test_a_field_cannot_be_set(field):
    architecture = small()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(architecture, field, getattr(architecture, field))


def test_nothing_inside_can_be_changed():
    strides, path = [4, 8], [4, 8]
    cell = [[CellEdge(0, "skip_connect"), CellEdge(1, "skip_connect")]]
    architecture = small(strides=strides, path=path, cell=cell)
    before = architecture.to_dict()
    strides.append(16)
    path.append(4)
    cell[0][0] = CellEdge(1, "sep_conv_3x3")
    assert architecture.to_dict() == before
    with pytest.raises(AttributeError):
        architecture.cell[0][0].op = "sep_conv_3x3"  # type: ignore[misc]
    with pytest.raises(TypeError):
        architecture.path[0] = 8  # type: ignore[index]


def test_changing_the_dictionary_changes_nothing():
    architecture = small()
    content = architecture.to_dict()
    content["path"][0] = 16
    content["cell"][0][0]["op"] = "none"
    assert architecture == small()


def test_counts():
    assert (small().num_layers, small().num_nodes) == (4, 2)


def test_it_prints_on_one_screen():
    assert str(small()) == (
        "path  4 8 16 8\n"
        "node 0 = skip_connect(previous-previous cell) + sep_conv_3x3(previous cell)\n"
        "node 1 = max_pool_3x3(previous cell) + atrous_conv_5x5(node 0)"
    )
    lines = str(Architecture.load("autodeeplab_paper")).splitlines()
    assert len(lines) == 6 and max(map(len, lines)) <= 100
