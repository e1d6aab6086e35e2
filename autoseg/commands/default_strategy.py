"""Which strategy a search takes, and with which settings, where the user names none."""

from typing import Any

from autoseg.config import PREDICTOR_SETTINGS, SearchConfig, values_of
from autoseg.distributed import num_processes
from autoseg.requests import SearchRequest
from autoseg.strategies import STRATEGIES

DEFAULT = "predictor"
"""What beat drawing, and every other strategy that was compared: docs/strategies.md."""
PUBLISHED = "darts"
"""What the paper searches with."""


def choose_strategy(request: SearchRequest, *, size: str | None, has_path: bool) -> SearchRequest:
    """Name the strategy, where the request leaves it open, and the predictor's estimator.

    An option that one of the two alone reads decides; then several processes, which only DARTS can
    be shared by, and a size or a space for which DARTS is what was published.

    Args:
        request: What the user asks for.
        size: The preset that the sizes are of; None if it is not known yet.
        has_path: Whether the space has paths, and not cells alone.
    """
    if request.strategy == "auto":
        request = request.with_values(strategy=_strategy(request, size=size, has_path=has_path))
    if request.strategy != DEFAULT or "estimator" in request.given:
        return request
    by_speed = request.with_defaults(**PREDICTOR_SETTINGS)
    # Images that score, or a pruner that needs scores, are asked for: then not by losses.
    return by_speed if _given(request) <= _read(DEFAULT, by_speed) else request


def strategy_settings(request: SearchRequest, *, size: str) -> dict[str, Any]:
    """Return what the predictor by training speed has in place of the settings of a preset."""
    if request.strategy != DEFAULT or request.estimator != "speed":
        return {}
    return PREDICTOR_SETTINGS if size == "tiny" else {"estimator": "speed"}


def _strategy(request: SearchRequest, *, size: str | None, has_path: bool) -> str:
    if num_processes() > 1:
        return PUBLISHED
    given = _given(request)
    reads_all = {
        PUBLISHED: given <= _read(PUBLISHED, request),
        DEFAULT: any(
            given <= _read(DEFAULT, request.with_defaults(**values))
            for values in ({}, PREDICTOR_SETTINGS)
        ),
    }
    if reads_all[PUBLISHED] != reads_all[DEFAULT]:
        return PUBLISHED if reads_all[PUBLISHED] else DEFAULT
    return PUBLISHED if size == "paper" or not has_path else DEFAULT


def _given(request: SearchRequest) -> set[str]:
    return set(values_of(SearchConfig())) & set(request.given)


def _read(strategy: str, request: SearchRequest) -> frozenset[str]:
    return STRATEGIES[strategy].settings(request)  # pyright: ignore[reportArgumentType]
