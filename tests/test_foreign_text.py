"""Foreign text in each medium: shown, and not obeyed."""

import re

import pytest

from autoseg.foreign_text import (
    folder_name,
    is_name_in_folder,
    latex_text,
    markdown_text,
    printable,
    shown,
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


# What CommonMark and GitHub's extensions make of each is known: an escape is there if it is needed.
@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("icnet_resnet50 x0.125", "icnet_resnet50 x0.125"),  # no emphasis within a word
        ("_it_ __bold__ a_ _b", r"\_it\_ \_\_bold\_\_ a\_ \_b"),
        ("*it* ~gone~ `code` $x$", r"\*it\* \~gone\~ \`code\` \$x\$"),
        ("a|b", r"a\|b"),
        ("<img src=x>", r"\<img src=x\>"),
        ("[c](d) ![e](f)", r"\[c\](d) !\[e\](f)"),
        ("&amp; \\*", r"\&amp; \\\*"),
        ("https://a.b www.a.b", r"https\:\//a.b www\.a.b"),
        ("a@b.c", r"a\@b.c"),
        ("a: b/c d.e 1. x - y", "a: b/c d.e 1. x - y"),
        ("# a #", r"\# a \#"),
        ("- a", r"\- a"),
        ("12. a", r"12\. a"),
        ("===", r"\==="),
        ("a\nb", r"a\\nb"),
    ],
)
def test_markdown_escapes_what_is_markup(text, escaped):
    assert markdown_text(text) == escaped
    # A backslash before punctuation shows the punctuation; only printable's own are left.
    assert re.sub(r"\\([^\w\s]|_)", r"\1", escaped) == printable(text)


def test_markdown_in_a_cell_has_no_lists():
    assert markdown_text("-2.50", in_cell=True) == "-2.50"
    assert markdown_text("-", in_cell=True) == "-"
    assert markdown_text("a|b", in_cell=True) == r"a\|b"


def test_latex_has_no_command_but_the_escapes():
    assert latex_text("[x]") == "{[}x{]}"
    assert latex_text("plain 1.5") == "plain 1.5"
    assert latex_text("~^\\<>|") == (
        r"\textasciitilde{}\textasciicircum{}\textbackslash{}\textless{}\textgreater{}\textbar{}"
    )
    assert latex_text("a_b & 50% #1 $y$") == r"a\_b \& 50\% \#1 \$y\$"
    assert latex_text("\\input{x}") == r"\textbackslash{}input\{x\}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        (3, "3"),
        (True, "True"),
        (-(2**64), "-18446744073709551616"),
        pytest.param(10**400, "a number of about 401 digits", id="401"),
        pytest.param(16**5000, "a number of about 6021 digits", id="6021"),
        ({"b": 1, "a": [1, (2.5,)]}, "{'b': 1, 'a': [1, (2.5,)]}"),
        ({n: n for n in range(20)}, "{0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, ...}"),
        ([[[[[[1]]]]]], "[[[[[...]]]]]"),
        ({1: {2: {3: {4: {5: 6}}}}}, "{1: {2: {3: {4: {...}}}}}"),
        ("\x1b[31m\n\ud800", r"'\x1b[31m\n\ud800'"),
    ],
)
def test_a_foreign_value_is_shown_short_and_in_one_line(value, text):
    assert shown(value) == text


def test_a_foreign_value_of_any_size_is_shown_short():
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    for value in ("x" * 10**6, [0] * 10**6, {"a" * 10**6: 1}, nested):
        assert len(shown(value)) < 200
