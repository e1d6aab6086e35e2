"""A decoded architecture that knows how sure it is."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import Tensor

from autoseg.architecture.architecture import Architecture
from autoseg.architecture.best_paths import RankedPath, best_paths, path_score
from autoseg.architecture.cell import Cell, CellEdge, num_edges_before
from autoseg.architecture.decoding import decode
from autoseg.architecture.entropy import alpha_entropy, beta_entropy, near_uniform
from autoseg.architecture.operations import NO_OPERATION
from autoseg.architecture.path_rule import PathRule, edge_scores
from autoseg.architecture.relaxation import ARCH_INIT_STD, BetaNorm
from autoseg.architecture.space import SearchSpace
from autoseg.architecture.untrained import UntrainedPath, compare_with_untrained

_NOISE_FACTOR = 2.0
"""Margins below so many standard deviations of the random start's noise are told."""
_SIGNIFICANCE = 0.05
"""Largest p of the permutation test at which nothing is told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeMargin:
    """A kept edge of the cell and what it won against. Margins are differences of logarithms of
    weights, in nats: 0.01 means 1 % more weight."""

    node: int
    """The node that the edge leads to."""
    edge: CellEdge
    """Source and operation of the edge."""
    second_op: str | None
    """The edge's next best operation; None if it has no other."""
    op_margin: float | None
    """Operation over `second_op`."""
    dropped_source: int | None
    """Source of the node's strongest edge that was not kept; None if all are kept."""
    edge_margin: float | None
    """Strength of the edge over that of the edge from `dropped_source`."""

    @property
    def margins(self) -> list[float]:
        """The margins of the choices that there were."""
        return [margin for margin in (self.op_margin, self.edge_margin) if margin is not None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How many of several decodes, those of the last epochs for example, equal this one. Shares in
    [0, 1]."""

    num_decodes: int
    """Decodes that were compared."""
    architecture: float
    """Share of the decodes with the same path and the same cell."""
    path: float
    """Share with the same path."""
    cell: float
    """Share with the same cell."""
    layers: tuple[float, ...]
    """Share with the same stride, one a layer."""
    nodes: tuple[float, ...]
    """Share with the same two edges, one a node of the cell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """An architecture, and how far alpha and beta are from any other."""

    architecture: Architecture
    """What alpha and beta decode to."""
    alpha_entropy: float
    """How undecided the operations are, in [0, 1]; see `alpha_entropy`."""
    beta_entropy: float
    """How undecided the strides are, in [0, 1]; see `beta_entropy`."""
    beta_norm: BetaNorm
    """Normalisation of beta that it was decoded with."""
    path_rule: PathRule
    """How its path was chosen."""
    runner_up: RankedPath | None
    """The second best path; None in a space of one path."""
    path_margin: float | None
    """Score of the path minus that of `runner_up`, in nats; under the paper's rule their
    difference in log probability."""
    path_noise: float | None
    """Standard deviation that the random start of beta alone gives this margin."""
    edges: tuple[EdgeMargin, ...]
    """Every kept edge of the cell."""
    edge_noise: float
    """Standard deviation that the random start of alpha alone gives the cell's margins."""
    agreement: Agreement | None
    """Agreement with the decodes of the last epochs; None if there are none."""
    untrained: UntrainedPath
    """What a supernet without a search says about the path."""

    @property
    def entropies(self) -> dict[str, float]:
        """How undecided alpha and beta are, under their names in logs."""
        return {"alpha_entropy": self.alpha_entropy, "beta_entropy": self.beta_entropy}

    @property
    def doubts(self) -> tuple[str, ...]:
        """Sentences that say what an untrained supernet, or noise, would give as well, and what
        has not settled; none if there is nothing to doubt."""
        still = near_uniform(self.alpha_entropy, self.beta_entropy)
        return (*([] if still is None else [still]), *_path_doubts(self), *_cell_doubts(self))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return {"architecture": self.architecture.to_dict(), **self.confidence()}

    def confidence(self) -> dict[str, Any]:
        """Return all but the architecture, as plain values that JSON can hold."""
        margins = [
            asdict(edge) | {"edge": {"source": edge.edge.source, "op": edge.edge.op}}
            for edge in self.edges
        ]
        return {
            "beta_norm": self.beta_norm,
            "path_rule": self.path_rule,
            "runner_up": None if self.runner_up is None else list(self.runner_up.path),
            "path_margin": self.path_margin,
            "path_noise": self.path_noise,
            "edges": margins,
            "edge_noise": self.edge_noise,
            "agreement": None if self.agreement is None else asdict(self.agreement),
            "untrained": asdict(self.untrained),
            "doubts": list(self.doubts),
        }

    def __str__(self) -> str:
        """Tell path, cell, agreement and verdict, a line each."""
        lines = [f"path  {_spell(self.architecture.path)}"]
        if self.runner_up is not None:
            lines[0] += f", {self.path_margin:.2g} nats ahead of {_spell(self.runner_up.path)}"
        if margins := _margins(self):
            lines.append(
                f"cell  {len(margins)} choices, margins from {min(margins):.2g} to "
                f"{max(margins):.2g} nats, median {median(margins):.2g}"
            )
        if self.agreement is not None:
            layers = " ".join(f"{share:.0%}" for share in self.agreement.layers)
            lines.append(
                f"last {self.agreement.num_decodes} decodes: {self.agreement.path:.0%} with this "
                f"path (by layer {layers}), {self.agreement.cell:.0%} with this cell"
            )
        if self.doubts:
            lines.append("Reasons to doubt that the search decided this:")
            return "\n".join(lines + [f"- {doubt}" for doubt in self.doubts])
        lines.append(
            "Path and cell differ from an untrained supernet's by more than noise; whether they "
            "retrain better, only retraining tells."
        )
        return "\n".join(lines)


def decode_with_confidence(
    space: SearchSpace,
    alpha: Tensor,
    beta: Tensor,
    *,
    beta_norm: BetaNorm = "paper",
    path_rule: PathRule = "paper",
    history: Sequence[tuple[Tensor, Tensor]] = (),
    init_std: float = ARCH_INIT_STD,
    num_shuffles: int = 500,
    seed: int = 0,
) -> Decoded:
    """Decode, and measure how sure the result is.

    Args:
        space: The space that was searched.
        alpha: Logits of the operations, (num_edges, num_operations).
        beta: Logits of the trellis edges, (num_layers, num_levels, 3).
        beta_norm: Normalisation of beta; see `normalise_beta`.
        path_rule: How the path is chosen; see `edge_scores`.
        history: Earlier pairs (alpha, beta), those of the last epochs for example.
        init_std: Standard deviation of alpha and beta at the start of the search.
        num_shuffles: Shuffles of beta for the permutation test; see `compare_with_untrained`.
        seed: Seed of the shuffles.

    Raises:
        ValueError: As `decode` does.
    """

    def decoded(logits: tuple[Tensor, Tensor]) -> Architecture:
        return decode(space, *logits, beta_norm=beta_norm, path_rule=path_rule)

    architecture = decoded((alpha, beta))
    # Gradients of the margin say how the noise of beta reaches it.
    with torch.inference_mode(False), torch.enable_grad():
        logits = beta.detach().to("cpu", torch.float64).clone().requires_grad_()
        scores = edge_scores(space, logits, beta_norm=beta_norm, path_rule=path_rule)
        _, *others = islice(best_paths(space, scores.detach()), 2)
        margin = noise = None
        if others:
            lead = path_score(space, scores, architecture.path) - path_score(
                space, scores, others[0].path
            )
            (gradient,) = torch.autograd.grad(lead, logits)
            # Not below 0 by the rounding of a tie.
            margin, noise = max(0.0, float(lead.detach())), init_std * float(gradient.norm())
    return Decoded(
        architecture=architecture,
        alpha_entropy=alpha_entropy(alpha),
        beta_entropy=beta_entropy(space, beta, beta_norm=beta_norm),
        beta_norm=beta_norm,
        path_rule=path_rule,
        runner_up=others[0] if others else None,
        path_margin=margin,
        path_noise=noise,
        edges=edge_margins(alpha, (space.operations,) * space.num_edges, architecture.cell),
        edge_noise=init_std * math.sqrt(2),  # of a difference of two logits
        agreement=_agree(architecture, [decoded(pair) for pair in history]) if history else None,
        untrained=compare_with_untrained(
            space,
            beta,
            architecture.path,
            beta_norm=beta_norm,
            path_rule=path_rule,
            num_shuffles=num_shuffles,
            seed=seed,
        ),
    )


def edge_margins(
    alpha: Tensor, operations: Sequence[Sequence[str]], cell: Cell
) -> tuple[EdgeMargin, ...]:
    """Tell by how much every kept edge of a decoded cell has won.

    Args:
        alpha: Logits, (num_edges, operations of an edge), edges ordered by node, then by source.
        operations: Candidates of each edge, in the order of its columns.
        cell: What was decoded of them.
    """
    log_weights = torch.log_softmax(alpha.detach().to("cpu", torch.float64), dim=-1).tolist()
    result = []
    for node, kept in enumerate(cell):
        # For each edge its operations from the strongest down, the one listed first where they tie.
        ranked = {}
        for source in range(2 + node):
            index = num_edges_before(node) + source
            row = zip(log_weights[index], operations[index], strict=True)
            candidates = [pair for pair in row if pair[1] != NO_OPERATION]
            ranked[source] = sorted(candidates, key=lambda pair: -pair[0])
        dropped = ranked.keys() - {edge.source for edge in kept}
        rival = min(dropped, key=lambda source: (-ranked[source][0][0], source), default=None)
        for edge in kept:
            (strength, _), *others = ranked[edge.source]
            result.append(
                EdgeMargin(
                    node=node,
                    edge=edge,
                    second_op=others[0][1] if others else None,
                    op_margin=strength - others[0][0] if others else None,
                    dropped_source=rival,
                    edge_margin=None if rival is None else strength - ranked[rival][0][0],
                )
            )
    return tuple(result)


def _agree(architecture: Architecture, decodes: Sequence[Architecture]) -> Agreement:
    def share(matches: Sequence[bool]) -> float:
        return sum(matches) / len(decodes)

    return Agreement(
        num_decodes=len(decodes),
        architecture=share([other == architecture for other in decodes]),
        path=share([other.path == architecture.path for other in decodes]),
        cell=share([other.cell == architecture.cell for other in decodes]),
        layers=tuple(
            share([other.path[layer] == stride for other in decodes])
            for layer, stride in enumerate(architecture.path)
        ),
        nodes=tuple(
            share([other.cell[node] == edges for other in decodes])
            for node, edges in enumerate(architecture.cell)
        ),
    )


def _margins(decoded: Decoded) -> list[float]:
    return [margin for edge in decoded.edges for margin in edge.margins]


def _spell(path: Sequence[int]) -> str:
    return " ".join(map(str, path))


def _path_doubts(decoded: Decoded) -> list[str]:
    if decoded.runner_up is None or decoded.path_margin is None or decoded.path_noise is None:
        return []
    untrained, doubts = decoded.untrained, []
    if untrained.is_untrained:
        doubts.append(
            f"The path is one of the {untrained.num_tied:,} of {untrained.num_paths:,} that a "
            "uniform beta decodes."
        )
    if decoded.path_margin < _NOISE_FACTOR * decoded.path_noise:
        doubts.append(
            f"Its lead over the next path is {decoded.path_margin:.2g} nats; the random start of "
            f"beta alone spreads it by {decoded.path_noise:.2g}."
        )
    if untrained.num_shuffles and untrained.p_value > _SIGNIFICANCE:
        doubts.append(
            f"With the directions at each node shuffled, {untrained.as_high_share:.0%} of "
            f"{untrained.num_shuffles} betas lead to a path that scores as high (two-sided p = "
            f"{untrained.p_value:.2g}), and {untrained.same_path_share:.0%} to this very path."
        )
    if (agreement := decoded.agreement) is not None and agreement.path < 0.5:
        doubts.append(
            f"{_count(agreement.path, agreement)} decodes have this path; the least settled layer "
            f"has this stride in {min(agreement.layers):.0%} of them."
        )
    return doubts


def _cell_doubts(decoded: Decoded) -> list[str]:
    doubts = close_margins(decoded.edges, decoded.edge_noise, cell="cell")
    if (agreement := decoded.agreement) is not None and agreement.cell < 0.5:
        doubts.append(f"{_count(agreement.cell, agreement)} decodes have this cell.")
    return doubts


def close_margins(edges: Sequence[EdgeMargin], noise: float, *, cell: str) -> list[str]:
    """Say that most of a cell's choices are within the noise of the random start; or nothing."""
    margins = [margin for edge in edges for margin in edge.margins]
    num_close = sum(margin < _NOISE_FACTOR * noise for margin in margins)
    if num_close <= len(margins) / 2:
        return []
    return [
        f"{num_close} of the {cell}'s {len(margins)} choices lead by less than "
        f"{_NOISE_FACTOR * noise:.2g} nats, twice what the random start of alpha alone spreads "
        "them by."
    ]


def _count(share: float, agreement: Agreement) -> str:
    return f"{round(share * agreement.num_decodes)} of the last {agreement.num_decodes}"
