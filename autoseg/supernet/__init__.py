"""The continuous relaxation of a search space."""

from autoseg.supernet.batch_norm import edge_statistics, estimate_statistics
from autoseg.supernet.cell_path import SingleCells, WeightedCells
from autoseg.supernet.cell_supernet import CellClassifierSupernet, CellSupernet
from autoseg.supernet.dirichlet import DirichletCellSupernet, DirichletSupernet
from autoseg.supernet.single_path import SinglePath, WeightedPath
from autoseg.supernet.supernet import Supernet

__all__ = [
    "CellClassifierSupernet",
    "CellSupernet",
    "DirichletCellSupernet",
    "DirichletSupernet",
    "SingleCells",
    "SinglePath",
    "Supernet",
    "WeightedCells",
    "WeightedPath",
    "edge_statistics",
    "estimate_statistics",
]
