"""One rule for making a reference network narrower than its paper."""

import math

from autoseg.errors import UsageError

MAX_WIDTH = 16
"""ResNet's last stage has 32,768 channels then, and a convolution between two such maps 4 GiB."""
MIN_CHANNELS = 8
"""No scaled count falls below this: batch norm and ReLU over fewer channels lose whole maps."""


def scale_channels(channels: int, width: float) -> int:
    """Scale a paper's channel count, so that the structure stays and only the width changes.

    Args:
        channels: Channels in the paper.
        width: Factor; 1.0 gives `channels` exactly.

    Returns:
        `channels * width` rounded half up, at least `MIN_CHANNELS` unless the paper has fewer.

    Raises:
        UsageError: If `width` is not a positive number, or above `MAX_WIDTH`.
    """
    if not (math.isfinite(width) and width > 0):
        raise UsageError(
            f"width {width} is not a positive number; 1.0 is the paper's network, 0.125 an eighth "
            "of its channels."
        )
    if width > MAX_WIDTH:
        raise UsageError(
            f"width {width} is above {MAX_WIDTH}; 1.0 is the paper's network, 2.0 has twice its "
            "channels."
        )
    return max(min(channels, MIN_CHANNELS), math.floor(channels * width + 0.5))
