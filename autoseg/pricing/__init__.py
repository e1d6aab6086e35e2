"""What every network of a space costs, from the prices of its parts."""

from autoseg.pricing.expectation import ExpectedMacs
from autoseg.pricing.prices import Prices, price_space

__all__ = ["ExpectedMacs", "Prices", "price_space"]
