"""Lists as people have them: read, or refused with list, line and reason."""

import os
import re

import pytest

from autoseg.data.lists import read_list
from autoseg.errors import FileError
from tests.fuzzing import damaged_bytes, require_clean_refusals

NAMES = [(f"train images/p {i}.png", f"labels/p {i}.png") for i in range(3)]


@pytest.fixture
def root(tmp_path):
    for pair in NAMES:
        for name in pair:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
    return tmp_path


def lines(template):
    return "\n".join(template.format(*pair) for pair in NAMES) + "\n"


@pytest.mark.parametrize(
    "content",
    [
        lines("{0}\t{1}").encode(),
        lines("{0}\t{1}").encode("utf-8-sig"),
        lines("{0}\t{1}").encode("utf-16"),
        lines("{0}\t{1}").encode("utf-32"),
        lines("{0}\t{1}").replace("\n", "\n\ufeff").encode("utf-8-sig"),
        lines("{0}\t{1}").replace("\n", "\n\ufeff").encode("utf-16"),
        lines("{0}\t{1}").replace("\n", "\r").encode(),
        lines("{0}\t{1}").replace("\n", "\r\n").encode() + b"\r\n",
        lines("{0}\t{1}").replace("/", "\\").encode(),
        lines('"{0}" "{1}"').encode(),
        lines('"{0}"\t"{1}"').encode(),
        lines("{0} {1}").encode(),
        b"\n\n" + lines("  {0}   {1}  ").encode(),
        lines("./{0}\t./{1}").encode(),
    ],
    ids=[
        "tabs",
        "bom",
        "utf16",
        "utf32",
        "joined",
        "joined-utf16",
        "old-mac",
        "crlf",
        "backslash",
        "quoted",
        "quoted-tabs",
        "spaces",
        "blank",
        "dot",
    ],
)
def test_every_way_to_write_a_list_gives_the_same(root, content):
    (root / "train.txt").write_bytes(content)
    assert read_list(root / "train.txt") == [(root / image, root / label) for image, label in NAMES]


def test_an_absolute_path_in_the_lists_own_folder_is_taken(root):
    (root / "train.txt").write_text("\t".join(str(root / name) for name in NAMES[0]))
    assert read_list(root / "train.txt") == [tuple(root / name for name in NAMES[0])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a.png b.png\na.png\n", "line 2: 'a.png' has 1 word(s); expected an image and its label"),
        (b"a b c d\n", "line 1: 'a b c d' has 4 word(s); expected an image and its label, separ"),
        (b"a\tb\tc\n", "line 1: 'a\\tb\\tc' has 3 word(s)"),
        ("a.png b.png\né.png b.png\n".encode("latin-1"), "line 2: byte 0xe9 is no UTF-8 (another"),
        (b"a.png b.png\n../x.png b.png\n", "line 2: '../x.png' leads out of the list's folder"),
        (b"a/../../x.png b.png\n", "line 1: 'a/../../x.png' leads out of the list's folder"),
        (b"/etc/passwd b.png\n", "line 1: '/etc/passwd' is an absolute path; paths are relative"),
        (b"C:\\set\\a.png b.png\n", "line 1: 'C:\\\\set\\\\a.png' is an absolute path"),
        (
            b"/SegNet/CamVid/labels/p 0.png\tx\n",
            "where 'labels/p 0.png' exists: take '/SegNet/CamVid/' out of every line",
        ),
        (
            b"/data/set/train images/p 0.png\n",
            "where 'train images/p 0.png' exists: take '/data/set/' out of every line",
        ),
        (b"x" * 300 + b" y z\n", "line 1: '" + "x" * 200),
        (b"x y " * 5000 + b"\n", "line 1 has 20,000 characters; expected an image and its label"),
        *[
            (
                f"a.png b.png\nc{separator}.png d.png\n".encode(),
                f"line 2 holds U+{code}, which some",
            )
            for separator, code in {
                "\v": "000B",
                "\f": "000C",
                "\x1c": "001C",
                "\x85": "0085",
                "\u2028": "2028",
                "\u2029": "2029",
            }.items()
        ],
        (
            "a.png b.png\ufeffc.png d.png\n".encode(),
            "line 1 holds the mark that a text begins with",
        ),
        ("a.png b.png\n".encode("utf-16-le"), "line 1: every second byte is 0, as in UTF-16, but"),
        ("a.png b.png\n".encode("utf-16-be"), "line 1: every second byte is 0, as in UTF-16, but"),
        (b"a.png\x00 b.png\n", "line 1: 'a.png\\x00 b.png' holds a NUL character"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(root, content, message):
    (root / "train.txt").write_bytes(content)
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        read_list(root / "train.txt")
    assert str(caught.value).startswith(f"{root / 'train.txt'}, line ")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "train.txt")
    with pytest.raises(FileError, match=r"train\.txt is no regular file"):
        read_list(tmp_path / "train.txt")


@pytest.mark.fuzz
def test_damaged_lists_are_read_or_refused_by_name(root):
    content = lines("{0}\t{1}").encode("utf-8-sig")
    require_clean_refusals(read_list, root / "train.txt", damaged_bytes(content))
