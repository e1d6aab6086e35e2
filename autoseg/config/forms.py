"""In which forms a network is run and timed."""

from dataclasses import dataclass
from typing import Literal

InferenceBackend = Literal["eager", "compile", "cuda-graph", "onnxruntime", "openvino"]
"""What runs a network."""
NumberFormat = Literal["float32", "float16", "bfloat16"]
"""Numbers of weights and maps."""
MemoryFormat = Literal["contiguous", "channels-last"]
"""Order of weights and maps in memory: all of a channel together, or all channels of a pixel."""


@dataclass(frozen=True, kw_only=True)
class FormConfig:
    """Forms beside plain torch in which networks are scored and timed."""

    backend: tuple[InferenceBackend, ...] = ("eager",)
    """What runs the networks, a row each: eager is plain torch, compile is torch.compile (on a CPU
    it needs a C++ compiler), cuda-graph replays a recording on a GPU, onnxruntime and openvino run
    the exported graph on the CPU. The logits of each are held against plain torch's."""
    dtype: NumberFormat = "float32"
    """Numbers that the networks compute with; onnxruntime has float32 alone, and openvino bfloat16
    too where the processor has it. In openvino's bfloat16 what decides where a network unpools its
    values to stays float32."""
    memory_format: MemoryFormat = "contiguous"
    """Order of maps in memory; onnxruntime and openvino have their own."""
    fold_batch_norm: bool = False
    """Fold batch norm into the convolutions before it; onnxruntime and openvino do so always."""
