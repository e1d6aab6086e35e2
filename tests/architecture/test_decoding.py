"""Decoding against brute force: every path, every pair of predecessors."""

import dataclasses
import itertools
import math
import re

import numpy as np
import pytest
import torch

from autoseg.architecture import (
    BetaNorm,
    CellEdge,
    SearchSpace,
    decode,
    decode_cell,
    decode_path,
    live_betas,
)
from tests.architecture.enumeration import all_paths, path_log_weights

RULES: list[BetaNorm] = ["paper", "two-thirds"]
SPACE = SearchSpace.load("autodeeplab")


def space_of(num_layers=12, num_levels=4, **changes):
    strides = tuple(4 << level for level in range(num_levels))
    return dataclasses.replace(SPACE, num_layers=num_layers, strides=strides, **changes)


def random_beta(space, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    shape = (space.num_layers, space.num_levels, 3)
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def random_alpha(space, seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    shape = (space.num_edges, len(space.operations))
    return scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def best_path(beta, rule):
    """The first path in lexicographic order, finest first, whose weight is the largest."""
    num_layers, num_levels, _ = beta.shape
    weights = path_log_weights(beta.numpy(), rule)
    # 1e-11: rounding of a sum of 12 logarithms, far below the gap of random paths.
    winner = int(np.argmax(weights >= weights.max() - 1e-11))
    return tuple(4 << level for level in all_paths(num_layers, num_levels)[winner].tolist())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("scale", [1e-3, 0.3, 1.0, 5.0, 100.0])
def test_viterbi_equals_brute_force_over_all_paths(scale, rule):
    decoded = set()
    for seed in range(60):
        beta = random_beta(SPACE, seed, scale)
        path = decode_path(SPACE, beta, beta_norm=rule)
        assert path == best_path(beta, rule), seed
        decoded.add(path)
    # Many different answers, or the comparison would say little. At 1e-3 the paper's rule ties
    # nearly: an edge at the finest stride is one of two, elsewhere one of three.
    assert len(decoded) >= (2 if scale == 1e-3 else 30)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("num_levels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("num_layers", [1, 2, 3, 5, 8])
def test_viterbi_equals_brute_force_at_other_sizes(num_layers, num_levels, rule):
    space = space_of(num_layers, num_levels)
    for seed in range(10):
        beta = random_beta(space, seed, 1.0)
        assert decode_path(space, beta, beta_norm=rule) == best_path(beta, rule)


def test_the_rules_differ():
    # The paper's rule favours the finest and the coarsest stride, whose nodes have two exits.
    decoded = [
        {rule: decode_path(SPACE, random_beta(SPACE, seed, 0.3), beta_norm=rule) for rule in RULES}
        for seed in range(20)
    ]
    assert sum(paths["paper"] != paths["two-thirds"] for paths in decoded) >= 15


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("num_layers", [1, 2, 5, 12])
def test_of_tied_paths_the_finer_stride_wins_where_they_part(num_layers, rule):
    # Uniform beta: the paper's rule ties "all at stride 4" with "stride 8 at the last layer"; the
    # two-thirds rule ties every path. The finest path is first in both.
    space = space_of(num_layers)
    assert decode_path(space, torch.zeros(num_layers, 4, 3), beta_norm=rule) == (4,) * num_layers


@pytest.mark.parametrize("rule", RULES)
def test_ties_are_broken_as_the_enumeration_breaks_them(rule):
    # Logits from {0, log 2}: exact ties abound, in every layer, and logarithms round differently
    # in the two computations.
    ties = 0
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        beta = torch.randint(2, (12, 4, 3), generator=generator).double() * math.log(2)
        weights = path_log_weights(beta.numpy(), rule)
        ties += np.count_nonzero(weights >= weights.max() - 1e-11) > 1
        assert decode_path(SPACE, beta, beta_norm=rule) == best_path(beta, rule), seed
    assert ties >= 30


def test_a_tie_in_the_middle_goes_to_the_finer_stride():
    # Forced down to stride 8, then indifferent between strides 4 and 16, then kept there.
    space, beta = space_of(3), torch.zeros(3, 4, 3)
    beta[0, 0, 2] = beta[1, 1, 0] = beta[1, 1, 2] = beta[2, 0, 1] = beta[2, 2, 1] = 40.0
    assert decode_path(space, beta) == (8, 4, 4)
    beta[1, 1, 2] += 1e-3
    assert decode_path(space, beta) == (8, 16, 16)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dead", [1e9, -1e9])
def test_dead_betas_have_no_influence(dead, rule):
    for seed in range(10):
        beta = random_beta(SPACE, seed, 1.0)
        clean = decode_path(SPACE, beta, beta_norm=rule)
        beta[~live_betas(SPACE)] = dead
        assert decode_path(SPACE, beta, beta_norm=rule) == clean


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("strength", [20.0, 1e4])
def test_planted_paths_are_found(strength, rule):
    paths = all_paths(12, 4)
    for index in np.random.default_rng(0).integers(len(paths), size=50):
        beta, before = torch.zeros(12, 4, 3), 0
        for layer, level in enumerate(paths[index].tolist()):
            beta[layer, before, level - before + 1] = strength
            before = level
        planted = tuple(4 << level for level in paths[index].tolist())
        assert decode_path(SPACE, beta, beta_norm=rule) == planted


def test_the_greedy_walk_is_not_the_answer():
    # Greedy takes 0.6 to stride 8, then at most 1/3: 0.2. Staying has 0.4 * 0.9 = 0.36.
    space, beta = space_of(2), torch.zeros(2, 4, 3, dtype=torch.float64)
    beta[0, 0, 1], beta[0, 0, 2] = math.log(0.4), math.log(0.6)
    beta[1, 0, 1], beta[1, 0, 2] = math.log(0.9), math.log(0.1)
    assert decode_path(space, beta) == (4, 4)


def strongest_pair(space, alpha, node):
    """Best two predecessors of a node by trying every pair, as {source: op}."""
    rows = {}
    offset = sum(2 + earlier for earlier in range(node))
    for source in range(2 + node):
        exponentials = [math.exp(logit) for logit in alpha[offset + source].tolist()]
        weights = {
            op: value / math.fsum(exponentials)
            for op, value in zip(space.operations, exponentials, strict=True)
        }
        del weights["none"]
        rows[source] = weights
    pair = max(
        itertools.combinations(rows, 2),
        key=lambda sources: sum(max(rows[source].values()) for source in sources),
    )
    return {source: max(rows[source], key=rows[source].__getitem__) for source in pair}


@pytest.mark.parametrize("scale", [1e-3, 1.0, 5.0])
@pytest.mark.parametrize("num_nodes", [1, 2, 5, 7])
def test_the_cell_equals_the_best_of_all_pairs(num_nodes, scale):
    space = space_of(num_nodes=num_nodes)
    for seed in range(20):
        alpha = random_alpha(space, seed, scale)
        cell = decode_cell(space, alpha)
        assert [dict(node) for node in cell] == [
            strongest_pair(space, alpha, node) for node in range(num_nodes)
        ]
        assert all(first.source < second.source for first, second in cell)


@pytest.mark.parametrize("dominance", [3.0, 30.0, 300.0])
def test_none_is_never_decoded(dominance):
    for seed in range(10):
        alpha = random_alpha(SPACE, seed)
        expected = decode_cell(SPACE, alpha)
        alpha[:, SPACE.operations.index("none")] = dominance
        cell = decode_cell(SPACE, alpha)
        assert all(edge.op != "none" for node in cell for edge in node)
        # The operation of an edge stays what it was wherever the edge is kept.
        before = {(n, edge.source): edge.op for n, node in enumerate(expected) for edge in node}
        after = {(n, edge.source): edge.op for n, node in enumerate(cell) for edge in node}
        assert all(before[key] == after[key] for key in before.keys() & after.keys())


def test_none_takes_strength_from_its_edge_but_gives_none():
    # Node 1 of a cell of two. Source 0: skip has 0.9 of all. Source 1: "none" has 0.9 and skip the
    # rest. Source 2: skip has 0.5. By the largest weight of any operation 0 and 1 would win.
    space = space_of(num_nodes=2, operations=("none", "skip_connect"))
    alpha = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.1, 0.9], [0.9, 0.1], [0.5, 0.5]]).log()
    skip = "skip_connect"
    assert decode_cell(space, alpha)[1] == (CellEdge(0, skip), CellEdge(2, skip))


def test_ties_go_to_the_lower_source_and_the_first_operation():
    assert (
        decode_cell(SPACE, torch.zeros(20, 8))
        == ((CellEdge(0, "skip_connect"), CellEdge(1, "skip_connect")),) * 5
    )


def test_a_tie_for_second_place_goes_to_the_lower_source():
    alpha = torch.zeros(20, 8)
    alpha[SPACE.edge_index(4, 3), SPACE.operations.index("sep_conv_5x5")] = 1.0
    assert decode_cell(SPACE, alpha)[3] == (
        CellEdge(0, "skip_connect"),
        CellEdge(4, "sep_conv_5x5"),
    )


def test_planted_cells_are_found():
    candidates = [op for op in SPACE.operations if op != "none"]
    generator = np.random.default_rng(0)
    for _ in range(50):
        alpha, planted = torch.zeros(20, 8), []
        for node in range(5):
            sources = sorted(generator.choice(2 + node, size=2, replace=False).tolist())
            ops = [candidates[index] for index in generator.integers(7, size=2)]
            for source, op in zip(sources, ops, strict=True):
                alpha[SPACE.edge_index(source, node), SPACE.operations.index(op)] = 5.0
            planted.append(tuple(map(CellEdge, sources, ops)))
        assert decode_cell(SPACE, alpha) == tuple(planted)


@pytest.mark.parametrize("strong_source", [0, 1])
def test_an_operation_stays_with_its_source_whichever_is_stronger(strong_source):
    # Released decoders list the two edges by strength and the builder by source: whenever the
    # stronger edge has the higher source, the operations change places.
    ops = ("sep_conv_3x3", "atrous_conv_5x5")
    alpha = torch.zeros(20, 8)
    for source, op in enumerate(ops):
        strength = 6.0 if source == strong_source else 4.0
        alpha[SPACE.edge_index(source, 0), SPACE.operations.index(op)] = strength
    assert decode_cell(SPACE, alpha)[0] == (CellEdge(0, ops[0]), CellEdge(1, ops[1]))


def test_permuted_sources_are_decoded_permuted():
    generator = np.random.default_rng(0)
    for seed in range(20):
        alpha = random_alpha(SPACE, seed)
        node = seed % 5
        order = generator.permutation(2 + node).tolist()  # new source s is old source order[s]
        permuted = alpha.clone()
        for source, old in enumerate(order):
            permuted[SPACE.edge_index(source, node)] = alpha[SPACE.edge_index(old, node)]
        before = decode_cell(SPACE, alpha)[node]
        after = decode_cell(SPACE, permuted)[node]
        assert {CellEdge(order[edge.source], edge.op) for edge in after} == set(before)


def test_permuted_operations_are_decoded_unchanged():
    generator = np.random.default_rng(0)
    for seed in range(20):
        alpha, order = random_alpha(SPACE, seed), generator.permutation(8).tolist()
        renamed = dataclasses.replace(SPACE, operations=tuple(SPACE.operations[i] for i in order))
        assert decode_cell(renamed, alpha[:, order]) == decode_cell(SPACE, alpha)


def test_decode_binds_path_and_cell():
    space = dataclasses.replace(SearchSpace.load("autodeeplab", preset="tiny"), name="mine")
    alpha, beta = random_alpha(space, 3), random_beta(space, 3, 1.0)
    for rule in RULES:
        architecture = decode(space, alpha, beta, beta_norm=rule)
        assert architecture.space == "mine"
        assert architecture.strides == (4, 8, 16, 32)
        assert architecture.path == best_path(beta, rule)
        assert architecture.cell == decode_cell(space, alpha)
    assert decode(space, alpha, beta) == decode(space, alpha, beta, beta_norm="paper")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parameters_that_require_gradients_are_decoded_in_float64(dtype):
    # bfloat16 has 8 bits: a softmax in it makes ties that the logits do not have.
    for seed in range(30):
        alpha = random_alpha(SPACE, seed).to(dtype).requires_grad_()
        beta = random_beta(SPACE, seed, 0.1).to(dtype).requires_grad_()
        exact = decode(
            SPACE, alpha.detach().double(), beta.detach().double(), beta_norm="two-thirds"
        )
        assert decode(SPACE, alpha, beta, beta_norm="two-thirds") == exact


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_what_is_not_finite_is_refused(name, value):
    tensors = {"alpha": random_alpha(SPACE, 0), "beta": random_beta(SPACE, 0, 1.0)}
    tensors[name].view(-1)[-5] = value
    message = f"^{name} holds a value that is not finite; the search has diverged.$"
    with pytest.raises(ValueError, match=message):
        decode(SPACE, tensors["alpha"], tensors["beta"])
    with pytest.raises(ValueError, match=message):
        if name == "alpha":
            decode_cell(SPACE, tensors["alpha"])
        else:
            decode_path(SPACE, tensors["beta"])


@pytest.mark.parametrize("shape", [(14, 8), (20, 7), (27, 8), (8, 20)])
def test_an_alpha_of_another_space_is_refused(shape):
    message = f"^{re.escape(f'alpha has shape {shape}, but the space needs (20, 8).')}$"
    with pytest.raises(ValueError, match=message):
        decode(SPACE, torch.zeros(shape), torch.zeros(12, 4, 3))
    with pytest.raises(ValueError, match=message):
        decode_cell(SPACE, torch.zeros(shape))


@pytest.mark.parametrize("shape", [(8, 4, 3), (12, 3, 3), (12, 4, 2), (144,)])
def test_a_beta_of_another_space_is_refused(shape):
    message = f"^{re.escape(f'beta has shape {shape}, but the space needs (12, 4, 3).')}$"
    with pytest.raises(ValueError, match=message):
        decode(SPACE, torch.zeros(20, 8), torch.zeros(shape))


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="unknown beta normalisation 'fork'"):
        decode(SPACE, torch.zeros(20, 8), torch.zeros(12, 4, 3), beta_norm="fork")  # type: ignore[arg-type]
