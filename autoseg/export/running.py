"""A network as a module that another back end runs."""

import copy
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from autoseg.config.forms import NumberFormat
from autoseg.errors import UsageError
from autoseg.export.folding import fold_batch_norm
from autoseg.export.form import EXPORTED, Form
from autoseg.export.graph import record
from autoseg.export.onnx_form import to_onnx
from autoseg.export.places import cut_behind_places
from autoseg.export.quantised import quantise
from autoseg.foreign_text import printable
from autoseg.networks import NetworkWithCRF

_EXAMPLE_SIZE = (97, 130)  # see autoseg.export.graph
_INPUT, _OUTPUT = "images", "logits"
_OPENVINO_NAMES = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}  # the quantised: 8 bits
_MAX_REASON = 300
"""Characters of a converter's message that are shown: some print the graph."""


class FormError(UsageError):
    """A network that cannot run in a form."""


class Running(NamedTuple):
    """A network in a form."""

    network: nn.Module
    """Maps normalised images to logits as the network does, float32; in eval mode."""
    load_seconds: float
    """Time that a back end took to load an exported graph; exporting it is not counted."""


def run_in_form(
    network: nn.Module,
    form: Form,
    *,
    num_channels: int,
    device: torch.device,
    calibration: Iterable[Tensor] = (),
) -> Running:
    """Bring a network into a form.

    Args:
        network: In eval mode, on the device; it stays as it is.
        form: The form; `Form.require` has passed.
        num_channels: C of its images.
        device: Where it runs.
        calibration: For int8: what the network sees of images, one or more (1, C, h, w), on the
            CPU; no others are asked for.

    Raises:
        FormError: If the network ends in a dense CRF, and the form is not the network itself; later
            also from the network in another form, if what runs it fails over some images.
    """
    if isinstance(network, NetworkWithCRF) and not form.is_plain:
        raise FormError(
            f"a network with a CRF layer (--crf-layer) runs by plain torch alone, not as {form}: "
            "its lattice depends on the colours of each image."
        )
    if form.is_plain:
        return Running(network, 0.0)
    if form.backend in EXPORTED:
        model = _exported(network, num_channels=num_channels)
        if form.dtype == "int8":
            model = quantise(model, (images.numpy() for images in calibration))
        content = model.SerializeToString()
        begin = time.perf_counter()
        if form.backend == "onnxruntime":
            loaded = _OnnxRuntime(content)
        else:
            loaded = _OpenVINO(content, form.dtype)
        return Running(_Guarded(loaded, form).eval(), time.perf_counter() - begin)
    dtype = getattr(torch, form.dtype)
    copied = copy.deepcopy(network).to(dtype)
    if form.is_folded:
        images = torch.zeros(2, num_channels, *_EXAMPLE_SIZE, dtype=dtype, device=device)
        copied = fold_batch_norm(record(copied, images, free=(0, 2, 3)))
    memory_format = torch.contiguous_format
    if form.memory_format == "channels-last":
        memory_format = torch.channels_last
        copied.to(memory_format=memory_format)  # pyright: ignore[reportCallIssue]  # in no stub
    cast = _Cast(copied, dtype=dtype, memory_format=memory_format)
    if form.backend == "compile":
        cast.compile(fullgraph=True)  # what cannot be compiled is an error, and not run by eager
    elif form.backend == "cuda-graph":
        cast = _CudaGraph(cast)
    return Running(_Guarded(cast, form).eval(), 0.0)


def forget_recordings(network: nn.Module) -> None:
    """Give back what CUDA graphs in a network keep: the maps of every size that was seen."""
    for module in network.modules():
        if isinstance(module, _CudaGraph):
            module.forget()


@contextmanager
def forming(form: Form) -> Iterator[None]:
    """Turn what converters, compilers and back ends raise into one error with the reason.

    Raises:
        FormError: If the network cannot run in the form, for want of memory too. Errors of plain
            torch stay what they are: nothing was converted, and the network itself fails.
    """
    try:
        yield
    except FormError:
        raise
    # Not ours to narrow: ONNX Runtime's errors derive from Exception alone, and compilers raise
    # what they like.
    except Exception as error:
        if form.is_plain:
            raise
        reason = printable(" ".join(str(error).split()))[:_MAX_REASON]
        raise FormError(f"cannot run as {form}: {type(error).__name__}: {reason}") from error


def _exported(network: nn.Module, *, num_channels: int) -> Any:
    """Write a network alone as a `ModelProto`, for any number of images of any size."""
    images = torch.zeros(2, num_channels, *_EXAMPLE_SIZE)
    program = record(network, images, free=(0, 2, 3))
    sizes = ("batch", None, "height", "width")
    return to_onnx(program, inputs={_INPUT: sizes}, outputs={_OUTPUT: sizes})


class _Guarded(nn.Module):
    """A network in a form, whose failures name the form."""

    def __init__(self, network: nn.Module, form: Form) -> None:
        super().__init__()
        self.network, self.form = network, form

    def forward(self, images: Tensor) -> Tensor:
        with forming(self.form):
            return self.network(images)


class _Cast(nn.Module):
    """A network of other numbers, or another order in memory, behind float32 images."""

    def __init__(
        self, network: nn.Module, *, dtype: torch.dtype, memory_format: torch.memory_format
    ) -> None:
        super().__init__()
        self.network, self.dtype, self.memory_format = network, dtype, memory_format

    def forward(self, images: Tensor) -> Tensor:
        images = images.to(self.dtype).contiguous(memory_format=self.memory_format)
        return self.network(images).float()


class _CudaGraph(nn.Module):
    """The kernels of one pass, recorded for each size of images and replayed."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._recorded: dict[torch.Size, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}

    def forward(self, images: Tensor) -> Tensor:
        if images.shape not in self._recorded:
            self._recorded[images.shape] = self._record(images.clone())
        graph, seen, logits = self._recorded[images.shape]
        seen.copy_(images)
        graph.replay()
        return logits.clone()  # the next replay writes there

    def forget(self) -> None:
        """Give back the memory of all recordings; a size that comes again is recorded again."""
        self._recorded.clear()

    def _record(self, images: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        stream = torch.cuda.Stream(images.device)
        stream.wait_stream(torch.cuda.current_stream(images.device))
        with torch.cuda.stream(stream):
            for _ in range(3):  # libraries choose their kernels and ask for memory
                self.network(images)
        torch.cuda.current_stream(images.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):  # of the images' device
            logits = self.network(images)
        return graph, images, logits


class _OnnxRuntime(nn.Module):
    """An exported graph under ONNX Runtime, with as many threads as torch has."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = content
        import onnxruntime  # late: an extra

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Load the graph anew in another process: a session cannot be sent there."""
        return type(self), (self._content,)

    def forward(self, images: Tensor) -> Tensor:
        (logits,) = self._session.run([_OUTPUT], {_INPUT: images.contiguous().numpy()})
        return torch.as_tensor(logits)


class _OpenVINO(nn.Module):
    """An exported graph under OpenVINO, with as many threads as torch has."""

    def __init__(self, content: bytes, dtype: NumberFormat) -> None:
        super().__init__()
        self._content, self._dtype = content, dtype
        import openvino  # late: an extra  # pyright: ignore[reportMissingImports]

        core = openvino.Core()
        model = core.read_model(content)
        # Cut, and not marked node by node: OpenVINO's marks for that are not public, and get lost
        # where it makes one node of several.
        parts = cut_behind_places(model) if dtype == "bfloat16" else [model]
        numbers: tuple[NumberFormat, ...] = ("float32", dtype)
        self._requests = [
            core.compile_model(part, "CPU", self._settings(each)).create_infer_request()
            for part, each in zip(parts, numbers[-len(parts) :], strict=True)
        ]
        self._tensor = openvino.Tensor

    def __reduce__(self) -> tuple[Any, ...]:
        """Load the graph anew in another process: a compiled one cannot be sent there."""
        return type(self), (self._content, self._dtype)

    @staticmethod
    def _settings(dtype: NumberFormat) -> dict[str, Any]:
        return {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # A hint: by itself a processor that has bfloat16 would take it, and without it would
            # compute in float32 in silence; `Form.require` has asked.
            "INFERENCE_PRECISION_HINT": _OPENVINO_NAMES[dtype],
        }

    def forward(self, images: Tensor) -> Tensor:
        # Handed to `infer`, an array of another number of channels would be taken in silence.
        tensors = [self._tensor(images.contiguous().numpy(), True)]
        for request in self._requests:
            for place, tensor in enumerate(tensors):
                request.set_input_tensor(place, tensor)
            request.infer(share_outputs=True)
            tensors = request.output_tensors
        return torch.tensor(tensors[0].data)  # a copy: the next images are written there
