"""Saved pictures are the same bytes for the same figure."""

import re

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from autoseg.architecture import Architecture
from autoseg.reporting import draw_cell, save_figure
from autoseg.reporting.figure import COLOURS, PNG_DPI, new_figure


def test_same_figure_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_figure(draw_cell(Architecture.load("autodeeplab_paper")), tmp_path / name)
    for suffix in (".png", ".svg"):
        first, second = ((tmp_path / name).with_suffix(suffix).read_bytes() for name in ("a", "b"))
        assert first == second
    assert "dc:date" not in (tmp_path / "a.svg").read_text()


def test_names_and_folder(tmp_path):
    written = save_figure(new_figure(2, 1), tmp_path / "new" / "miou_0.5")
    assert [path.name for path in written] == ["miou_0.5.png", "miou_0.5.svg"]
    assert sorted(tmp_path.rglob("*.*")) == sorted(written)  # no temporary file is left


def test_png_has_the_resolution(tmp_path):
    (png, _) = save_figure(new_figure(2, 1), tmp_path / "x")
    with Image.open(png) as image:
        assert image.size == (2 * PNG_DPI, PNG_DPI)


def test_figures_belong_to_no_pyplot_window():
    draw_cell(Architecture.load("autodeeplab_paper"))
    assert plt.get_fignums() == []


def test_colours_differ_for_the_colour_blind():
    """Every two colours stay apart when red-green vision is lost, and as greys or hues."""
    # Vienot, Brettel, Mollon 1999: linear RGB as a person without M cones sees it.
    deuteranope = np.array(
        [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]
    )
    rgb = [[int(part, 16) / 255 for part in re.findall("..", colour[1:])] for colour in COLOURS]
    seen = (deuteranope @ (np.array(rgb) ** 2.2).T).T.clip(0, 1) ** (1 / 2.2)
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    np.fill_diagonal(distances, 1)
    # 0.15 of the side of the RGB cube: plain red and green of one brightness have less than 0.1.
    assert distances.min() > 0.15
