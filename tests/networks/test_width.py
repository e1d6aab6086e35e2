import math

import pytest

from autoseg.errors import UsageError
from autoseg.networks.width import scale_channels


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [
        (48, 1.0, 48),
        (5, 1.0, 5),  # the paper's count, although below the minimum
        (256, 0.125, 32),
        (100, 0.125, 13),  # 12.5 is rounded up
        (48, 0.125, 8),  # the minimum, instead of 6
        (5, 0.125, 5),  # never more than the paper's
        (64, 1.5, 96),
    ],
)
def test_worked_cases(channels: int, width: float, expected: int) -> None:
    assert scale_channels(channels, width) == expected


@pytest.mark.parametrize("width", [0.0, -1.0, math.nan, math.inf])
def test_refuses_what_is_no_width(width: float) -> None:
    with pytest.raises(UsageError, match=rf"width {width} is not a positive number; 1\.0 is the"):
        scale_channels(64, width)


def test_refuses_what_no_machine_holds() -> None:
    assert scale_channels(64, 16.0) == 1024
    with pytest.raises(UsageError, match=r"^width 1000000000\.0 is above 16; 1\.0 is the paper's"):
        scale_channels(64, 1e9)
