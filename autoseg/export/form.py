"""The form in which a network runs: what runs it, its numbers, its order in memory."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, get_args

import torch

from autoseg.config.forms import FormConfig, InferenceBackend, NumberFormat
from autoseg.errors import UsageError
from autoseg.export.agreement import TOLERANCE, allowed_difference

EXPORTED: tuple[InferenceBackend, ...] = ("onnxruntime", "openvino")
"""Back ends that run an exported graph, lay out their maps themselves and fold batch norm."""

_PACKAGES = {
    "onnxruntime": (("onnx", "onnxscript", "onnxruntime"), "export"),
    "openvino": (("onnx", "onnxscript", "openvino"), "openvino"),
}
"""Packages that a back end needs, and the extra that installs them."""

_NUMBERS: dict[InferenceBackend, tuple[NumberFormat, ...]] = {
    "onnxruntime": ("float32", "int8"),
    "openvino": ("float32", "bfloat16", "int8"),
}
"""What a back end of exported graphs computes in."""

_TORCHS_NUMBERS: tuple[NumberFormat, ...] = ("float32", "float16", "bfloat16")

_TOLERANCES: dict[NumberFormat, float] = {
    "float32": TOLERANCE,
    "float16": 0.01,  # 11 bits of each value
    "bfloat16": 0.05,  # 8 bits; networks of the zoo differ by up to 0.04
    "int8": 0.2,  # 8 bits of the largest value, see docs/scores.md
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """How a network is run; as it is, by plain torch."""

    backend: InferenceBackend = "eager"
    """What runs it."""
    dtype: NumberFormat = "float32"
    """Numbers of its weights and maps."""
    memory_format: Literal["contiguous", "channels-last", "own"] = "contiguous"
    """Order of its maps in memory; "own" is the back end's choice."""
    is_folded: bool = False
    """Whether batch norm is folded into the convolutions before it."""
    calibration_images: int = 0
    """Images of the training split that set the ranges of int8; 0 with other numbers."""

    @property
    def is_plain(self) -> bool:
        """Whether it is the network itself."""
        return self == PLAIN

    @property
    def has_torchs_memory(self) -> bool:
        """Whether torch's allocator holds its maps, and so knows the peak."""
        return self.backend not in EXPORTED

    def tolerance(self, *, has_unpooled: bool) -> float:
        """Return what rounding to its numbers, and to those that decide places, may make of logits.

        Args:
            has_unpooled: Whether the network unpools; see `allowed_difference`.
        """
        # Exported graphs decide places in float32: see autoseg.export.places.
        deciding = TOLERANCE if self.backend in EXPORTED else _TOLERANCES[self.dtype]
        moved = allowed_difference(deciding, has_unpooled=has_unpooled)
        return max(_TOLERANCES[self.dtype], moved)

    def __str__(self) -> str:
        """Name what sets it apart from plain torch, for example "eager, folded"."""
        parts: list[str] = [self.backend]
        if self.dtype != "float32":
            parts.append(self.dtype)
        if self.memory_format == "channels-last":
            parts.append(self.memory_format)
        if self.is_folded and self.backend not in EXPORTED:
            parts.append("folded")
        return ", ".join(parts)

    def require(self, device: torch.device) -> None:
        """Refuse to begin where it cannot run.

        Raises:
            UsageError: With what is missing.
        """
        option = f"--backend {self.backend}"
        _numbers_of(self.backend, [self.dtype])
        if self.backend in EXPORTED:
            require_packages(self.backend, option=option)
            if device.type != "cpu":
                raise UsageError(
                    f"{option} runs on the CPU here, not on {device}; compare it with --device cpu."
                )
            self._require_numbers(option)
        elif self.backend == "cuda-graph" and device.type != "cuda":
            raise UsageError(f"{option} needs a GPU, and the device is {device}; leave it out.")
        elif self.backend == "compile" and device.type == "cpu":
            compilers = [os.environ.get("CXX", "g++"), "clang++"]
            if not any(map(shutil.which, compilers)):
                raise UsageError(
                    f"{option} on a CPU needs a C++ compiler, and neither {' nor '.join(compilers)}"
                    " is installed: install g++ (Debian: apt install g++)."
                )

    def _require_numbers(self, option: str) -> None:
        """Refuse numbers for which a package is missing, or that the processor lacks."""
        if self.dtype == "int8":
            require_packages("onnxruntime", option=f"{option} --dtype int8")  # it quantises
        if self.dtype == "bfloat16" and "BF16" not in _openvino_capabilities():
            raise UsageError(
                f"{option} --dtype {self.dtype} needs a processor that multiplies such numbers "
                "(avx512_bf16 or amx_bf16), and by OpenVINO's account this one does not; leave one "
                "of them out."
            )


PLAIN = Form()
"""The network itself."""


def forms_of(choice: FormConfig) -> list[Form]:
    """List the forms that were asked for, each once: each back end with all numbers that it has.

    Raises:
        UsageError: If none was, a back end has none of the numbers or no back end has one of them,
            or an order in memory that none of them takes.
    """
    for name in ("backend", "dtype"):
        if not getattr(choice, name):
            example = getattr(FormConfig(), name)[0]
            raise UsageError(
                f"--{name} is empty; name at least one, for example --{name} {example}."
            )
    if choice.memory_format != "contiguous" and all(each in EXPORTED for each in choice.backend):
        raise UsageError(
            f"--memory-format {choice.memory_format}: --backend {' '.join(choice.backend)} has an "
            "order of its own; leave it out."
        )
    forms = [
        Form(
            backend=backend,
            dtype=dtype,
            memory_format="own" if backend in EXPORTED else choice.memory_format,
            is_folded=backend in EXPORTED or choice.fold_batch_norm,
            calibration_images=choice.calibration_images if dtype == "int8" else 0,
        )
        for backend in dict.fromkeys(choice.backend)
        for dtype in _numbers_of(backend, choice.dtype)
    ]
    unused = [each for each in choice.dtype if each not in {form.dtype for form in forms}]
    if unused:
        able = [each for each in get_args(InferenceBackend) if unused[0] in _has(each)]
        raise UsageError(
            f"--dtype {unused[0]}: --backend {' '.join(choice.backend)} does not compute in it; "
            f"add --backend {'|'.join(able)}, or leave it out."
        )
    return forms


def _numbers_of(backend: InferenceBackend, asked: Sequence[NumberFormat]) -> list[NumberFormat]:
    """List those of the numbers that a back end has."""
    numbers: list[NumberFormat] = [each for each in _has(backend) if each in asked]
    if not numbers:
        raise UsageError(
            f"--backend {backend} has no --dtype {' or '.join(asked)} here: it computes in "
            f"{' or '.join(_has(backend))}; leave one of them out, or add one of these."
        )
    return numbers


def _has(backend: InferenceBackend) -> tuple[NumberFormat, ...]:
    return _NUMBERS.get(backend, _TORCHS_NUMBERS)


def require_packages(backend: str, *, option: str) -> None:
    """Refuse to begin where a package of a back end is missing.

    Args:
        backend: One of `EXPORTED`.
        option: What asked for it.

    Raises:
        UsageError: With what to install.
    """
    packages, extra = _PACKAGES[backend]
    missing: Sequence[str] = [name for name in packages if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{option} needs {' and '.join(missing)}: pip install 'autoseg-nas[{extra}]'."
        )


def _openvino_capabilities() -> list[str]:
    """List what OpenVINO can do on this processor, such as "BF16"."""
    import openvino  # late: an extra  # pyright: ignore[reportMissingImports]

    return openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
