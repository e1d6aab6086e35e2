"""What can be searched, and what a search finds: spaces, architectures, decoding."""

from autoseg.architecture.architecture import Architecture
from autoseg.architecture.best_paths import RankedPath, best_paths, count_best_paths, path_score
from autoseg.architecture.cell import Cell, CellEdge
from autoseg.architecture.cell_architecture import CellArchitecture
from autoseg.architecture.cell_confidence import DecodedCells, decode_cells_with_confidence
from autoseg.architecture.cell_decoding import decode_cells, sample_cell_architecture
from autoseg.architecture.cell_operations import NOISE, cell_operations
from autoseg.architecture.cell_space import CellSpace
from autoseg.architecture.confidence import (
    Agreement,
    Decoded,
    EdgeMargin,
    decode_with_confidence,
)
from autoseg.architecture.decoding import decode, decode_cell, decode_path
from autoseg.architecture.edge_normalisation import fold_gamma, normalise_gamma
from autoseg.architecture.entropy import alpha_entropy, beta_entropy, near_uniform
from autoseg.architecture.kinds import (
    AnyArchitecture,
    Space,
    architecture_from_dict,
    load_architecture,
    load_space,
    space_from_dict,
)
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
from autoseg.architecture.space import SearchSpace
from autoseg.architecture.space_files import preset_names, shipped
from autoseg.architecture.trellis import TrellisEdge
from autoseg.architecture.untrained import UntrainedPath, compare_with_untrained

__all__ = [
    "ARCH_INIT_STD",
    "FAMILIES",
    "NOISE",
    "NO_OPERATION",
    "OPERATIONS",
    "Agreement",
    "AnyArchitecture",
    "Architecture",
    "BetaNorm",
    "Cell",
    "CellArchitecture",
    "CellEdge",
    "CellSpace",
    "Decoded",
    "DecodedCells",
    "EdgeMargin",
    "Family",
    "Operation",
    "PathRule",
    "RankedPath",
    "SearchSpace",
    "Space",
    "TrellisEdge",
    "UntrainedPath",
    "alpha_entropy",
    "architecture_from_dict",
    "best_paths",
    "beta_entropy",
    "cell_operations",
    "compare_with_untrained",
    "count_best_paths",
    "decode",
    "decode_cell",
    "decode_cells",
    "decode_cells_with_confidence",
    "decode_path",
    "decode_with_confidence",
    "edge_scores",
    "fold_gamma",
    "live_betas",
    "load_architecture",
    "load_space",
    "near_uniform",
    "normalise_alpha",
    "normalise_beta",
    "normalise_gamma",
    "operations_of",
    "path_of_rank",
    "path_score",
    "preset_names",
    "register_operation",
    "sample_architecture",
    "sample_cell",
    "sample_cell_architecture",
    "sample_path",
    "shipped",
    "space_from_dict",
]
