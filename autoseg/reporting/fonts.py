"""Foreign text in figures: each character is drawn in a font that has it, or its number is."""

import functools
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

from autoseg.foreign_text import printable

# Fonts that have a glyph for every character, a box that says of which script it is.
_PLACEHOLDERS = ("lastresort", ".lastresort", "adobeblank", "unicodebmpfallback")


def figure_text(text: str) -> str:
    """Escape text for matplotlib, which takes what stands between two `$` as mathematics.

    Args:
        text: A foreign name.

    Returns:
        The text, with an escape such as `\\u9053` for each character that no installed font has.
    """
    safe = printable(text, keep="\n").replace("$", r"\$")
    missing = _missing(safe, FontProperties())
    for name in _families_with(missing):
        missing = missing - _characters(_fonts()[name])
    return "".join(
        character.encode("unicode_escape").decode("ascii") if character in missing else character
        for character in safe
    )


def choose_fonts(figure: Figure) -> None:
    """Give each text of a figure the fonts that its characters need beside its own."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        missing = _missing(text.get_text(), text.get_fontproperties())
        if names := _families_with(missing):
            text.set_fontfamily(list(dict.fromkeys([*text.get_fontfamily(), *names])))


def _missing(text: str, font: FontProperties) -> frozenset[str]:
    """Return the characters that a font lacks."""
    if text.isascii():
        return frozenset()
    return frozenset(text) - {"\n"} - _characters(findfont(font))


def _families_with(characters: Iterable[str]) -> list[str]:
    """Choose installed fonts that have the characters, as few as it takes; others stay without."""
    wanted, names = set(characters), []
    fonts = _fonts() if wanted else {}
    while wanted and fonts:
        best = max(fonts, key=lambda name: len(wanted & _characters(fonts[name])))
        found = wanted & _characters(fonts.pop(best))
        if not found:
            break
        names.append(best)
        wanted -= found
    return names


def _fonts() -> dict[str, str]:
    """List the upright regular fonts of this machine, without matplotlib's own: file by family."""
    own = Path(mpl.get_data_path())
    usual = Path(findfont(FontProperties()))
    return {
        entry.name: entry.fname
        for entry in sorted(fontManager.ttflist, key=lambda entry: (entry.name, entry.fname))
        if entry.style == "normal"
        and entry.weight in (400, "normal", "regular")
        and (own not in Path(entry.fname).parents or Path(entry.fname) == usual)
        and not entry.name.lower().replace(" ", "").startswith(_PLACEHOLDERS)
    }


@functools.cache
def _characters(path: str) -> frozenset[str]:
    """Return the characters that a font file has; none where it cannot be drawn with."""
    try:
        font = get_font(path)
    except (OSError, RuntimeError):  # FreeType's complaint of a broken file
        return frozenset()
    # Coloured symbols come as pictures of one size, which matplotlib cannot draw.
    return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()
