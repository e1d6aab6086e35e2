"""Small spaces, and all architectures of them written out: the oracle of the pricing's tests."""

import dataclasses
import random
from functools import cache
from itertools import combinations, product

from autoseg.architecture import Architecture, CellEdge, SearchSpace
from autoseg.pricing import LatencyTable, Machine, PartTime
from autoseg.pricing.parts import parts_of
from tests.architecture.enumeration import all_paths


def space_of(*, num_layers, num_levels, num_nodes, operations):
    return dataclasses.replace(
        SearchSpace.load("autodeeplab"),
        num_layers=num_layers,
        num_nodes=num_nodes,
        strides=(4, 8, 16, 32)[:num_levels],
        operations=operations,
        filter_multiplier=3,
        stem_channels=(3, 4, 5),
    )


def all_cells(space):
    """List every cell of a space."""
    operations = [op for op in space.operations if op != "none"]
    nodes = [
        [
            (CellEdge(first, one), CellEdge(second, other))
            for first, second in combinations(range(2 + node), 2)
            for one, other in product(operations, repeat=2)
        ]
        for node in range(space.num_nodes)
    ]
    return list(product(*nodes))


@cache
def all_architectures(space):
    """List every architecture of a space."""
    paths = [
        tuple(space.strides[level] for level in path)
        for path in all_paths(space.num_layers, space.num_levels)
    ]
    return [
        Architecture(space=space.name, strides=space.strides, path=path, cell=cell)
        for path, cell in product(paths, all_cells(space))
    ]


def table_of(networks, *, seed=0):
    """Make a latency table of made-up times, of whole nanoseconds."""
    generator = random.Random(seed)
    times = [generator.randint(1_000, 1_000_000) / 1e6 for _ in parts_of(networks)]
    return LatencyTable(
        networks=networks,
        machine=Machine(processor="Some CPU", device="cpu", num_threads=2, torch_version="2.11.0"),
        measured_at="2026-01-31T12:00:00+00:00",
        parts={
            part.name: PartTime(
                median_ms=ms, low_ms=ms, high_ms=2 * ms, num_runs=20, is_steady=True
            )
            for part, ms in zip(parts_of(networks), times, strict=True)
        },
    )
