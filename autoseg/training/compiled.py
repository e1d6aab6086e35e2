"""`--compile`: the network of a training's steps through torch's compiler.

The command offers it on GPUs alone; this module compiles for CPUs as well, where it is tested.
The way from images to logits and back is compiled, as one graph. Loss, optimizer, averaged weights
and validation are not: a validation sees images of many sizes, each of which would be compiled
anew. The network itself stays what it was, so that its weights keep their names, and a checkpoint
does not tell by what it was computed.

Sizes are constants of what is compiled (`dynamic=False`), as a training's batches have one size.
What is random is drawn as torch draws it without the compiler (`fallback_random`). On a GPU the
kernels of a pass are recorded as a CUDA graph, since small networks wait for their launches; with
`--accumulate` they are not, because the gradients of a part would lie where the next part's are
written.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from autoseg.contract import RefinesLogits, TrainingLogits
from autoseg.distributed import num_processes
from autoseg.errors import UsageError
from autoseg.foreign_text import printable

ForwardPass = Callable[[Tensor], Tensor | TrainingLogits]
"""From normalised images (N, C, H, W) to logits, as a network in training mode gives them."""

_OPTION = "--compile"
_MAX_REASON = 300
"""Characters of the compiler's message that are shown: some print the graph."""


class CompilationError(RuntimeError):
    """A network that torch's compiler fails on."""


def require_compiling(device: torch.device) -> None:
    """Refuse to begin where nothing can be compiled, or where it does not pay.

    Raises:
        UsageError: With what is missing, or what to leave out.
    """
    if device.type == "cpu":
        raise UsageError(
            f"{_OPTION}: the retraining runs on {device}, where a compiled step takes as long as "
            "others or longer (docs/recipe.md); leave the option out, or use --device cuda."
        )
    if num_processes() > 1:
        raise UsageError(
            f"{_OPTION}: {num_processes()} processes share this training, and what they say to "
            "each other inside of a network is not compiled; leave the option out, or start it "
            "with python -m, without torchrun."
        )
    if find_spec("triton") is None or shutil.which("gcc") is None:
        raise UsageError(
            f"{_OPTION} on {device} needs Triton and a C compiler, and one of them is missing: pip "
            "install triton, and install gcc (Debian: apt install gcc)."
        )


@contextmanager
def compiled(
    network: nn.Module, *, device: torch.device, num_parts: int = 1
) -> Iterator[ForwardPass]:
    """Yield the network's forward pass in training mode, compiled when it is first called.

    What was compiled before, of another network, is forgotten first, and this one's at the end,
    with its memory on a GPU: no training can use up another's limit of compilations.

    Args:
        network: On the device; it is not changed. Of one that `RefinesLogits` all is compiled but
            that.
        device: Where it is.
        num_parts: Passes forward and back between two steps of the optimizer.

    Raises:
        CompilationError: If something inside cannot be compiled; it is not run without.
    """
    options: dict[str, Any] = {"fallback_random": True}
    if device.type == "cuda" and num_parts == 1:
        options["triton.cudagraphs"] = True

    def compile_(module: nn.Module) -> ForwardPass:
        return torch.compile(module, fullgraph=True, dynamic=False, options=options)

    torch.compiler.reset()
    try:
        if isinstance(network, RefinesLogits):
            inner = compile_(network.network)
            yield lambda images: network.refine(inner(images), images)
        else:
            yield compile_(network)
    except _compiler_errors() as error:
        reason = printable(" ".join(str(error).split()))[:_MAX_REASON]
        raise CompilationError(
            f"{_OPTION}: the network cannot be compiled for {device}: {type(error).__name__}: "
            f"{reason}; leave the option out."
        ) from error
    finally:
        torch.compiler.reset()


def _compiler_errors() -> tuple[type[Exception], ...]:
    from torch._dynamo import exc as tracing  # late: the compiler takes seconds
    from torch._inductor import exc as lowering

    # The backward pass is compiled inside of autograd, which hands on what Inductor itself raises.
    return (
        tracing.TorchDynamoException,
        tracing.FailOnRecompileLimitHit,
        lowering.OperatorIssue,
        lowering.InvalidCxxCompiler,
        lowering.CppCompileError,
    )
