"""What `--preset auto` chooses: from a dataset's fingerprint, a device and a budget, to settings.

Idea: nnU-Net (Isensee et al. 2021, "nnU-Net: a self-configuring method for deep learning-based
biomedical image segmentation", Nature Methods 18), whose rules also read a fingerprint of the data
and the memory at hand. The rules and numbers here are for this search; docs/plan.md lists them.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from autoseg.config import PRESET_ARCH_STEPS, SEARCH_PRESETS
from autoseg.data import SegmentationDataset, spread_indices

Size = Literal["tiny", "paper"]

DEFAULT_BUDGET_S = {"cpu": 300.0, "cuda": 7200.0}
"""Time that a search is planned for where the user names none."""

GIVEN_SIZES = ("image_scale", "crop_size", "batch_size")
"""Settings that, where the user gives them, decide what a step takes of memory and time."""

SHORTEST_SIDE = 64
"""Shorter side to which images are enlarged: maps at stride 32 are then larger than one pixel."""

LONGEST_SIDE = {"tiny": 160, "paper": 1024}
"""Longer side, in pixels, to which images are reduced: a crop then shows enough of the scene. The
paper halves Cityscapes' 2048."""

MEMORY_SHARE = 0.8
"""Share of a GPU's memory that a step is planned to take at most; the rest is for the CUDA context,
for libraries' work space, and for what an estimate misses."""

_MICROSECONDS = {"cpu": 6.9, "cuda": 0.41}
"""Of a half-step, forward and backward, for each pixel of a crop: the small supernet on one core of
an AMD EPYC, the whole one on an H100."""

_KIB = {"tiny": 3.3, "paper": 16.0}
"""Memory of a half-step for each pixel of its crops, KiB, with the compiled kernels."""

_MAX_USEFUL_CORES = 8
_RARE_SHARE = 0.95  # of one class, from which on crops are placed on the others as well
_NUM_LOOKED_AT = 16
_MIN_ARCH_STEPS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Fingerprint:
    """What the rules know of a train split."""

    num_images: int
    largest_size: tuple[int, int]
    """Height and width that no image exceeds, in pixels."""
    num_classes: int
    largest_share: float
    """Share of the most frequent class in the labelled pixels; 0 if it is unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceFacts:
    """What the rules know of a device."""

    kind: Literal["cpu", "cuda"]
    memory_gib: float
    """Memory of a GPU; infinite for a CPU, where the small supernet fits."""
    kept_gib: float = 0.0
    """What images take of it that stay there (`resident_gib`)."""
    num_cores: int = 1
    """Threads that compute, on a CPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoPlan:
    """What the rules chose, and why."""

    size: Size
    """Preset that the space's size and all other settings are of."""
    settings: dict[str, Any]
    """Fields of a search's configuration by name."""
    reasons: dict[str, str]
    """Why the size, and why each group of settings, by "size" or the name of one of them."""
    memory_gib: float
    """Estimate for a step's maps."""
    seconds: float | None
    """Estimate for the search's steps; None if something else says how many there are."""

    def without_steps(self) -> "AutoPlan":
        """Return the plan for a search whose end is decided otherwise."""
        settings, reasons = dict(self.settings), dict(self.reasons)
        for values in (settings, reasons):
            values.pop("arch_steps", None)
        return replace(self, settings=settings, reasons=reasons, seconds=None)

    def lines(self, given: Collection[str]) -> tuple[str, ...]:
        """Return what a person reads before the search begins, without what they chose."""
        reasons = [reason for name, reason in self.reasons.items() if name not in given]
        estimate = f"about {self.memory_gib:.1f} GiB for a step"
        if self.seconds is not None:
            minutes = math.ceil(self.seconds / 60)
            estimate += f", about {minutes} min for all of them if nothing else runs"
        return (*reasons, estimate)

    def record(self) -> dict[str, Any]:
        """Return what run.json keeps of it."""
        return {
            "reasons": dict(self.reasons),
            "memory_gib": round(self.memory_gib, 2),
            "seconds": None if self.seconds is None else round(self.seconds),
        }


def fingerprint_of(dataset: SegmentationDataset) -> Fingerprint:
    """Look at a train split: its sizes, and the classes of some images, evenly spread."""
    counts = torch.zeros(dataset.num_classes, dtype=torch.int64)
    for index in spread_indices(len(dataset), _NUM_LOOKED_AT):
        target = dataset[index].target
        labelled = target[(target >= 0) & (target < dataset.num_classes)]
        counts += torch.bincount(labelled.flatten(), minlength=dataset.num_classes)
    num_labelled = int(counts.sum())
    return Fingerprint(
        num_images=len(dataset),
        largest_size=dataset.largest_size,
        num_classes=dataset.num_classes,
        largest_share=int(counts.max()) / num_labelled if num_labelled else 0.0,
    )


def resident_gib(dataset: SegmentationDataset, largest_gib: float) -> float:
    """Return what a split's images take at most that stay on the device, GiB.

    Args:
        dataset: The train split.
        largest_gib: What they may take (`--resident-gib`).
    """
    bytes_a_pixel = dataset.num_channels + (1 if dataset.ignore_index < 2**8 else 4)
    all_of_them = len(dataset) * math.prod(dataset.largest_size) * bytes_a_pixel
    return min(largest_gib, all_of_them / 2**30)


def facts_of(device: torch.device) -> DeviceFacts:
    """Ask a device for what the rules know of it."""
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
        return DeviceFacts(kind="cuda", memory_gib=memory / 2**30)
    return DeviceFacts(kind="cpu", memory_gib=math.inf, num_cores=torch.get_num_threads())


def plan_search(
    data: Fingerprint,
    device: DeviceFacts,
    *,
    budget_s: float | None = None,
    given: Mapping[str, Any] | None = None,
) -> AutoPlan:
    """Choose a search's settings. A pure function: the same arguments give the same plan.

    Args:
        data: The images.
        device: Where the search runs.
        budget_s: Seconds that it may take; None plans for `DEFAULT_BUDGET_S`.
        given: What the user says of `GIVEN_SIZES`, which the plan is then made for.
    """
    given = given or {}
    seconds = DEFAULT_BUDGET_S[device.kind] if budget_s is None else budget_s
    size = _size(data, device, seconds, given)
    preset = SEARCH_PRESETS[size]
    height, width = data.largest_size
    scale = min(1.0, LONGEST_SIDE[size] / max(height, width))
    scale = given.get("image_scale", max(scale, SHORTEST_SIDE / min(height, width)))
    sides = [max(1, round(side * scale)) for side in (height, width)]
    crop = (min(preset.crop_size[0], sides[0]), min(preset.crop_size[1], sides[1]))
    crop = given.get("crop_size", crop)
    # trainB is never the larger half.
    batch = given.get("batch_size", max(1, min(preset.batch_size, data.num_images // 2)))
    pixels = batch * math.prod(crop)

    warm_up = preset.arch_start_epoch / (preset.num_epochs - preset.arch_start_epoch)
    # Two half-steps where alpha and beta move, one in the warm-up.
    step_s = (2 + warm_up) * pixels * _MICROSECONDS[device.kind] * 1e-6 / speed_up(device)
    num_steps = max(_MIN_ARCH_STEPS, int(seconds / step_s))
    # More than the paper has tells alpha nothing new.
    num_steps = min(num_steps, PRESET_ARCH_STEPS["paper"])
    settings: dict[str, Any] = {"image_scale": scale, "crop_size": crop, "batch_size": batch}
    reasons = {
        "size": f"sizes of the preset {size}, {_why_size(size, device)}",
        "image_scale": f"images of up to {height} x {width} pixels at {scale:.0%} of their sides "
        f"(--image-scale): at most {LONGEST_SIDE[size]} pixels long, at least {SHORTEST_SIDE} wide",
        "crop_size": f"crops of {crop[0]} x {crop[1]} pixels (--crop-size), at most the preset's "
        "and the images'",
        "batch_size": f"batches of {batch} (--batch-size), at most the preset's and half of the "
        f"{data.num_images:,} images",
    }
    if budget_s is None:
        settings["arch_steps"] = num_steps
        minutes = round(seconds / 60)
        reasons["arch_steps"] = (
            f"{num_steps:,} steps move alpha and beta (--arch-steps), planned for {minutes} "
            "minutes on an idle machine (--budget sets another time)"
        )
    if data.num_classes > 1 and data.largest_share > _RARE_SHARE:
        settings["class_uniform"] = 0.5
        reasons["class_uniform"] = (
            "half of the crops are placed on a class drawn uniformly (--class-uniform), as one "
            f"class has {data.largest_share:.1%} of the pixels"
        )
    return AutoPlan(
        size=size,
        settings={name: value for name, value in settings.items() if name not in given},
        reasons={name: reason for name, reason in reasons.items() if name not in given},
        memory_gib=pixels * _KIB[size] / 2**20,
        seconds=num_steps * step_s if budget_s is None else seconds,
    )


def _size(data: Fingerprint, device: DeviceFacts, seconds: float, given: Mapping[str, Any]) -> Size:
    """Take the paper's supernet where a GPU has the memory and the budget has the steps for it."""
    paper = SEARCH_PRESETS["paper"]
    batch = given.get("batch_size", paper.batch_size)
    pixels = batch * math.prod(given.get("crop_size", paper.crop_size))
    room_gib = MEMORY_SHARE * device.memory_gib - device.kept_gib
    has_memory = pixels * _KIB["paper"] / 2**20 <= room_gib
    num_steps = seconds / (3 * pixels * _MICROSECONDS["cuda"] * 1e-6)
    fills_crops = min(data.largest_size) >= 64
    is_paper = device.kind == "cuda" and has_memory and num_steps >= 1000 and fills_crops
    return "paper" if is_paper else "tiny"


def _why_size(size: Size, device: DeviceFacts) -> str:
    if size == "paper":
        return f"as the GPU has {device.memory_gib:.0f} GiB"
    if device.kind == "cpu":
        return f"as the search runs on {device.num_cores} CPU core(s)"
    return "as images, memory or time are too small for the paper's"


def speed_up(device: DeviceFacts) -> float:
    """Return how much faster than one core a CPU is: cores help less the more there are."""
    return min(device.num_cores, _MAX_USEFUL_CORES) ** 0.8 if device.kind == "cpu" else 1.0
