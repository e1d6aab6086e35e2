"""One forward pass, written down: every operator and every module call, with shapes and MACs."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from autoseg.cost.formulas import flop_formulas
from autoseg.ops import image_channels

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatorCall:
    """One operator as the network's code called it, before torch takes it apart."""

    name: str
    """Namespace, operator and overload, for example "aten.conv2d.default"."""

    arguments: tuple[Any, ...]
    """Positional arguments, each tensor replaced by its shape."""

    output_shape: Shape
    """Shape of the (first) output; () where there is none."""

    macs: int
    """Multiply-accumulates that torch's counter finds in it."""

    @property
    def input_shape(self) -> Shape:
        """Shape of the first argument; () where it is no tensor."""
        first = self.arguments[0] if self.arguments else ()
        return first if isinstance(first, tuple) else ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ModuleCall:
    """One call of a module, what it calls in turn included."""

    module: nn.Module
    """The module of the copy that ran; for its type and settings, not its values."""

    input_shape: Shape
    """Shape of the first positional argument; () where it is no tensor."""

    output_shape: Shape
    """Shape of the output; () where it is no tensor."""

    macs: int
    """Multiply-accumulates inside the call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """What happened in one forward pass."""

    operators: tuple[OperatorCall, ...]
    """Calls of operators, in their order."""

    modules: tuple[ModuleCall, ...]
    """Calls of modules, in the order in which they ended."""

    num_paths: Counter[nn.Module]
    """Number of places of the module tree in which each module hangs; 1 unless it is shared."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the whole pass."""
        return sum(call.macs for call in self.operators)


def example_images(
    network: nn.Module, image_size: tuple[int, int], *, batch_size: int, device: str
) -> Tensor:
    """Make the zero images (batch_size, C, *image_size), float32, that a network is counted on.

    Raises:
        ValueError: If a side or the batch is empty.
    """
    if min(*image_size, batch_size) < 1:
        raise ValueError(
            f"image_size {image_size} with batch_size {batch_size} holds no pixel; "
            "both sides (height, width) and the batch must be 1 or more."
        )
    return torch.zeros(batch_size, image_channels(network), *image_size, device=device)


def eval_copy(network: nn.Module, *, device: str) -> nn.Module:
    """Copy a network to a device, in eval mode and float32; the original is not touched."""
    return copy.deepcopy(network).to(device=device, dtype=torch.float32).eval()


def record_forward(
    network: nn.Module, image_size: tuple[int, int], *, batch_size: int, device: str
) -> Recording:
    """Run a copy of the network once in eval mode, and write down what it calls.

    Args:
        network: Maps images (N, 3, H, W) to anything; not touched.
        image_size: Height and width in pixels.
        batch_size: N.
        device: "meta" to work with shapes alone, in no memory and next to no time, or a real
            device.

    Raises:
        ValueError: If the size holds no pixel.
        RuntimeError: If the network cannot run on that device.
    """
    return record_call(
        network, example_images(network, image_size, batch_size=batch_size, device=device)
    )


def record_call(network: nn.Module, inputs: Tensor) -> Recording:
    """Run a copy of a module once in eval mode on the inputs' device, and write down what it calls.

    Raises:
        RuntimeError: If the module cannot run on that device.
    """
    from torch.utils.flop_counter import (
        FlopCounterMode,  # late: it loads triton, where there is one
    )

    device = str(inputs.device)
    copied = eval_copy(network, device=device)
    modules: list[ModuleCall] = []
    counter = FlopCounterMode(display=False, custom_mapping=flop_formulas())
    # Inference mode, not no_grad: only there do operators arrive as the code calls them
    # (conv2d, linear, matmul), and not already taken apart (convolution, addmm, bmm and views).
    with torch.inference_mode(), counter, _OperatorRecorder(counter) as recorder:
        handles = _record_modules(copied, counter, modules.append)
        try:
            copied(inputs)
        except (RuntimeError, NotImplementedError) as error:
            raise RuntimeError(_cannot_run(network, device=device, reason=str(error))) from error
        finally:
            for handle in handles:
                handle.remove()
    return Recording(
        operators=tuple(recorder.calls),
        modules=tuple(modules),
        num_paths=Counter(_walk(copied)),
    )


def _cannot_run(network: nn.Module, *, device: str, reason: str) -> str:
    first_line = reason.strip().splitlines()[0] if reason.strip() else "no reason given"
    message = f"counting MACs: {type(network).__name__} does not run on {device!r} ({first_line})"
    if device != "meta":
        return f"{message}."
    return (
        f"{message}; meta tensors have shapes and no values. If the network itself is in order, "
        "count on real memory with device='cpu'."
    )


def _macs_so_far(counter: "FlopCounterMode") -> int:
    flops = counter.get_total_flops()
    assert flops % 2 == 0  # the counter gives every multiply-accumulate two
    return flops // 2


class _OperatorRecorder(TorchDispatchMode):
    """Keeps one `OperatorCall` for each operator, priced by the counter below it."""

    def __init__(self, counter: "FlopCounterMode") -> None:
        super().__init__()
        self.calls: list[OperatorCall] = []
        self._counter = counter

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        before = _macs_so_far(self._counter)
        output = _known_output(func, args)
        if output is None:
            output = func(*args, **(kwargs or {}))
        self.calls.append(
            OperatorCall(
                name=str(func),
                arguments=tree_map(_shape_or_value, args),
                output_shape=_first_shape(output),
                macs=_macs_so_far(self._counter) - before,
            )
        )
        return output


def _known_output(func: Callable[..., Any], args: tuple[Any, ...]) -> Tensor | None:
    """Return what the commonest operators without MACs give for meta tensors.

    Torch works each of them out in milliseconds, by taking it apart in Python.
    """
    aten = torch.ops.aten
    if func in (aten.batch_norm.default, aten.relu.default) and args[0].is_meta:
        return torch.empty_like(args[0])
    if func is aten.relu_.default and args[0].is_meta:
        return args[0]
    if func is aten.upsample_bilinear2d.vec and args[0].is_meta and args[1] is not None:
        return args[0].new_empty((*args[0].shape[:2], *args[1]))
    return None


def _shape_or_value(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else value


def _first_shape(values: Any) -> Shape:
    for value in tree_leaves(values):
        if isinstance(value, Tensor):
            return tuple(value.shape)
    return ()


def _record_modules(
    network: nn.Module, counter: "FlopCounterMode", record: Callable[[ModuleCall], None]
) -> list[Any]:
    """Hook every module so that each of its calls is recorded; return the hooks' handles."""
    starts: list[int] = []  # MACs at the beginning of the calls that are under way

    def begin(module: nn.Module, args: tuple[Any, ...]) -> None:
        starts.append(_macs_so_far(counter))

    def end(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        record(
            ModuleCall(
                module=module,
                input_shape=_first_shape(args[:1]),
                output_shape=_first_shape(output),
                macs=_macs_so_far(counter) - starts.pop(),
            )
        )

    handles: list[Any] = []
    for module in network.modules():
        handles.append(module.register_forward_pre_hook(begin))
        handles.append(module.register_forward_hook(end))
    return handles


def _walk(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the module and all below it, once a place in the tree."""
    yield module
    for child in module.children():
        yield from _walk(child)
