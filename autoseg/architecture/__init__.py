"""What can be searched, and what a search finds: spaces, architectures, decoding."""

from autoseg.architecture.architecture import Architecture, CellEdge
from autoseg.architecture.best_paths import RankedPath, best_paths, count_best_paths, path_score
from autoseg.architecture.decoding import decode, decode_cell, decode_path
from autoseg.architecture.operations import NO_OPERATION, OPERATIONS
from autoseg.architecture.path_rule import PathRule, edge_scores
from autoseg.architecture.relaxation import (
    BetaNorm,
    live_betas,
    normalise_alpha,
    normalise_beta,
)
from autoseg.architecture.space import SearchSpace, shipped
from autoseg.architecture.trellis import TrellisEdge

__all__ = [
    "NO_OPERATION",
    "OPERATIONS",
    "Architecture",
    "BetaNorm",
    "CellEdge",
    "PathRule",
    "RankedPath",
    "SearchSpace",
    "TrellisEdge",
    "best_paths",
    "count_best_paths",
    "decode",
    "decode_cell",
    "decode_path",
    "edge_scores",
    "live_betas",
    "normalise_alpha",
    "normalise_beta",
    "path_score",
    "shipped",
]
