"""What all figures share: a canvas without global state, colours, and how a figure is saved."""

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoseg.atomic import atomic_write
from autoseg.reporting.fonts import choose_fonts

BLACK, ORANGE, SKY_BLUE, GREEN, BLUE, VERMILLION, PURPLE = COLOURS = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
"""Colours that people with any common colour blindness tell apart, without the palest, yellow.

Source: Okabe and Ito 2008, "Color Universal Design".
"""

GREY = "#8A8A8A"
LIGHT_GREY = "#D9D9D9"

PNG_DPI = 150
"""Resolution of saved PNG files, dots per inch."""


def new_figure(width: float, height: float) -> Figure:
    """Make a figure that belongs to no window and no pyplot list.

    Args:
        width: Inches.
        height: Inches.
    """
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def formula(text: str) -> str:
    """Mark a text of ours as one whose `$...$` is mathematics.

    Every other text of a figure is a literal, or goes through
    `autoseg.reporting.fonts.figure_text`: a name with two dollar signs would be typeset, or end the
    drawing with an error.

    Args:
        text: Made of our own words alone.

    Returns:
        The text as it is.
    """
    return text


def hide_spines(axes: Axes, *sides: str) -> None:
    """Remove the frame of axes on the sides given; all four if none is."""
    for side in sides or ("left", "right", "top", "bottom"):
        axes.spines[side].set_visible(False)


def save_figure(figure: Figure, path_without_suffix: str | Path) -> list[Path]:
    """Write a figure as PNG and as SVG; the same figure gives the same bytes.

    A reader finds the old picture or the new one, never half of it.

    Args:
        figure: The figure.
        path_without_suffix: Where; ".png" and ".svg" are appended. Its folder is made if missing.

    Returns:
        The two files, PNG first.

    Raises:
        OSError: If a file cannot be written.
    """
    base = Path(path_without_suffix)
    base.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for suffix, content in ((".png", png_bytes(figure)), (".svg", svg_text(figure).encode())):
        # Not with_suffix(): "mean_iou_0.5" would lose its ".5".
        path = base.with_name(base.name + suffix)
        atomic_write(path, content)
        written.append(path)
    return written


def png_bytes(figure: Figure) -> bytes:
    """Render a figure as PNG at `PNG_DPI`."""
    choose_fonts(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def svg_text(figure: Figure) -> str:
    """Render a figure as SVG, with neither a date nor random identifiers in it."""
    choose_fonts(figure)
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "autoseg"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
