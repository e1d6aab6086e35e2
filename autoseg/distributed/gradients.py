"""Gradients and statistics of all processes in one message."""

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from autoseg.distributed.group import num_processes, speaking


def sum_gradients_(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its sum over the processes.

    torch's DistributedDataParallel sends gradients while the backward pass still runs. It also
    wraps the network, divides by the number of processes, which is right only where every process
    has as many labelled pixels, and wants the same parameters in every backward pass, of which a
    search has two kinds. One message afterwards does neither, and is bit for bit the same in every
    process.

    Args:
        parameters: Those that have no gradient here must have none anywhere.
    """
    _sum([parameter.grad for parameter in parameters if parameter.grad is not None])


@torch.no_grad()
def average_over_processes_(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over the processes: running statistics, for example."""
    _sum(tensors)
    if num_processes() > 1:
        for tensor in tensors:
            tensor.div_(num_processes())


@torch.no_grad()
def _sum(tensors: Sequence[Tensor]) -> None:
    if num_processes() == 1:
        return
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        alike = [tensor for tensor in tensors if tensor.dtype == dtype]
        message = torch.cat([tensor.flatten() for tensor in alike])
        with speaking():
            dist.all_reduce(message)
        parts = message.split([tensor.numel() for tensor in alike])
        for tensor, part in zip(alike, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
