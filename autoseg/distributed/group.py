"""The group of processes, and what they tell each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from autoseg.errors import LostProcessError
from autoseg.launch import Launch

T = TypeVar("T")


@contextmanager
def joined(launched: Launch) -> Iterator[None]:
    """Work together with the other processes inside; alone, this does nothing.

    Tensors on a GPU travel by NCCL, all others by gloo. After an error nobody is waited for: the
    others notice that this process has gone.

    Raises:
        LostProcessError: If the others do not come, or one has gone at the end.
    """
    if launched.is_alone:
        yield
        return
    has_gpu = launched.local_rank < torch.cuda.device_count()
    if has_gpu:
        torch.cuda.set_device(launched.local_rank)
    with speaking():
        dist.init_process_group("cpu:gloo,cuda:nccl" if has_gpu else "gloo")
    yield
    wait_for_all()
    dist.destroy_process_group()


@contextmanager
def speaking() -> Iterator[None]:
    """Turn what torch raises where processes speak to each other into one error.

    Raises:
        LostProcessError: If another process has gone, or does not answer.
    """
    try:
        yield
    except RuntimeError as error:  # gloo's have no type of their own
        reason = str(error).strip().splitlines()[0]
        raise LostProcessError(
            f"another process of this job has ended or does not answer ({reason}); its own message "
            "says why. What was saved is whole: go on with --resume."
        ) from error


def num_processes() -> int:
    """Return how many processes do this job."""
    return dist.get_world_size() if dist.is_initialized() else 1


def process_rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first_process() -> bool:
    """Tell whether this is the process that writes and speaks for all."""
    return process_rank() == 0


def wait_for_all() -> None:
    """Wait until every process has come here."""
    from_all(None)


def from_all(value: T) -> list[T]:
    """Return every process's value, in the order of their ranks.

    Args:
        value: What can be pickled: numbers, strings, tensors on the CPU.
    """
    if num_processes() == 1:
        return [value]
    values: list[Any] = [None] * num_processes()
    with speaking():
        dist.all_gather_object(values, value)
    return values


def from_first(value: T) -> T:
    """Return the first process's value, which all then agree on; see `from_all`."""
    if num_processes() == 1:
        return value
    values = [value]
    with speaking():
        dist.broadcast_object_list(values, src=0)
    return values[0]


def any_process(flag: bool) -> bool:
    """Tell whether a flag is true in any process."""
    if num_processes() == 1:
        return flag
    count = torch.tensor(int(flag))
    with speaking():
        dist.all_reduce(count)
    return bool(count)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        whole = part.clone()
        with speaking():
            dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad


def sum_over_processes(part: Tensor) -> Tensor:
    """Add up the parts of all processes, which get the same sum, to the last bit.

    A loss that is made of such sums has the same value everywhere. Its gradient flows to this
    process's part alone, so that the gradient of the whole is the sum over the processes; see
    `sum_gradients_`.

    Args:
        part: Tensor of one shape and dtype in all processes.
    """
    if num_processes() == 1:
        return part
    whole = _Sum.apply(part)
    assert isinstance(whole, Tensor)
    return whole
