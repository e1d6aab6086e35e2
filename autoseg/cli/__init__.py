"""How a command reads its arguments, picks its device and ends; used by commands alone."""

from autoseg.cli.arguments import read_request
from autoseg.cli.device import resolve_device
from autoseg.cli.main import BAD_USAGE, FAILED, INTERRUPTED, OK, run_command

__all__ = [
    "BAD_USAGE",
    "FAILED",
    "INTERRUPTED",
    "OK",
    "read_request",
    "resolve_device",
    "run_command",
]
