"""Lines that a command prints while it works."""

import sys


def announce(line: str) -> None:
    """Print a line beside the progress, on standard error: standard output is for results."""
    print(line, file=sys.stderr, flush=True)
