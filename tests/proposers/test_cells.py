"""The architectures of a cell space as options, and their mutations."""

import itertools

import torch

from autoseg.proposers import CellDomain
from tests.architecture.cells import SMALL

DOMAIN = CellDomain(SMALL)


def drawn(number):
    generator = torch.Generator().manual_seed(5)
    return [DOMAIN.sample(generator) for _ in range(number)]


def differences(first, second):
    """Edges that two architectures share at each node in which they differ."""
    return [
        len(set(one) & set(other))
        for name in first.cells
        for one, other in zip(first.cells[name], second.cells[name], strict=True)
        if one != other
    ]


def test_options_name_every_architecture():
    for value in drawn(50):
        chosen = DOMAIN.encode(value)
        assert chosen.keys() == DOMAIN.options.keys()
        assert all(option in DOMAIN.options[name] for name, option in chosen.items())
        assert DOMAIN.decode(chosen) == value


def test_every_combination_of_options_is_an_architecture():
    names = list(DOMAIN.options)
    # Two operations on each edge; one of three pairs of sources for the second node of a cell.
    assert len(names) == 2 * (1 + 4)
    values = {
        DOMAIN.decode(dict(zip(names, combination, strict=True)))
        for combination in itertools.product(*DOMAIN.options.values())
    }
    # Edge 1 of the reduction cell has average pooling alone: half of its options mean the same.
    assert len(values) == (2 * 2 * 3 * 2 * 2) * (2 * 1 * 3 * 2 * 2)


def test_a_mutation_changes_one_choice():
    generator = torch.Generator().manual_seed(7)
    for value in drawn(100):
        assert differences(value, DOMAIN.mutate(value, generator)) == [1]


def test_mutations_reach_operations_and_sources_of_both_cells():
    generator, value = torch.Generator().manual_seed(1), drawn(1)[0]
    seen = set()
    for _ in range(200):
        mutant = DOMAIN.mutate(value, generator)
        for name in value.cells:
            if mutant.cells[name] != value.cells[name]:
                sources = [[e.source for e in node] for node in mutant.cells[name]]
                own = [[e.source for e in node] for node in value.cells[name]]
                seen.add((name, sources == own))
    assert seen == set(itertools.product(("normal", "reduction"), (True, False)))
