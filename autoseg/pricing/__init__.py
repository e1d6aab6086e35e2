"""What every network of a space costs, from the prices of its parts: MACs, or measured latency."""

from autoseg.pricing.cell_prices import CellPrices, ExpectedCellMacs, price_cells
from autoseg.pricing.cells_within import cheapest_cells, decode_cells_within
from autoseg.pricing.expectation import ExpectedCost
from autoseg.pricing.latency_table import LatencyTable, Machine, PartTime
from autoseg.pricing.macs import count_prices, price_space
from autoseg.pricing.measuring import measure_table
from autoseg.pricing.parts import PricedNetworks
from autoseg.pricing.prices import Prices
from autoseg.pricing.within import cheapest, decode_within

__all__ = [
    "CellPrices",
    "ExpectedCellMacs",
    "ExpectedCost",
    "LatencyTable",
    "Machine",
    "PartTime",
    "PricedNetworks",
    "Prices",
    "cheapest",
    "cheapest_cells",
    "count_prices",
    "decode_cells_within",
    "decode_within",
    "measure_table",
    "price_cells",
    "price_space",
]
