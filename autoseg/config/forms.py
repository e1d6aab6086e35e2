"""In which forms a network is run and timed."""

from dataclasses import dataclass
from typing import Literal

from autoseg.config.ranges import Count

InferenceBackend = Literal["eager", "compile", "cuda-graph", "onnxruntime", "openvino"]
"""What runs a network."""
NumberFormat = Literal["float32", "float16", "bfloat16", "int8"]
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
    dtype: tuple[NumberFormat, ...] = ("float32",)
    """Numbers that the networks compute with; each back end takes those of them that it has.
    float16 and bfloat16 are for eager, compile and cuda-graph, bfloat16 also for openvino where the
    processor has it, int8 for onnxruntime and openvino: the convolutions but the last take 8 bits.
    What decides where a network unpools its values to stays float32 in the last two."""
    calibration_images: Count = 32
    """For int8: images of the training split, evenly spread, whose least and largest values bound
    what 8 bits can say."""
    memory_format: MemoryFormat = "contiguous"
    """Order of maps in memory; onnxruntime and openvino have their own."""
    fold_batch_norm: bool = False
    """Fold batch norm into the convolutions before it; onnxruntime and openvino do so always."""
