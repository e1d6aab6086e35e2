"""The embedded dataset's streets, each drawn once in a process, for tests that only use them.

Drawing them anew for the datasets of hundreds of small trainings took a tenth of the tests' time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from autoseg.data.synthetic import SyntheticStreets

_MAX_KEPT = 4096  # of 20 to 50 KB each
_draw = SyntheticStreets._draw
_kept = {}


def _draw_once(streets, index):
    (decisive,) = streets.decoding()
    pixels = _kept.get((decisive, index))
    if pixels is None:
        pixels = _draw(streets, index)
        if len(_kept) < _MAX_KEPT:
            _kept[decisive, index] = pixels
    image, label = pixels
    return image.clone(), label.clone()  # what a dataset keeps is its own


@contextmanager
def streets_drawn_once() -> Iterator[None]:
    """Give a street that was drawn before in this process as it was then."""
    with mock.patch.object(SyntheticStreets, "_draw", _draw_once):
        yield
