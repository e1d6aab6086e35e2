"""A second device, "gpu", whose tensors the CPU computes, and which refuses to meet others.

A GPU computes with its own tensors alone: one of the CPU among the operands, a NumPy array of one
of its tensors, or a checkpoint that lands on the wrong side end a command there, and pass unseen on
the CPU. Here they end it as well. What a GPU has beside that (memory, streams, graphs, bf16) is not
played.

torch lets a program in Python add a device (`PrivateUse1`); its tensors are wrappers, each around
one of the CPU that holds the numbers.
"""

import contextlib
import sys
import time
import types
from collections import Counter
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

aten = torch.ops.aten

NAME = "gpu"
WAITS: Counter[str] = Counter()
"""How often the CPU waited for a number of the device, by the line that asked."""


class MixedDevicesError(RuntimeError):
    """An operator was given tensors of both devices."""


class _Stream:
    def __init__(self, *_: Any, **__: Any) -> None: ...

    def wait_stream(self, other: Any) -> None: ...


class _Event:
    """A reading of the clock, since what is asked of the device is done at once."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._at_s = 0.0

    def record(self, stream: Any = None) -> None:
        self._at_s = time.perf_counter()

    def elapsed_time(self, later: "_Event") -> float:
        return 1000 * (later._at_s - self._at_s)


class _Module(types.ModuleType):
    """What torch.cuda is for CUDA, as far as the commands ask."""

    Stream = CUDAGraph = _Stream
    Event = _Event
    OutOfMemoryError = torch.OutOfMemoryError

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return []  # bf16 is not played: torch has no list of what is rounded on such a device

    def is_bf16_supported(self) -> bool:
        return False

    def is_tf32_supported(self) -> bool:
        return False

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def set_device(self, device: Any) -> None: ...

    def get_device_name(self, device: Any = None) -> str:
        return "played GPU"

    def get_device_properties(self, device: Any = None) -> Any:
        return types.SimpleNamespace(name="played GPU", total_memory=80 * 2**30, major=9, minor=0)

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        return 70 * 2**30, 80 * 2**30

    def memory_reserved(self, device: Any = None) -> int:
        return 0

    memory_allocated = max_memory_allocated = memory_reserved

    def synchronize(self, device: Any = None) -> None: ...

    empty_cache = reset_peak_memory_stats = synchronize

    def current_stream(self, device: Any = None) -> _Stream:
        return _Stream()

    def device_of(self, tensor: Any) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def get_rng_state_all(self) -> list[torch.Tensor]:
        return [torch.get_rng_state()]

    get_rng_state = get_rng_state_all

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        assert not isinstance(state, Played)

    def manual_seed_all(self, seed: int) -> None: ...

    manual_seed = manual_seed_all


_setup_privateuseone_for_python_backend(NAME, backend_module=_Module(f"torch.{NAME}"))


class Played(torch.Tensor):
    """A tensor of the device; `raw` is that of the CPU with its numbers."""

    raw: torch.Tensor

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> "Played":
        assert not isinstance(raw, Played)
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            layout=raw.layout,
            device=torch.device(NAME, 0),
        )
        tensor.raw = raw
        return tensor

    def __repr__(self, **_: Any) -> str:
        return f"Played({self.raw!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a tensor of the GPU was pickled")

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        copied: torch.Tensor = Played(self.raw.detach().clone())
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, self.requires_grad)
        memo[id(self)] = copied
        return copied

    def untyped_storage(self) -> Any:
        """Return the CPU's, by which a model's shared weights are told."""
        return self.raw.untyped_storage()

    def data_ptr(self) -> int:
        """Return the CPU's."""
        return self.raw.data_ptr()

    def tolist(self) -> Any:
        """Wait, and return the numbers."""
        _note_wait()
        return self.raw.tolist()

    def numpy(self, **_: Any) -> Any:
        """Refuse, as CUDA's tensors do."""
        raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Compute with what the wrappers hold."""
        return _compute(func, args, kwargs or {})


class MakesTensors(TorchDispatchMode):
    """Lets what is asked of the device by its name alone (zeros, arange) come to be there."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Compute on the device that is named, or is among the operands."""
        return _compute(func, args, kwargs or {})


_CROSSING = {aten._to_copy.default, aten.copy_.default}
"""Operators that take a tensor of either device."""
_INDEXING = {
    *(aten.index.Tensor, aten.index_put.default, aten.index_put_.default),
    aten._index_put_impl_.default,
}
"""Operators to which CUDA lets the CPU hand its indices."""


def _compute(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    flat, spec = pytree.tree_flatten((args, kwargs))
    tensors = [each for each in flat if isinstance(each, torch.Tensor)]
    has_played = any(isinstance(each, Played) for each in tensors)
    # A number without dimensions may be the CPU's, as in CUDA.
    strangers = [each for each in tensors if not isinstance(each, Played) and each.dim() > 0]
    if has_played and strangers and func not in _CROSSING | _INDEXING:
        shapes = [(type(each).__name__, tuple(each.shape)) for each in tensors]
        raise MixedDevicesError(f"{func} got tensors of the GPU and of the CPU: {shapes}")
    if has_played and func is aten._local_scalar_dense.default:
        _note_wait()
    device = kwargs.get("device")
    to_played = has_played if device is None else torch.device(device).type == NAME
    if func is aten.copy_.default:
        to_played = isinstance(args[0], Played)
    if has_played and not to_played and func is not aten.copy_.default:
        _note_wait()  # a copy to the CPU
    if device is not None and torch.device(device).type == NAME:
        flat = [torch.device("cpu") if isinstance(each, torch.device) else each for each in flat]
    raw = [each.raw if isinstance(each, Played) else each for each in flat]
    raw_args, raw_kwargs = pytree.tree_unflatten(raw, spec)
    result = func(*raw_args, **raw_kwargs)
    if func is aten._to_copy.default and result is raw_args[0]:
        result = result.clone()  # two devices share no memory
    wrappers = {id(each.raw): each for each in flat if isinstance(each, Played)}

    def wrap(value: Any) -> Any:
        if to_played and isinstance(value, torch.Tensor) and not isinstance(value, Played):
            # In place it is the operand that comes back.
            return wrappers[id(value)] if id(value) in wrappers else Played(value)
        return value

    return pytree.tree_map(wrap, result)


def _note_wait() -> None:
    """Count a wait for the line of the project that it comes from."""
    frame: Any = sys._getframe()
    while frame is not None and "/autoseg/" not in frame.f_code.co_filename:
        frame = frame.f_back
    where = "?" if frame is None else frame.f_code.co_filename.split("/autoseg/")[-1]
    WAITS[where if frame is None else f"{where}:{frame.f_code.co_name}"] += 1


def _raw(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.raw if isinstance(tensor, Played) else tensor


@torch.library.impl("aten::empty.memory_format", "PrivateUse1")
def _empty(size: Any, dtype: Any = None, layout: Any = None, device: Any = None, **kwargs: Any):
    memory_format = kwargs.get("memory_format") or torch.contiguous_format
    return Played(torch.empty(size, dtype=dtype, memory_format=memory_format, device="cpu"))


@torch.library.impl("aten::empty_strided", "PrivateUse1")
def _empty_strided(size: Any, stride: Any, dtype: Any = None, **kwargs: Any):
    return Played(torch.empty_strided(size, stride, dtype=dtype, device="cpu"))


@torch.library.impl("aten::_copy_from", "PrivateUse1")
def _copy_from(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False):
    _raw(target).copy_(_raw(source))
    return target


def _redirect(name: str) -> None:
    """Compute an operator that torch calls past the dispatch to Python."""
    base, _, overload = name.partition(".")
    operator = getattr(getattr(aten, base), overload or "default")
    torch.library.impl(f"aten::{name}", "PrivateUse1")(
        lambda *args, **kwargs: _compute(operator, args, kwargs)
    )


for _name in ("view", "as_strided", "_local_scalar_dense", "fill_.Scalar", "zero_"):
    _redirect(_name)


class _NoGrad(torch.no_grad):
    """Stands for `torch.inference_mode`, which wrappers do not know."""

    def __new__(cls, mode: Any = True) -> Any:
        return torch.no_grad()(mode) if callable(mode) else super().__new__(cls)

    def __init__(self, mode: Any = True) -> None:
        super().__init__()


def without_wrappers(state: Any) -> Any:
    """Return the same dictionaries and lists, with the tensors of the CPU that hold the numbers."""
    return pytree.tree_map(lambda value: value.raw if isinstance(value, Played) else value, state)


def _to_cpu(value: Any) -> Any:
    return value.raw.detach().clone() if isinstance(value, Played) else value


def _to_device(value: Any) -> Any:
    return Played(value) if isinstance(value, torch.Tensor) else value


def install() -> None:
    """Make the process play the device from here on."""
    save, load = torch.save, torch.load

    def save_played(obj: Any, *args: Any, **kwargs: Any) -> None:
        save(pytree.tree_map(_to_cpu, obj), *args, **kwargs)

    def load_played(file: Any, map_location: Any = None, **kwargs: Any) -> Any:
        is_ours = map_location is not None and torch.device(map_location).type == NAME
        loaded = load(file, map_location="cpu" if is_ours else map_location, **kwargs)
        return pytree.tree_map(_to_device, loaded) if is_ours else loaded

    torch.save, torch.load = save_played, load_played
    torch.inference_mode = _NoGrad
    # A module's `to` would else change a wrapper's shape in memory, and not what it holds.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    torch.Tensor.pin_memory = lambda self, device=None: self
    MakesTensors().__enter__()
