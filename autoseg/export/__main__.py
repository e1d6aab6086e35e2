"""Write a network in forms that run elsewhere: `python -m autoseg.export --help`."""

from collections.abc import Sequence

from autoseg.cli import OK, read_request, run_command
from autoseg.foreign_text import printable
from autoseg.requests import ExportRequest

PROG = "python -m autoseg.export"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        ExportRequest,
        argv,
        prog=PROG,
        description=(
            "Write a retrained network for use elsewhere, with a model card. The graphs take "
            "pixels and give logits and labels, for any number of images of any size; each is run "
            "and held against the network before it is kept."
        ),
        example=(
            f"{PROG} runs/NAME/searched --format onnx\n"
            f"{PROG} runs/NAME/searched --format safetensors torch-export --out models"
        ),
        positional=("run",),
        takes_imports=True,
    )
    from autoseg.commands.export import run_export  # late: torch

    for path in run_export(request):
        print(printable(str(path)))
    return OK


if __name__ == "__main__":
    run_command(main)
