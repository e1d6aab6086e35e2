"""What a path owes to the search, and what a supernet without a search would give as well."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.architecture.best_paths import best_paths, count_best_paths, path_score
from autoseg.architecture.path_rule import PathRule, edge_scores
from autoseg.architecture.relaxation import BetaNorm, live_betas_on
from autoseg.architecture.space import SearchSpace

_TIE = 1e-9
"""Scores closer than this are a tie; what a sum of scores rounds to is far below."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UntrainedPath:
    """A decoded path against the null: that beta's directions mean nothing.

    Two questions. Is it the path that a uniform beta decodes? And if at every node the betas of its
    edges change places at random, is the best path's score another? The latter is a permutation
    test; its p is exact for a beta whose directions are exchangeable at every node, whatever its
    size. It has two sides: betas that line up along a path score higher than their shuffles, betas
    that all point to coarser strides score lower, since a path can follow them three times only.
    """

    num_paths: int
    """Paths of the space."""
    num_tied: int
    """Paths that tie for the best at uniform beta: all of them under the unbiased rule."""
    is_untrained: bool
    """Whether the path is one of those, and they are not simply all."""
    num_shuffles: int
    """Shuffles of beta that were decoded."""
    same_path_share: float
    """Share of the shuffles that decode this very path."""
    as_high_share: float
    """Share of the shuffles whose best path scores as high or higher."""
    p_value: float
    """Twice the smaller of (1 + shuffles that score as high) / (1 + shuffles) and the same for as
    low; at most 1."""


def compare_with_untrained(
    space: SearchSpace,
    beta: Tensor,
    path: Sequence[int],
    *,
    beta_norm: BetaNorm = "paper",
    path_rule: PathRule = "paper",
    num_shuffles: int = 500,
    seed: int = 0,
) -> UntrainedPath:
    """Ask what a supernet without a search has to say about a path.

    Args:
        space: The space that was searched.
        beta: Logits of the trellis edges, (num_layers, num_levels, 3).
        path: The decoded path, a stride a layer.
        beta_norm: Normalisation of beta; see `normalise_beta`.
        path_rule: How paths are scored; see `edge_scores`.
        num_shuffles: Permutations to draw; 0 leaves the test out, with a p of 1.
        seed: Seed of the permutations.
    """

    def scores_of(logits: Tensor) -> Tensor:
        return edge_scores(space, logits, beta_norm=beta_norm, path_rule=path_rule)

    uniform, scores = scores_of(torch.zeros(beta.shape)), scores_of(beta.detach())
    num_paths, num_tied = space.num_paths(), count_best_paths(space, uniform)
    best_uniform = next(best_paths(space, uniform)).score
    is_best = float(path_score(space, uniform, path)) >= best_uniform - _TIE
    # Both rules treat the edges of a node alike: shuffled betas have shuffled scores.
    shuffled = _shuffle_directions(space, scores, count=num_shuffles, seed=seed)
    best, *trials = _best_scores(torch.cat([scores.unsqueeze(0), shuffled])).tolist()
    same = path_score(space, shuffled, path).tolist()
    num_as_high = sum(trial >= best - _TIE for trial in trials)
    num_as_low = sum(trial <= best + _TIE for trial in trials)
    num_same = sum(score >= trial - _TIE for score, trial in zip(same, trials, strict=True))
    return UntrainedPath(
        num_paths=num_paths,
        num_tied=num_tied,
        is_untrained=is_best and num_tied < num_paths,
        num_shuffles=num_shuffles,
        same_path_share=num_same / max(1, num_shuffles),
        as_high_share=num_as_high / max(1, num_shuffles),
        p_value=min(1.0, 2 * (1 + min(num_as_high, num_as_low)) / (1 + num_shuffles)),
    )


def _shuffle_directions(space: SearchSpace, scores: Tensor, *, count: int, seed: int) -> Tensor:
    """Permute the edges of each node: (L, levels, 3) -> (count, L, levels, 3)."""
    live = live_betas_on(space, scores.device)
    keys = torch.rand(count, *scores.shape, generator=torch.Generator().manual_seed(seed))
    # Both orders list a node's live edges first: by chance the one, by direction the other.
    by_chance = torch.where(live, keys, 2.0).argsort(dim=-1)
    by_direction = (~live).to(torch.uint8).argsort(dim=-1, stable=True).expand_as(by_chance)
    drawn = scores.expand_as(keys).gather(-1, by_chance)
    return torch.empty_like(drawn).scatter(-1, by_direction, drawn)


def _best_scores(scores: Tensor) -> Tensor:
    """Score the best path of each of many trellises: (count, L, levels, 3) -> (count,)."""
    count, num_layers, num_levels, _ = scores.shape
    to_go = scores.new_zeros(count, num_levels)
    for layer in reversed(range(num_layers)):
        padded = F.pad(to_go, (1, 1), value=-torch.inf)
        to_go = (scores[:, layer] + padded.unfold(1, 3, 1)).amax(dim=-1)
    return to_go[:, 0]
