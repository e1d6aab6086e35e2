"""Architectures of cell spaces: value, file, decoding and drawing at random."""

import collections
import dataclasses
import itertools
import json
import re

import pytest
import torch

from autoseg.architecture import (
    Architecture,
    CellArchitecture,
    CellEdge,
    architecture_from_dict,
    decode_cells,
    load_architecture,
    sample_cell_architecture,
)
from autoseg.errors import FileError
from tests.architecture.cells import DARTS_V1, DARTS_V2, SMALL
from tests.fuzzing import as_json, damaged_bytes, damaged_json, require_clean_refusals


def test_a_file_holds_it_whole(tmp_path):
    path = tmp_path / "architecture.json"
    DARTS_V2.save(path)
    assert load_architecture(path) == CellArchitecture.load(path) == DARTS_V2
    assert hash(load_architecture(path)) == hash(DARTS_V2)
    assert architecture_from_dict(DARTS_V2.to_dict()) == DARTS_V2 != DARTS_V1
    with pytest.raises(FileError, match="the field 'format' must be 'autoseg-architecture'"):
        Architecture.load(path)
    assert load_architecture("autodeeplab_paper") == Architecture.load("autodeeplab_paper")


def test_edges_have_one_order():
    turned = tuple((second, first) for first, second in DARTS_V1.normal)
    assert dataclasses.replace(DARTS_V1, normal=turned) == DARTS_V1
    assert DARTS_V1.normal[0] == (CellEdge(0, "sep_conv_3x3"), CellEdge(1, "sep_conv_3x3"))


def test_it_prints_on_one_screen():
    lines = str(DARTS_V2).split("\n")
    assert lines[:2] == ["20 cells", "normal cell"]
    assert lines[5] == "  node 3 = skip_connect(previous-previous cell) + dil_conv_3x3(node 0)"
    assert len(lines) == 11
    assert DARTS_V2.summary == (
        "normal sep 3x3, sep 3x3, sep 3x3, sep 3x3, skip, sep 3x3, skip, dil 3x3; "
        "reduction max pool 3x3, max pool 3x3, max pool 3x3, skip, max pool 3x3, skip, "
        "max pool 3x3, skip"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_cells": 2}, "num_cells = 2, but it must be a whole number from 3 to 128."),
        ({"num_cells": 4.0}, "num_cells = 4.0, but it must be a whole number"),
        ({"space": "a/b"}, "space = 'a/b', but"),
        ({"space": 1}, "space = 1, but"),
        ({"normal": []}, "cell architecture: normal is empty"),
        ({"reduction": 1}, "cell architecture: reduction = 1, but it must be a list of nodes."),
        ({"reduction": [[]]}, "cell architecture: reduction[0] has 0 edges"),
        ({"format_version": 2}, "format_version = 2, but this autoseg reads 1"),
        ({"more": 1}, "unknown field 'more'."),
    ],
)
def test_what_a_file_may_not_hold(tmp_path, changes, message):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(DARTS_V1.to_dict() | changes))
    with pytest.raises(FileError, match=re.escape(message)):
        load_architecture(path)


def test_edges_that_cannot_be_are_refused():
    node = (CellEdge(0, "none"), CellEdge(1, "noise"))
    with pytest.raises(ValueError, match=r"reduction\[0\] has operation 'none', but it must be"):
        dataclasses.replace(DARTS_V1, reduction=(node,))
    node = (CellEdge(2, "noise"), CellEdge(1, "noise"))
    with pytest.raises(ValueError, match=r"normal\[0\] reads source 2, but node 0 may read 0 to 1"):
        dataclasses.replace(DARTS_V1, normal=(node,))
    with pytest.raises(ValueError, match="normal has 4 nodes and reduction 1, but both cells"):
        dataclasses.replace(DARTS_V1, reduction=DARTS_V1.reduction[:1])


@pytest.mark.fuzz
def test_damaged_files_are_read_or_refused_by_name(memory_folder):
    path = memory_folder / "a.json"
    DARTS_V2.save(path)
    values = damaged_json(DARTS_V2.to_dict()).map(as_json)
    require_clean_refusals(load_architecture, path, damaged_bytes(path.read_bytes()) | values)


def one_hot(operations, cell):
    """Logits that lead to a cell: its edges' operations far above all others."""
    alpha = torch.randn(len(operations), len(operations[0])) / 10
    edges = list(
        itertools.chain.from_iterable(
            [(node, source) for source in range(2 + node)] for node in range(len(cell))
        )
    )
    for (node, source), row, names in zip(edges, alpha, operations, strict=True):
        for edge in cell[node]:
            if edge.source == source:
                row[names.index(edge.op)] = 5
    return alpha


def test_decoding_finds_what_alpha_holds():
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        found = sample_cell_architecture(SMALL, generator)
        normal = one_hot(SMALL.normal_operations, found.normal)
        reduction = one_hot(SMALL.reduction_operations, found.reduction)
        assert decode_cells(SMALL, normal, reduction) == found
    assert found.num_cells == SMALL.retrain_num_cells


def test_no_connection_takes_weight_and_is_never_kept():
    # Edge 1 -> node 0 prefers "none" far above all, but a node needs two edges; of three edges to
    # node 1 the one on which "none" takes the weight is dropped.
    normal = torch.zeros(5, 3)
    normal[:, 2] = 1.0
    normal[1, 0] = normal[3, 0] = 9.0
    found = decode_cells(SMALL, normal, torch.zeros(5, 2))
    sep = "sep_conv_3x3"
    assert found.normal == (
        (CellEdge(0, sep), CellEdge(1, sep)),
        (CellEdge(0, sep), CellEdge(2, sep)),
    )
    # "none" has no rival on edge 1 of the reduction cell.
    assert found.reduction[0] == (CellEdge(0, "max_pool_3x3"), CellEdge(1, "avg_pool_3x3"))


@pytest.mark.parametrize(
    ("normal", "reduction", "message"),
    [
        (torch.zeros(5, 2), torch.zeros(5, 2), r"normal alpha has shape \(5, 2\), but .* \(5, 3\)"),
        (torch.zeros(5, 3), torch.full((5, 2), torch.nan), "reduction alpha holds a value that"),
    ],
)
def test_what_cannot_be_decoded(normal, reduction, message):
    with pytest.raises(ValueError, match=message):
        decode_cells(SMALL, normal, reduction)


def test_every_choice_is_drawn_as_often_as_the_others():
    generator = torch.Generator().manual_seed(0)
    drawn = [sample_cell_architecture(SMALL, generator) for _ in range(1000)]
    normal = collections.Counter(each.normal for each in drawn)
    # Two operations on each of four edges, and one of three pairs for the second node.
    assert len(normal) == 2**4 * 3
    expected = len(drawn) / len(normal)
    chi_squared = sum((count - expected) ** 2 / expected for count in normal.values())
    assert chi_squared < 47 + 4 * (2 * 47) ** 0.5
    for each in drawn[:100]:
        for node, edges in enumerate(each.reduction):
            for source, op in edges:
                index = [0, 2][node] + source
                assert op in SMALL.reduction_operations[index] and op != "none"
