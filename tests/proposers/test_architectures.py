"""Architectures as options: against a space that is enumerated by plain loops."""

import dataclasses
from itertools import product

import pytest
import torch

from autoseg.architecture import SearchSpace
from autoseg.proposers import ArchitectureDomain
from tests.proposers.domains import SPACE, every_architecture

DOMAIN = ArchitectureDomain(SPACE)
MEMBERS = every_architecture(dataclasses.replace(SPACE, num_nodes=1))
SMALL = ArchitectureDomain(dataclasses.replace(SPACE, num_nodes=1))


def num_differences(one, other):
    """Count the operations, sources and strides in which two architectures differ."""
    strides = sum(a != b for a, b in zip(one.path, other.path, strict=True))
    sources, ops = 0, 0
    for node, other_node in zip(one.cell, other.cell, strict=True):
        mine, others = dict(node), dict(other_node)
        sources += len(mine.keys() - others.keys())
        kept = mine.keys() & others.keys()
        ops += sum(mine[source] != others[source] for source in kept)
        # An edge that moved to another source keeps its operation.
        gone, new = mine.keys() - kept, others.keys() - kept
        ops += sum(mine[a] != others[b] for a, b in zip(gone, new, strict=True))
    return strides + sources + ops


def test_every_combination_of_options_is_a_member_and_every_member_has_one():
    decoded = [
        SMALL.decode(dict(zip(SMALL.options, chosen, strict=True)))
        for chosen in product(*SMALL.options.values())
    ]
    assert set(decoded) == set(MEMBERS)
    assert all(SMALL.decode(SMALL.encode(member)) == member for member in MEMBERS)
    assert all(len(options) > 1 for options in SMALL.options.values())


def test_a_stride_that_cannot_be_reached_is_read_as_the_nearest_that_can():
    chosen = SMALL.encode(MEMBERS[0]) | {
        "layer0_stride": "4", "layer1_stride": "16", "layer2_stride": "16"
    }  # fmt: skip
    assert SMALL.decode(chosen).path == (4, 8, 16)


def test_a_mutant_differs_by_one_choice_and_mutants_reach_everything():
    generator = torch.Generator().manual_seed(0)
    members = every_architecture(SPACE)
    known = set(members)
    kinds = set()
    parent = members[0]
    for _ in range(500):
        mutant = DOMAIN.mutate(parent, generator)
        assert mutant in known
        assert num_differences(parent, mutant) == 1
        kinds.add(
            (mutant.path == parent.path, [*map(dict, mutant.cell)] == [*map(dict, parent.cell)])
        )
        parent = mutant
    assert len(kinds) == 2
    # By single changes, which the mutations are drawn from, all members hang together.
    reached, edge = {MEMBERS[0]}, [MEMBERS[0]]
    while edge:
        one = edge.pop()
        new = [m for m in MEMBERS if m not in reached and num_differences(one, m) == 1]
        reached.update(new)
        edge += new
    assert reached == set(MEMBERS)


def test_the_three_kinds_of_mutation_are_as_likely():
    generator = torch.Generator().manual_seed(0)
    parent = every_architecture(SPACE)[5]
    mutants = [DOMAIN.mutate(parent, generator) for _ in range(900)]
    of_path = sum(mutant.path != parent.path for mutant in mutants)
    sources = [
        [[edge.source for edge in node] for node in each.cell] for each in (parent, *mutants)
    ]
    of_sources = sum(each != sources[0] for each in sources[1:])
    # Three standard deviations of a binomial with p = 1/3.
    assert of_path == pytest.approx(300, abs=3 * (900 * 2 / 9) ** 0.5)
    assert of_sources == pytest.approx(300, abs=3 * (900 * 2 / 9) ** 0.5)


def test_a_space_without_a_choice_has_no_parameters_and_no_other_mutant():
    single = dataclasses.replace(
        SearchSpace.load("autodeeplab"), num_layers=1, num_nodes=1, strides=(4,),
        operations=("skip_connect",),
    )  # fmt: skip
    domain = ArchitectureDomain(single)
    (member,) = every_architecture(single)
    assert domain.options == {}
    assert domain.decode({}) == domain.mutate(member, torch.Generator()) == member
