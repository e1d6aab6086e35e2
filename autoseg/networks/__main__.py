"""List the networks with cost and published accuracy: `python -m autoseg.networks --help`."""

from collections.abc import Sequence

from autoseg.cli import OK, read_fields, run_command
from autoseg.jobs.networks_job import PROG, NetworksRequest, run_networks


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    given = read_fields(
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
    table = run_networks(NetworksRequest(**given))
    if table is not None:
        print(table, end="")
    return OK


if __name__ == "__main__":
    run_command(main)
