"""All commands as one program: `python -m autoseg`, and `autoseg` where it is installed."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from autoseg import __version__
from autoseg.cli import OK, run_command
from autoseg.errors import unknown_name

COMMANDS: dict[str, tuple[str, str]] = {
    "data": ("autoseg.data.__main__", "look at a dataset, and name the classes of your images"),
    "search": ("autoseg.search", "search an architecture on your images"),
    "retrain": ("autoseg.retrain", "train it from scratch, and the fixed networks beside it"),
    "compare": ("autoseg.compare", "score, count and time what was retrained, side by side"),
    "evaluate": ("autoseg.evaluate", "score a retrained network on a split"),
    "show": ("autoseg.show", "show a run, or list the runs of a folder"),
    "predict": ("autoseg.predict", "segment your own images with a retrained network"),
    "export": (
        "autoseg.export.__main__",
        "write a retrained network as ONNX, for torch alone, or in one file",
    ),
    "tune": ("autoseg.tune", "choose the CRF's parameters for a retrained network"),
    "crf": ("autoseg.crf.__main__", "refine labels or probabilities by the dense CRF"),
    "latency": ("autoseg.latency", "time a space's parts here, for search --max-latency"),
    "cost": ("autoseg.cost.__main__", "count any torch module, with four counters"),
    "networks": (
        "autoseg.networks.__main__",
        "list the networks, their cost and published accuracy",
    ),
}
"""Module and purpose by name; the same as `python -m autoseg.NAME`."""

_JOIN_PROCESSES = (["search"], ["retrain"], ["evaluate"])


def run(argv: Sequence[str] | None = None) -> int:
    """Run a command by its name, or list them all; return the exit code.

    Raises:
        UsageError: If there is no such command.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_listing())
        return OK
    if words[0] == "--version":
        print(f"autoseg {__version__}")
        return OK
    if words[0] not in COMMANDS:
        raise unknown_name("command", words[0], COMMANDS)
    module, _ = COMMANDS[words[0]]
    return import_module(module).main(words[1:])


def _listing() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {purpose}" for name, (_, purpose) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: autoseg COMMAND [options], the same as python -m autoseg.COMMAND [options]",
            "",
            *lines,
            "",
            "autoseg COMMAND --help tells the options of one; autoseg --version the version.",
        ]
    )


def main() -> NoReturn:
    """Run the program and end the process."""
    run_command(run, joins_processes=sys.argv[1:2] in _JOIN_PROCESSES)


if __name__ == "__main__":
    main()
