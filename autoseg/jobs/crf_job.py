"""The dense CRF alone, on images and segmentations in files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from autoseg.cli import resolve_device
from autoseg.crf import DenseCRF
from autoseg.errors import UsageError
from autoseg.evaluation import colour_mask
from autoseg.jobs.console import announce
from autoseg.jobs.crf import TUNING_NAME, CRFChoice
from autoseg.jobs.predict_job import find_images, read_image
from autoseg.jobs.segmentation_files import (
    ARRAY_SUFFIXES,
    default_palette,
    logits_of_labels,
    pair_files,
    read_labels,
    read_scores,
)
from autoseg.reporting.crf_picture import draw_refinement
from autoseg.reporting.figure import png_bytes
from autoseg.runs import Progress, atomic_write

_MAX_CLASSES = 256  # of an 8-bit PNG


@dataclass(frozen=True, kw_only=True, slots=True)
class CRFRequest(CRFChoice):
    """What a user can say to `python -m autoseg.crf`."""

    image: Path
    """Image, or a folder of images."""
    segmentation: Path
    """Its class numbers as a palette or grey PNG, or its probabilities as .npy or .npz, (K, H, W);
    or a folder of such files with the images' names."""
    out: Path = Path("crf")
    """Folder for the results."""
    logits: bool = False
    """The array holds logits, not probabilities."""
    num_classes: int | None = None
    """Of a label image: number of classes; none: up to the largest label in the file."""
    confidence: float = 0.7
    """Of a label image: probability that a label is right (pydensecrf: gt_prob)."""
    zero_unsure: bool = False
    """Of a label image: 0 marks pixels of unknown class, and the classes count from 1."""
    tuned: Path | None = None
    """Retrained network's run folder, or crf.json in it, whose tuned parameters are taken."""
    save_marginals: bool = False
    """Write NAME.npy too: the marginals, float32, (K, H, W)."""
    picture: bool = True
    """Write NAME_picture.png: image, labels before and after, and what changed."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""

    def tuning_record(self) -> Path | None:
        """Return the path of the tuning record that was asked for.

        Raises:
            UsageError: If there is none.
        """
        if self.tuned is None:
            return None
        path = self.tuned / TUNING_NAME if self.tuned.is_dir() else self.tuned
        if not path.exists():
            raise UsageError(
                f"--tuned {self.tuned}: {path} does not exist; `python -m autoseg.tune crf RUN` "
                "writes it."
            )
        return path


@dataclass(frozen=True, kw_only=True, slots=True)
class Segmentation:
    """A segmentation from a file, ready for the CRF."""

    logits: NDArray[np.float32]
    """(K, H, W)."""
    first_label: int
    """Number that files show for class 0."""
    palette: NDArray[np.uint8] | None
    """Colours of the numbers in files; None writes grey."""
    before: NDArray[np.int64]
    """Numbers before the CRF, (H, W)."""


def run_crf(request: CRFRequest) -> Iterator[str]:
    """Refine each image's segmentation and write the results.

    Yields:
        A line for each image: the file written and the share of pixels that changed.
    """
    device = resolve_device(request.device)
    chosen = request.choose_crf(request.tuning_record())
    for line in (*chosen.notes, f"CRF: {chosen.text}"):
        announce(line)
    images = find_images([request.image])
    segmentations = pair_files(request.image, request.segmentation, images=images)
    crf = chosen.parameters.build().to(device)
    request.out.mkdir(parents=True, exist_ok=True)
    _refuse_overwriting(request.out, [*images, *segmentations])
    with Progress(len(images), description="crf", unit="image") as progress:
        for image_path, path in zip(images, segmentations, strict=True):
            pixels = read_image(image_path)
            segmentation = read_segmentation(path, request)
            _check_sizes(pixels, image_path, segmentation.logits, path)
            marginals = _refine(crf, segmentation.logits, pixels, device)
            after = marginals.argmax(axis=0) + segmentation.first_label
            base = request.out / image_path.stem
            _save_labels(base.with_name(f"{base.name}.png"), after, segmentation.palette)
            if request.save_marginals:
                array = base.with_name(f"{base.name}.npy")
                atomic_write(array, lambda file, q=marginals: np.save(file, q))
            changed = float((after != segmentation.before).mean())
            if request.picture:
                colours = _colours(segmentation.palette)
                figure = draw_refinement(
                    pixels,
                    colour_mask(segmentation.before, colours),
                    colour_mask(after, colours),
                    is_changed=after != segmentation.before,
                    title=f"{image_path.name}: {changed:.2%} of pixels changed\n{chosen.text}",
                )
                atomic_write(base.with_name(f"{base.name}_picture.png"), png_bytes(figure))
            progress.update()
            yield f"{base}.png: {changed:.2%} of pixels changed"


def read_segmentation(path: Path, request: CRFRequest) -> Segmentation:
    """Read a label image or an array of scores.

    Raises:
        UsageError: If the file is neither, or an option does not belong to it.
    """
    is_array = path.suffix.lower() in ARRAY_SUFFIXES
    if is_array and (request.zero_unsure or request.num_classes is not None):
        raise UsageError(
            f"{path} is an array, which says itself how many classes there are; --num-classes and "
            "--zero-unsure are for label images."
        )
    if is_array:
        logits = read_scores(path, are_logits=request.logits)
        _check_num_classes(path, len(logits))
        return Segmentation(
            logits=logits,
            first_label=0,
            palette=default_palette(),
            before=logits.argmax(axis=0),
        )
    if request.logits:
        raise UsageError(f"{path} is a label image; --logits is for arrays (.npy, .npz).")
    file = read_labels(path)
    logits = logits_of_labels(
        file.labels,
        num_classes=request.num_classes,
        confidence=request.confidence,
        zero_unsure=request.zero_unsure,
        where=str(path),
    )
    first = 1 if request.zero_unsure else 0
    _check_num_classes(path, len(logits) + first)
    return Segmentation(logits=logits, first_label=first, palette=file.palette, before=file.labels)


def _refine(
    crf: DenseCRF, logits: NDArray[np.float32], pixels: NDArray[np.uint8], device: torch.device
) -> NDArray[np.float32]:
    """Return the marginals (K, H, W)."""
    image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    with torch.inference_mode():
        marginals = crf(torch.from_numpy(logits)[None].to(device), image[None].to(device))
    return marginals[0].cpu().numpy()


def _check_sizes(
    pixels: NDArray[np.uint8], image: Path, logits: NDArray[np.float32], path: Path
) -> None:
    image_size, size = pixels.shape[:2], logits.shape[1:]
    if image_size == size:
        return
    if image_size == size[::-1]:
        remedy = "height and width are swapped: transpose the segmentation"
    else:
        remedy = (
            f"resize the segmentation to {image_size[0]} x {image_size[1]}: labels by nearest "
            "neighbour, probabilities and logits bilinearly"
        )
    raise UsageError(
        f"{image} is {image_size[0]} x {image_size[1]} (height x width) and {path} is {size[0]} x "
        f"{size[1]}; {remedy}."
    )


def _check_num_classes(path: Path, num_labels: int) -> None:
    if num_labels > _MAX_CLASSES:
        raise UsageError(
            f"{path}: {num_labels} labels do not fit into an 8-bit PNG of {_MAX_CLASSES}; use "
            "autoseg.crf.DenseCRF in Python."
        )


def _refuse_overwriting(out: Path, inputs: list[Path]) -> None:
    for path in inputs:
        if path.resolve().parent == out.resolve():
            raise UsageError(
                f"--out {out} is the folder of {path}, which could be overwritten; name another."
            )


def _save_labels(path: Path, labels: NDArray[np.int64], palette: NDArray[np.uint8] | None) -> None:
    image = Image.fromarray(labels.astype(np.uint8))
    if palette is not None:
        image.putpalette(palette.tobytes())
    atomic_write(path, lambda file: image.save(file, format="PNG"))


def _colours(palette: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    return default_palette() if palette is None else palette
