"""What a user can say to `python -m autoseg.export`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autoseg.config import Count, Request
from autoseg.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class ExportRequest(Request):
    """What a user can say to `python -m autoseg.export`."""

    run: Path
    """Run folder of a retrained network."""
    format: tuple[
        Literal["onnx", "onnx-int8", "torch-export", "torchscript", "safetensors"], ...
    ] = ("onnx",)
    """Forms to write: onnx runs without torch and in a browser; onnx-int8 too, is about a quarter
    as large and faster on CPUs, and gives other logits; torch-export (.pt2) and torchscript run
    with torch alone; safetensors is one file that autoseg.load reads."""
    calibration_images: Count = 32
    """For onnx-int8: images of the training split, evenly spread, whose least and largest values
    bound what 8 bits can say."""
    data_root: Path | None = None
    """For onnx-int8: folder of the dataset; none: as in the training."""
    out: Path | None = None
    """Folder for the files; none: the folder export in the run."""
    weights: Literal["best", "last"] = "best"
    """Weights of the best validation, or the last ones."""
    licence: str | None = None
    """Licence of the weights, for the model card; none: the card says that there is none yet."""

    def __post_init__(self) -> None:
        """Check what the types do not say.

        Raises:
            UsageError: If no form is named, or an option is given that none of them reads.
        """
        Request.__post_init__(self)
        if not self.format:
            raise UsageError("--format is empty; name at least one, for example --format onnx.")
        if "onnx-int8" not in self.format:
            self.refuse(
                ("calibration_images", "data_root"),
                "images are looked at for --format onnx-int8 alone; add it, or leave this out.",
            )
