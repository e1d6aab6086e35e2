"""What can be searched, and what a search finds: spaces, architectures, decoding."""

from autoseg.architecture.architecture import Architecture, CellEdge
from autoseg.architecture.best_paths import RankedPath, best_paths, count_best_paths, path_score
from autoseg.architecture.confidence import (
    Agreement,
    Decoded,
    EdgeMargin,
    decode_with_confidence,
)
from autoseg.architecture.decoding import decode, decode_cell, decode_path
from autoseg.architecture.entropy import alpha_entropy, beta_entropy, near_uniform
from autoseg.architecture.operations import (
    FAMILIES,
    NO_OPERATION,
    OPERATIONS,
    Family,
    Operation,
    operations_of,
    register_operation,
)
from autoseg.architecture.path_rule import PathRule, edge_scores
from autoseg.architecture.relaxation import (
    ARCH_INIT_STD,
    BetaNorm,
    live_betas,
    normalise_alpha,
    normalise_beta,
)
from autoseg.architecture.sampling import (
    path_of_rank,
    sample_architecture,
    sample_cell,
    sample_path,
)
from autoseg.architecture.space import SearchSpace, shipped
from autoseg.architecture.trellis import TrellisEdge
from autoseg.architecture.untrained import UntrainedPath, compare_with_untrained

__all__ = [
    "ARCH_INIT_STD",
    "FAMILIES",
    "NO_OPERATION",
    "OPERATIONS",
    "Agreement",
    "Architecture",
    "BetaNorm",
    "CellEdge",
    "Decoded",
    "EdgeMargin",
    "Family",
    "Operation",
    "PathRule",
    "RankedPath",
    "SearchSpace",
    "TrellisEdge",
    "UntrainedPath",
    "alpha_entropy",
    "best_paths",
    "beta_entropy",
    "compare_with_untrained",
    "count_best_paths",
    "decode",
    "decode_cell",
    "decode_path",
    "decode_with_confidence",
    "edge_scores",
    "live_betas",
    "near_uniform",
    "normalise_alpha",
    "normalise_beta",
    "operations_of",
    "path_of_rank",
    "path_score",
    "register_operation",
    "sample_architecture",
    "sample_cell",
    "sample_path",
    "shipped",
]
