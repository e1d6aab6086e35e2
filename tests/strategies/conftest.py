"""What tests of the strategies share."""

from functools import cache
from unittest import mock

import pytest

from autoseg.strategies import costs


@pytest.fixture(scope="module", autouse=True)
def known_prices():
    """Count the MACs of a small space once in a module, and not for each of its searches."""
    counting = {name: cache(getattr(costs, name)) for name in ("count_prices", "price_cells")}
    with mock.patch.multiple(costs, **counting):
        yield
