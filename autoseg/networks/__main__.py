"""List the networks with cost and published accuracy: `python -m autoseg.networks --help`."""

from collections.abc import Sequence

from autoseg.cli import OK, read_request, run_command
from autoseg.requests import NetworksRequest
from autoseg.requests.networks import PROG


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        NetworksRequest,
        argv,
        prog=PROG,
        description=(
            "List every segmentation network and encoder: paper, year, parameters and MACs, "
            "counted on the networks as they are built, and published mIoU with its source, cited."
        ),
        example=(
            f"{PROG}\n"
            f"{PROG} --network icnet_pruned icnet_resnet50 --num-classes 11 --size 360 480\n"
            f"{PROG} --format markdown --out docs/networks.md"
        ),
    )
    from autoseg.commands.zoo import run_networks  # late: torch

    table = run_networks(request)
    if table is not None:
        print(table, end="")
    return OK


if __name__ == "__main__":
    run_command(main)
