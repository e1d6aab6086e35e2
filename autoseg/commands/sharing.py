"""Which searches several processes can share."""

from autoseg.distributed import num_processes
from autoseg.errors import UsageError
from autoseg.requests import SearchRequest
from autoseg.strategies import SHAREABLE


def require_shareable(request: SearchRequest) -> None:
    """Refuse several processes where they could not search as one.

    Raises:
        UsageError: With what they can do.
    """
    if num_processes() == 1:
        return
    remedy = "start it with python -m, without torchrun"
    if request.strategy not in SHAREABLE:
        raise UsageError(
            f"--strategy {request.strategy}: {num_processes()} processes cannot share this search; "
            f"{remedy}, or use --strategy {'|'.join(sorted(SHAREABLE))}."
        )
    if request.selection == "perturbation":
        raise UsageError(
            f"--selection perturbation: {num_processes()} processes cannot share it; {remedy}, or "
            "use --selection argmax."
        )
    if "cuda_graph" in request.given and request.cuda_graph:
        raise UsageError(
            "--cuda-graph: a step that several processes share is no CUDA graph; leave it out."
        )
