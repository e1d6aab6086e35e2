"""Every character of a figure is drawn, or an escape stands for it; no font's lack is a warning."""

import re

import matplotlib.pyplot as plt
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from autoseg.reporting.figure import png_bytes, svg_text
from autoseg.reporting.fonts import choose_fonts, figure_text


@pytest.mark.parametrize("text", ["$", "a $x_", "$\\frac$", "50% $ & _ ^ {"])
def test_figures_show_the_characters(text):
    figure, axes = plt.subplots()
    shown = axes.text(0, 0, figure_text(text))
    figure.canvas.draw()  # mathtext raises here if it takes the text for a formula
    # Plain text keeps its dollar signs; what matplotlib would typeset has none left.
    assert not shown.get_text().replace(r"\$", "").count("$")
    plt.close(figure)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a font for the test, whose every glyph is a square."""
    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))

    def install(family, characters):
        pen = TTGlyphPen(None)
        pen.moveTo((0, 0))
        for corner in ((0, 700), (700, 700), (700, 0)):
            pen.lineTo(corner)
        pen.closePath()
        names = [".notdef", *(f"u{ord(character):04X}" for character in characters)]
        builder = FontBuilder(1000, isTTF=True)
        builder.setupGlyphOrder(names)
        builder.setupCharacterMap(dict(zip(map(ord, characters), names[1:], strict=True)))
        builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
        builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
        builder.setupHorizontalHeader(ascent=800, descent=-200)
        builder.setupNameTable(
            {"familyName": family, "styleName": "Regular", "psName": family.replace(" ", "")}
        )
        builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
        builder.setupPost()
        path = tmp_path / f"{family}.ttf"
        builder.save(path)
        fontManager.addfont(path)

    return install


# Of the plane for private use: no font that a machine has is likely to have these.
FIRST, SECOND, NOBODYS = "\U000f1234", "\U000f1235", "\U000f1236"


def test_characters_come_from_the_fonts_that_have_them(install, monkeypatch):
    monkeypatch.setattr("autoseg.reporting.fonts.printable", lambda text, keep: text)
    install("Squares", FIRST + SECOND)
    install("Afirst", FIRST)
    install("Last Resort Test", FIRST + SECOND + NOBODYS)
    name = f"stra\u00dfe {FIRST}{SECOND}{NOBODYS}"
    text = figure_text(name)
    assert text == f"stra\u00dfe {FIRST}{SECOND}\\U000f1236"
    figure = Figure()
    axes = figure.subplots()
    axes.set_title(text)
    axes.set_xticks([0.5], [text])
    axes.plot([0], [0], label=text)
    axes.legend()
    svg = svg_text(figure)  # a warning is an error in tests
    assert len(png_bytes(figure)) > 0
    families = axes.title.get_fontfamily()
    assert families[-1] == "Squares" and "Afirst" not in families  # one font is enough
    choose_fonts(figure)
    assert axes.title.get_fontfamily() == families
    glyphs = set(re.findall(r'path id="(\w+)-', svg))
    assert {"DejaVuSans", "Squares"} <= glyphs and "Afirst" not in glyphs


def test_a_character_that_no_font_has_is_shown_by_its_number():
    assert figure_text("\u9053\u8def caf\u00e9") in ("\u9053\u8def caf\u00e9", r"\u9053\u8def café")
    assert figure_text("\u0378 \U000f1236") == r"\u0378 \U000f1236"


def test_a_broken_font_is_no_font(tmp_path, monkeypatch, install):
    install("Broken", FIRST)
    (tmp_path / "Broken.ttf").write_bytes(b"no font")
    monkeypatch.setattr("autoseg.reporting.fonts.printable", lambda text, keep: text)
    assert figure_text(FIRST) == r"\U000f1234"
