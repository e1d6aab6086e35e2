"""Lines that a command prints while it works, and links that a terminal opens."""

import os
import sys
from pathlib import Path
from typing import TextIO, cast

_WITHOUT_LINKS = ("dumb", "linux", "")
"""Values of TERM of terminals that would show a link's control characters, or cannot point."""


def announce(line: str) -> None:
    """Print a line beside the progress, on standard error: standard output is for results."""
    print(line, file=sys.stderr, flush=True)


def print_link(path: Path, *, stream: TextIO | None = None) -> None:
    """Print where a picture or a page lies, as an address that a terminal opens by a click.

    Args:
        path: The file or folder; need not be absolute.
        stream: Where it is printed; None: standard output. A terminal gets the address as a
            hyperlink (OSC 8), anything else as text alone.

    Source: Egmont Koblinger, "Hyperlinks (a.k.a. HTML-like anchors) in terminal emulators".
    """
    if stream is None:
        stream = cast(TextIO, sys.stdout)
    address = path.resolve().as_uri()  # ASCII: whatever a name holds is percent-encoded
    print("open ", end="", file=stream)
    if stream.isatty() and os.environ.get("TERM", "") not in _WITHOUT_LINKS:
        # A command's own streams escape control characters, which names may hold; ours may pass.
        write = getattr(stream, "write_as_it_is", stream.write)
        write(f"\x1b]8;;{address}\x1b\\{address}\x1b]8;;\x1b\\")
    else:
        print(address, end="", file=stream)
    print(file=stream, flush=True)
