"""Foreign text in each medium: shown, and not obeyed."""

import re

import matplotlib.pyplot as plt
import pytest

from autoseg.foreign_text import (
    figure_text,
    folder_name,
    is_name_in_folder,
    latex_text,
    markdown_text,
    printable,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unet", "unet"),
        ("icnet_resnet50+crf", "icnet_resnet50+crf"),
        ("../../x", "x"),
        ("...json", "json"),
        ("/etc/passwd", "etc-passwd"),
        ("my space/v 2", "my-space-v-2"),
        ("..", "run"),
        ("", "run"),
        (".hidden", "hidden"),
        ("con", "run-con"),
        ("a\x00b", "a-b"),
        ("--out", "out"),
        ("größe", "größe"),
    ],
)
def test_a_folder_name_stays_in_its_folder(text, expected, tmp_path):
    name = folder_name(text)
    assert name == expected
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()


def test_a_folder_name_can_be_made_whatever_it_came_from(tmp_path):
    for text in ("x" * 10_000, "\ud800", "a\nb", "..\\..\\x", "ÿ" * 80):
        (tmp_path / folder_name(text)).mkdir()
    assert len(list(tmp_path.iterdir())) == 5


NOT_IN_FOLDER = (
    "",
    ".",
    "..",
    "../../x",
    "/etc/x",
    "a/b",
    "..\\x",
    "C:x",
    "a\x00b",
    "\ud800",
    "a\n",
)


@pytest.mark.parametrize("text", NOT_IN_FOLDER)
def test_a_name_that_leads_elsewhere_is_told_and_mended(text):
    assert not is_name_in_folder(text)
    assert is_name_in_folder(folder_name(text))


@pytest.mark.parametrize(
    "text", ["unet", "icnet_resnet50+crf", "my net", "größe", "...json", "a.b"]
)
def test_a_plain_name_is_one(text, tmp_path):
    assert is_name_in_folder(text)
    assert (tmp_path / text).resolve().parent == tmp_path.resolve()


def test_terminals_obey_nothing():
    assert printable("\x1b[31mred\n\u202eabc") == r"\x1b[31mred\n\u202eabc"
    assert printable("Straße 道路") == "Straße 道路"
    printable("\udcff").encode("utf-8")  # a file name that is not UTF-8


@pytest.mark.parametrize("text", ["$", "a $x_", "$\\frac$", "50% $ & _ ^ {"])
def test_figures_show_the_characters(text):
    figure, axes = plt.subplots()
    shown = axes.text(0, 0, figure_text(text))
    figure.canvas.draw()  # mathtext raises here if it takes the text for a formula
    # Plain text keeps its dollar signs; what matplotlib would typeset has none left.
    assert not shown.get_text().replace(r"\$", "").count("$")
    plt.close(figure)


def test_markdown_keeps_its_columns_and_gets_no_markup():
    escaped = markdown_text("a|b <img src=x> [c](d) *e* `f`")
    assert not re.search(r"(?<!\\)[|<>\[\]()*`]", escaped)
    assert re.sub(r"\\(.)", r"\1", escaped) == "a|b <img src=x> [c](d) *e* `f`"


def test_latex_has_no_command_but_the_escapes():
    assert latex_text("[x]") == "{[}x{]}"
    assert latex_text("a_b & 50% #1 $y$") == r"a\_b \& 50\% \#1 \$y\$"
    assert latex_text("\\input{x}") == r"\textbackslash{}input\{x\}"
