"""A finite set small enough to enumerate, with a score that is known for every member."""

import dataclasses
from itertools import combinations, product

import torch

from autoseg.architecture import Architecture, CellEdge, SearchSpace, sample_architecture

SPACE = dataclasses.replace(
    SearchSpace.load("autodeeplab"),
    num_layers=3,
    num_nodes=2,
    strides=(4, 8, 16),
    operations=("none", "skip_connect", "sep_conv_3x3", "atrous_conv_3x3"),
)


def every_path(space):
    paths = [
        path
        for path in product(range(space.num_levels), repeat=space.num_layers)
        if all(abs(a - b) <= 1 for a, b in zip((0, *path), path, strict=False))
    ]
    assert len(paths) == space.num_paths()
    return [tuple(space.strides[level] for level in path) for path in paths]


def every_architecture(space):
    """List all members, by loops over what the definition allows."""
    ops = [op for op in space.operations if op != "none"]
    nodes = [
        [
            (CellEdge(first, a), CellEdge(second, b))
            for first, second in combinations(range(2 + node), 2)
            for a, b in product(ops, repeat=2)
        ]
        for node in range(space.num_nodes)
    ]
    return [
        Architecture(space=space.name, strides=space.strides, path=path, cell=cell)
        for path in every_path(space)
        for cell in product(*nodes)
    ]


def planted(space, number):
    """One member, drawn by a number, and a score that counts the choices shared with it."""
    best = sample_architecture(space, torch.Generator().manual_seed(number))

    def score(architecture):
        pairs = [
            *zip(architecture.path, best.path, strict=True),
            *(
                pair
                for node, best_node in zip(architecture.cell, best.cell, strict=True)
                for edge, best_edge in zip(node, best_node, strict=True)
                for pair in zip(edge, best_edge, strict=True)
            ),
        ]
        return sum(a == b for a, b in pairs) / len(pairs)

    assert score(best) == 1.0
    return best, score
