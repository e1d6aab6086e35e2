"""Whatever a name holds, every document shows it and obeys none of it."""

import csv
import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import NamedTuple

import numpy as np
import pytest
import torch

from autoseg.architecture import Architecture, SearchSpace
from autoseg.comparison.columns import CSV_COLUMNS
from autoseg.comparison.documents import (
    Comparison,
    comparison_latex,
    comparison_markdown,
)
from autoseg.comparison.grouping import group_networks
from autoseg.comparison.report import comparison_page
from autoseg.foreign_text import printable
from autoseg.reporting import (
    draw_cell,
    draw_history,
    draw_pareto,
    draw_path,
    draw_samples,
    draw_training,
    draw_trellis,
)
from autoseg.reporting.crf_effect import Refined, draw_effect
from autoseg.reporting.crf_picture import draw_refinement
from autoseg.reporting.crf_tuning import draw_tuning
from autoseg.reporting.figure import svg_text
from autoseg.reporting.fonts import figure_text
from autoseg.reporting.tables import to_csv
from tests.comparison.rows import network
from tests.foreign_names import NAMES


def comparison(name):
    """A comparison with the name wherever a stranger's text can stand."""
    rows = network(
        label=name,
        network=name,
        crf_miou=0.48,
        dataset=name,
        device=name,
        run=name,
        notes=(name,),
    )
    refined = replace(rows.rows[1], crf=name)
    plain = network(label="plain", dataset=name, device=name, run="b")
    rows = replace(rows, rows=(rows.rows[0], refined), class_names=(name, "sky"))
    return Comparison(
        groups=tuple(group_networks([rows, plain])),
        left_out=(name, f"{name}: not finished"),
        protocol={"Command": name, "Commit": "abc"},
    )


class Page(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_the_elements_of_a_harmless_name(name):
    page, harmless = (Page(comparison_page(comparison(n))) for n in (name, "harmless"))
    assert page.tags == harmless.tags
    assert page.attributes == harmless.attributes
    shown = printable(name, keep="\n")
    # Label in the table and in the table of runs, twice with the CRF, and the run's own folder.
    assert sum(text == shown for text in page.texts) >= 5
    comparison_page(comparison(name)).encode()


# What is left of Markdown's characters once the escapes are out, outside of the tables' frame.
ACTIVE = re.compile(r"[`*<>\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|://|www\.")


@pytest.mark.parametrize("name", NAMES)
def test_markdown_has_the_lines_and_cells_of_a_harmless_name(name):
    texts = [comparison_markdown(comparison(n)) for n in (name, "harmless")]
    lines, harmless = (re.sub(r"\\([^\w\s]|_)", "", text).splitlines() for text in texts)
    assert len(lines) == len(harmless)
    for line, expected in zip(lines, harmless, strict=True):
        assert line.count("|") == expected.count("|")
        kind = re.compile(r"(#+ |- |\| |)")
        assert kind.match(line).group() == kind.match(expected).group()
        if set(line) <= set("|:-"):  # below the headings of a table
            continue
        assert not ACTIVE.search(re.sub(r"^(\|| ?\|$)|\||^\*\*|\*\*$", "", line))
        # Nothing begins a list or a heading within an item.
        assert not re.match(r"(#+|-) ([-+*#]|\d+[.)])( |$)", line)
    texts[0].encode()


LATEX_COMMANDS = {
    *("usepackage", "begin", "end", "centering", "caption", "resizebox", "linewidth"),
    *("toprule", "midrule", "bottomrule"),
    *("textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar"),
}


@pytest.mark.parametrize("name", NAMES)
def test_latex_has_its_own_commands_alone(name):
    text, harmless = (comparison_latex(comparison(n)) for n in (name, "harmless"))
    assert set(re.findall(r"\\([A-Za-z]+)", text)) <= LATEX_COMMANDS
    assert len(text.splitlines()) == len(harmless.splitlines())
    for line, expected in zip(text.splitlines(), harmless.splitlines(), strict=True):
        bare, plain = (re.sub(r"\\[&%$#_{}]", "", each) for each in (line, expected))
        assert not bare.startswith("[")  # the row before it ends in \\, which takes an argument
        assert [bare.count(c) for c in "&%$#_^~"] == [plain.count(c) for c in "&%$#_^~"]
        assert bare.count("{") == bare.count("}") or line.startswith("\\resizebox") or line == "}"
    text.encode()


@pytest.mark.parametrize("name", NAMES)
def test_csv_has_a_row_a_network(name):
    (group,) = comparison(name).groups
    rows = csv.DictReader(io.StringIO(to_csv(group.records, CSV_COLUMNS), newline=""))
    labels = [row["label"] for row in rows]
    assert labels == [*[printable(name, keep="\n")] * 2, "plain"]


class Sample(NamedTuple):
    picture: torch.Tensor
    target: torch.Tensor
    name: str


class Dataset:
    """One image; the name is that of the image, of a class and of whom it is owed to."""

    palette = np.array([[128, 64, 128], [0, 0, 255]], np.uint8)
    ignore_index = 7

    def __init__(self, name):
        self.class_names = (name, "sky")
        self.attribution = name
        self.name = name

    def __len__(self):
        return 1

    def __getitem__(self, index, /):
        image = torch.zeros(3, 4, 6, dtype=torch.uint8)
        return Sample(image, torch.zeros(4, 6, dtype=torch.int64), self.name)


def tuning(name):
    parameters = {
        **dict.fromkeys(("bilateral_weight", "bilateral_xy_std", "bilateral_rgb_std"), 1.0),
        **dict.fromkeys(("spatial_weight", "spatial_xy_std", "num_iterations"), 2),
    }
    trial = {"parameters": parameters, "mean_iou": 0.5}
    return {**trial, "trials": [trial], "stock": [{**trial, "name": name}], "mean_iou_without": 0.4}


ARCHITECTURE = Architecture.load("autodeeplab_paper")
SPACE = SearchSpace.load("autodeeplab")
PIXELS = np.zeros((4, 6, 3), np.uint8)
CLASSES = np.zeros((4, 6), np.int64)
FIGURES = {
    "trellis": lambda name: draw_trellis(SPACE, torch.zeros(12, 4, 3), title=name),
    "path": lambda name: draw_path(ARCHITECTURE, title=name),
    "cell": lambda name: draw_cell(ARCHITECTURE, title=name),
    "history": lambda name: draw_history([], title=name),
    "training": lambda name: draw_training({"a": []}, score=name),
    "pareto": lambda name: draw_pareto(comparison(name).groups[0].records, title=name),
    "samples": lambda name: draw_samples(Dataset(name), [0]),
    "crf picture": lambda name: draw_refinement(
        PIXELS, PIXELS, PIXELS, is_changed=CLASSES > 0, title=name
    ),
    "crf effect": lambda name: draw_effect(
        [Refined(name=name, before=CLASSES, after=CLASSES, target=CLASSES)],
        palette=Dataset.palette,
        class_names=name.split("\n")[: len(Dataset.palette)],
        ignore_index=7,
        title=name,
    ),
    "tuning": lambda name: draw_tuning(tuning(name), title=name),
}


def shown_texts(svg):
    """List the lines of text in a drawing, which matplotlib writes beside their outlines."""
    builder = ET.TreeBuilder(insert_comments=True)
    root = ET.fromstring(svg, parser=ET.XMLParser(target=builder))
    return [unescape(element.text).strip() for element in root.iter(ET.Comment)]


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_shows_every_name_as_it_is(figure):
    # Several names at once, each a line: a drawing takes most of a second.
    half = len(NAMES) // 2
    for names in (NAMES[:half], NAMES[half:]):
        name = "\n".join(names)
        texts = shown_texts(svg_text(FIGURES[figure](name)))
        for line in figure_text(name).replace(r"\$", "$").split("\n"):
            assert line.strip() in texts
