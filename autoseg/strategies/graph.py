"""A step of the search as one CUDA graph: one launch in place of one for every kernel.

The supernet's step is thousands of small kernels, which a GPU finishes faster than Python can ask
for them. A CUDA graph records them once, with the addresses of all tensors, and replays them. What
this asks of the step:

- Static shapes and addresses. Batches are copied into the same tensors (`StaticBatch`), results are
  written to the same ones and last until the next call; a learning rate that changes is a tensor.
- No look at a value on the CPU: no `.item()`, no `if tensor`, no indexing by a mask, and no tensor
  made on the CPU and moved. Any of them fails at the capture, with an error. Losses are read
  outside, by `PendingLosses`.
- Python runs at the capture alone. Which half-step computes which gradients (`requires_grad`),
  which cells are recomputed, autocast and TF32 are settled there, once and for all.
- Gradients are allocated in the graph's own memory: the captured step sets them to None first, so
  that the backward pass makes them at addresses that the captured optimizer step reads. The state
  of the optimizers is made before, by the eager steps, as torch makes it at the first step.
- The optimizers keep their counters on the GPU (`capturable`).
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from autoseg.upload import pinned

Result = TypeVar("Result")

NUM_EAGER_STEPS = 3
"""Steps before the capture: cuDNN and cuBLAS choose their kernels, optimizers make their state."""


class StaticBatch:
    """Tensors that stay where they are, into which every batch is copied.

    Attributes:
        tensors: The copies, on the device.
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, like: Sequence[Tensor], *, device: torch.device) -> None:
        """Allocate.

        Args:
            like: A batch, for shapes and dtypes; its values are not copied.
            device: Where the copies are.
        """
        self.tensors = tuple(torch.empty_like(tensor, device=device) for tensor in like)

    def copy_(self, batch: Sequence[Tensor]) -> None:
        """Copy a batch, of the first one's shapes and dtypes.

        Raises:
            ValueError: If shape, dtype or number of the tensors differ.
        """
        given, fixed = ([(tuple(t.shape), t.dtype) for t in ts] for ts in (batch, self.tensors))
        if given != fixed:
            raise ValueError(
                f"StaticBatch: a batch of {_described(given)} was given, but the first one had "
                f"{_described(fixed)}, and a CUDA graph cannot change shapes; leave incomplete "
                "batches out, or use --no-cuda-graph."
            )
        for copy, tensor in zip(self.tensors, batch, strict=True):
            copy.copy_(pinned(tensor, copy.device), non_blocking=True)


def _described(tensors: Sequence[tuple[tuple[int, ...], torch.dtype]]) -> str:
    return ", ".join(f"{str(dtype).removeprefix('torch.')} {shape}" for shape, dtype in tensors)


class Recorder(Protocol):
    """Runs a function as often as asked, and records it once."""

    def warm_up(self, function: Callable[[], Result]) -> Result:
        """Run the function now, where it will be recorded."""
        ...

    def record(self, function: Callable[[], Result]) -> tuple[Result, Callable[[], None]]:
        """Record the function without running it.

        Returns:
            The tensors that a replay writes, and the replay.
        """
        ...


class CudaRecorder:
    """Records what a function launches on a GPU as a CUDA graph.

    Source: "Getting Started with CUDA Graphs" and the notes on CUDA graphs in torch's manual: first
    runs and capture share one stream beside the default one.
    """

    def __init__(self, device: torch.device) -> None:
        """Open a stream on the device.

        Raises:
            ValueError: If the device is no GPU.
        """
        if device.type != "cuda":
            raise ValueError(f"CudaRecorder: {device} has no CUDA graphs.")
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def warm_up(self, function: Callable[[], Result]) -> Result:
        """Run the function now, after what was asked for before and before what comes next."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream), warnings.catch_warnings():
            # Of an optimizer that could be captured and is not: it will be.
            warnings.filterwarnings("ignore", message="This instance was constructed with captur")
            result = function()
        current.wait_stream(self._stream)
        return result

    def record(self, function: Callable[[], Result]) -> tuple[Result, Callable[[], None]]:
        """Capture the function without running it.

        Raises:
            RuntimeError: If it does something that cannot be captured, or memory is short.
        """
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                result = function()
        except RuntimeError as error:
            error.add_note(
                "This happened while the step was recorded as a CUDA graph, which needs memory of "
                "its own; --no-cuda-graph launches its kernels one by one."
            )
            raise
        return result, graph.replay


class GraphedStep(Generic[Result]):
    """A step that is run a few times, then captured, and replayed from there on.

    The first runs are steps of the search like any other, so that nothing has to be undone after
    them, and the capture itself computes nothing. Call by call the result is therefore that of the
    step itself.
    """

    def __init__(
        self,
        step: Callable[..., Result],
        *,
        device: torch.device,
        recorder: Recorder | None = None,
    ) -> None:
        """Remember the step; nothing is run or recorded yet.

        Args:
            step: Takes tensors, moves parameters in place, returns tensors; see this file's head.
            device: Where it works.
            recorder: Stands in for CUDA graphs; None takes them.
        """
        self._step = step
        self._device = device
        self._recorder: Recorder = CudaRecorder(device) if recorder is None else recorder
        self._num_eager_left = NUM_EAGER_STEPS
        self._batch: StaticBatch | None = None
        self._recorded: tuple[Result, Callable[[], None]] | None = None

    def __call__(self, *batch: Tensor) -> Result:
        """Make a step.

        Args:
            batch: Tensors on any device, of the same shapes and dtypes in every call.

        Returns:
            What the step returns. The tensors are written again by the next call.
        """
        if self._batch is None:
            self._batch = StaticBatch(batch, device=self._device)
        self._batch.copy_(batch)
        if self._num_eager_left > 0:
            self._num_eager_left -= 1
            return self._recorder.warm_up(self._run)
        if self._recorded is None:
            self._recorded = self._recorder.record(self._run)
        result, replay = self._recorded
        replay()
        return result

    def _run(self) -> Result:
        assert self._batch is not None
        return self._step(*self._batch.tensors)
