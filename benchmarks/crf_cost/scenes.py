"""Images with simulated unaries: what a network might say about an image whose labels are known."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.data import SegmentationDataset, build_dataset, spread_indices

from .setting import Case

DESCRIPTION = (
    "Unaries are simulated from the true labels, they are not a network's: one-hot labels are "
    "averaged over 8 x 8 pixels, blurred (standard deviation 1), multiplied by 4, normal noise of "
    "standard deviation 0.7 is added, and the result is resized bilinearly and put through a "
    "softmax. Probabilities are clipped at 1e-5 for all methods. Images larger than the dataset's "
    "are a resized crop; where it is enlarged more than 1.5 times, pixel noise of standard "
    "deviation 2 is added, without which it would be smoother than any photograph."
)
"""How the inputs are made."""

_STRIDE = 8
_SHARPNESS = 4.0
_NOISE = 0.7
_PIXEL_NOISE = 2.0
_SYNTHETIC_SIZE = (360, 480)
_MIN_PROBABILITY = 1e-5


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """An image and probabilities for its classes."""

    name: str
    """What the row calls it."""
    image: Tensor
    """RGB, uint8, (3, H, W)."""
    probabilities: Tensor
    """float32, (K, H, W), at least 1e-5."""


def open_dataset(data_root: Path | None, *, use_camvid: bool) -> SegmentationDataset:
    """Open CamVid's val split, or the embedded dataset's at CamVid's size."""
    if use_camvid:
        return build_dataset("camvid", split="val", data_root=data_root)
    return build_dataset("synthetic", split="val", image_size=_SYNTHETIC_SIZE)


def scene_of_case(dataset: SegmentationDataset, case: Case) -> Scene:
    """Make the scene of a size, always the same one."""
    sample = dataset[len(dataset) // 2]
    target = _close_classes(sample.target, dataset, case.num_classes)
    image, target = _fit(sample.image, target, (case.height, case.width), seed=0)
    probabilities = simulate_unary(target, num_classes=case.num_classes, seed=1)
    return Scene(name=sample.name, image=image, probabilities=probabilities)


def crops(dataset: SegmentationDataset, num_images: int, size: tuple[int, int]) -> list[Scene]:
    """Cut a crop from each of some images that are evenly spread over the dataset.

    The crops' places differ from image to image, and are the same in every run.
    """
    scenes = []
    num_classes = dataset.num_classes + 1
    for number, index in enumerate(spread_indices(len(dataset), num_images)):
        sample = dataset[index]
        rows, columns = sample.target.shape
        generator = torch.Generator().manual_seed(index)
        top = int(torch.randint(rows - size[0] + 1, (), generator=generator))
        left = int(torch.randint(columns - size[1] + 1, (), generator=generator))
        place = (slice(top, top + size[0]), slice(left, left + size[1]))
        target = _close_classes(sample.target[place], dataset, num_classes)
        scenes.append(
            Scene(
                name=sample.name,
                image=sample.image[:, place[0], place[1]].contiguous(),
                probabilities=simulate_unary(target, num_classes=num_classes, seed=100 + number),
            )
        )
    return scenes


def simulate_unary(target: Tensor, *, num_classes: int, seed: int) -> Tensor:
    """Make probabilities from labels, as `DESCRIPTION` says.

    Args:
        target: Classes, int64, (H, W), below `num_classes`.
        num_classes: K; classes that do not occur get noise alone.
        seed: Decides the noise.

    Returns:
        float32, (K, H, W).
    """
    one_hot = F.one_hot(target, num_classes).permute(2, 0, 1)[None].float()
    small = F.avg_pool2d(one_hot, _STRIDE, ceil_mode=True, count_include_pad=False)
    taps = torch.exp(-0.5 * torch.arange(-2, 3).float() ** 2)
    kernel = torch.outer(taps, taps)
    kernel = (kernel / kernel.sum()).expand(num_classes, 1, 5, 5)
    blurred = F.conv2d(F.pad(small, (2, 2, 2, 2), mode="replicate"), kernel, groups=num_classes)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(blurred.shape, generator=generator)
    logits = F.interpolate(
        _SHARPNESS * blurred + _NOISE * noise,
        size=list(target.shape),
        mode="bilinear",
        align_corners=False,
    )
    return logits.softmax(dim=1)[0].clamp(min=_MIN_PROBABILITY).contiguous()


def _close_classes(target: Tensor, dataset: SegmentationDataset, num_classes: int) -> Tensor:
    """Make the ignored label a class of its own, the one behind the others."""
    closed = torch.where(target == dataset.ignore_index, dataset.num_classes, target)
    return closed.clamp(max=num_classes - 1)


def _fit(
    image: Tensor, target: Tensor, size: tuple[int, int], *, seed: int
) -> tuple[Tensor, Tensor]:
    """Cut the largest centred part of the size's shape, and resize it."""
    rows, columns = target.shape
    scale = min(rows / size[0], columns / size[1])
    height, width = min(rows, round(size[0] * scale)), min(columns, round(size[1] * scale))
    top, left = (rows - height) // 2, (columns - width) // 2
    place = (slice(top, top + height), slice(left, left + width))
    image, target = image[:, place[0], place[1]], target[place]
    if (height, width) == size:
        return image.contiguous(), target.contiguous()
    pixels = F.interpolate(
        image[None].float(), size=list(size), mode="bicubic", align_corners=False, antialias=True
    )[0]
    if scale < 1 / 1.5:
        generator = torch.Generator().manual_seed(seed)
        pixels = pixels + _PIXEL_NOISE * torch.randn(pixels.shape, generator=generator)
    labels = F.interpolate(target[None, None].float(), size=list(size), mode="nearest")[0, 0]
    return pixels.round().clamp(0, 255).to(torch.uint8).contiguous(), labels.long()
