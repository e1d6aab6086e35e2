"""What every network of a space costs, from the prices of its parts."""

from autoseg.pricing.cell_prices import CellPrices, ExpectedCellMacs, price_cells
from autoseg.pricing.cells_within import cheapest_cells, decode_cells_within
from autoseg.pricing.expectation import ExpectedMacs
from autoseg.pricing.prices import Prices, price_space
from autoseg.pricing.within import cheapest, decode_within

__all__ = [
    "CellPrices",
    "ExpectedCellMacs",
    "ExpectedMacs",
    "Prices",
    "cheapest",
    "cheapest_cells",
    "decode_cells_within",
    "decode_within",
    "price_cells",
    "price_space",
]
