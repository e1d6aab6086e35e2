"""Links as a terminal gets them, read from the other end of a pseudo-terminal."""

import io
import os
import pty
import re
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from autoseg.cli import run_command
from autoseg.cli.console import print_link

NAME = "a b\x1b]8;;evil\x1b\\\n\u00fc%.png"
HYPERLINK = re.compile(r"open \x1b\]8;;(.*?)\x1b\\(.*?)\x1b\]8;;\x1b\\\n")


def printed_to_a_terminal(action):
    """Run a command whose standard output is a terminal; return what the terminal is sent."""
    ours, theirs = pty.openpty()
    before = sys.stdout
    with os.fdopen(theirs, "w") as sys.stdout:
        try:
            with pytest.raises(SystemExit):
                run_command(lambda _: action())
        finally:
            sys.stdout = before
    sent = b""
    with suppress(OSError):  # Linux says that the other end was closed by an error
        while part := os.read(ours, 10_000):
            sent += part
    os.close(ours)
    return sent.decode().replace("\r\n", "\n")


def test_a_terminal_gets_a_hyperlink_and_no_name_becomes_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")

    def action():
        print(NAME)
        print_link(tmp_path / NAME)

    sent = printed_to_a_terminal(action)
    name, link = sent.rsplit("open ", 1)
    assert "\x1b" not in name  # what a name holds is not obeyed
    found = HYPERLINK.fullmatch(f"open {link}")
    assert found is not None
    address, text = found.groups()
    assert address == text and address.isascii() and address.isprintable()
    parts = urlsplit(address)
    assert (parts.scheme, parts.netloc) == ("file", "")
    assert unquote(parts.path) == str(tmp_path / NAME)


@pytest.mark.parametrize("term", ["dumb", "linux"])
def test_a_plain_terminal_gets_the_address(tmp_path, monkeypatch, term):
    monkeypatch.setenv("TERM", term)
    sent = printed_to_a_terminal(lambda: print_link(tmp_path / "x.png"))
    assert sent == f"open {(tmp_path / 'x.png').as_uri()}\n"


def test_a_file_gets_the_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stream = io.StringIO()
    print_link(Path("x.png"), stream=stream)
    assert stream.getvalue() == f"open {(tmp_path / 'x.png').as_uri()}\n"
