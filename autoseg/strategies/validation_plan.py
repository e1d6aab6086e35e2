"""After which epochs a search validates, so that this takes a small part of it."""

import math
from typing import NamedTuple

from autoseg.config import SearchConfig

COST_OF_GRADIENT = 3
"""Passes over a batch that a pass with its gradient costs: what counting the operations gives. The
compiled kernels take about five, so that a validation costs less than is reckoned here."""


class ValidationInterval(NamedTuple):
    """How often a search that counts steps validates."""

    num_epochs: int
    """Epochs from one validation to the next."""
    share: float
    """Estimated share of the search that validation takes, in (0, 1)."""


def validation_interval(
    config: SearchConfig,
    *,
    num_weight_passes: int,
    num_arch_passes: int,
    num_images: int,
    image_pixels: int,
) -> ValidationInterval:
    """Choose the epochs from one validation to the next by counting pixels, not by the clock.

    Args:
        config: Epochs, batch, crop and the largest share.
        num_weight_passes: Half-steps of the search that move the weights.
        num_arch_passes: Half-steps that move alpha and beta.
        num_images: Images of a validation; other epochs look at one alone.
        image_pixels: Pixels of one as the network sees it.

    Returns:
        The smallest interval at which validation keeps to its share; `config.num_epochs`, a single
        validation at the end, where none does.
    """
    num_passes = COST_OF_GRADIENT * (num_weight_passes + num_arch_passes)
    trained_pixels = num_passes * config.batch_size * math.prod(config.crop_size)
    shares = {}
    for interval in range(1, config.num_epochs + 1):
        num_validations = math.ceil(config.num_epochs / interval)
        num_seen = num_validations * num_images + config.num_epochs - num_validations
        shares[interval] = num_seen * image_pixels / (num_seen * image_pixels + trained_pixels)
    fitting = (interval for interval, share in shares.items() if share <= config.val_share)
    chosen = next(fitting, config.num_epochs)
    return ValidationInterval(chosen, shares[chosen])
