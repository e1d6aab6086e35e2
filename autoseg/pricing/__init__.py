"""What every network of a space costs, from the prices of its parts."""

from autoseg.pricing.expectation import ExpectedMacs
from autoseg.pricing.prices import Prices, price_space
from autoseg.pricing.within import cheapest, decode_within

__all__ = ["ExpectedMacs", "Prices", "cheapest", "decode_within", "price_space"]
