"""Measure a latency table for searches: `python -m autoseg.latency --help`."""

from collections.abc import Sequence

from autoseg.cli import OK, read_request, run_command
from autoseg.requests import LatencyRequest
from autoseg.requests.latency import PROG


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        LatencyRequest,
        argv,
        prog=PROG,
        description=(
            "Time every part that the networks of a search space are made of, on this machine, for "
            "`search --max-latency`: run it where the networks will be used, with nothing else "
            "running and as many threads (--threads) as they will have there. It takes a "
            "minute or two at the tiny preset. A search that is given no table, or one of other "
            "networks, prints the command that measures its own."
        ),
        example=(
            f"{PROG}\n"
            f"{PROG} --preset paper --size 512 1024 --num-classes 19 --device cuda --out gpu.json\n"
            "python -m autoseg.search --max-latency 30ms --latency-table latency.json"
        ),
        takes_imports=True,
    )
    from autoseg.commands.latency import run_latency  # late: torch

    print(run_latency(request))
    return OK


if __name__ == "__main__":
    run_command(main)
