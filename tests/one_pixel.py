"""Figures of one pixel, for tests that look at none: small commands mostly typeset figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any
from unittest import mock

from matplotlib.figure import Figure
from PIL import Image

from autoseg.reporting import figure as figure_module


def _save(figure: Figure, file: IO[Any], *, format: str, **_: Any) -> None:
    if format == "svg":
        file.write('<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"></svg>')
    else:
        Image.new("RGB", (1, 1)).save(file, format=format)


@contextmanager
def one_pixel_figures() -> Iterator[None]:
    """Save every figure, in this process, as one pixel; it is made as always, without its fonts."""
    with (
        mock.patch.object(Figure, "savefig", _save),
        mock.patch.object(figure_module, "choose_fonts", lambda figure: None),
    ):
        yield
