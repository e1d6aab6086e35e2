"""The dense CRF alone, on images and segmentations in files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from autoseg.atomic import atomic_write
from autoseg.cli import resolve_device
from autoseg.cli.console import announce
from autoseg.cli.outputs import fault_of, left_out_line, refuse_clashes, summary_of_failures
from autoseg.crf import DenseCRF
from autoseg.data.arrays import ARRAY_SUFFIXES
from autoseg.data.images import find_images, read_image
from autoseg.data.labels import default_palette, label_image, read_labels
from autoseg.data.segmentation_files import (
    MIN_CLASSES,
    check_size,
    pair_files,
    read_scores,
    scores_of_labels,
)
from autoseg.data.void_labels import labels_that_occur, usual_void
from autoseg.errors import FileError, UsageError
from autoseg.evaluation import colour_mask
from autoseg.reporting.crf_picture import draw_refinement
from autoseg.reporting.figure import png_bytes
from autoseg.requests import CRFRequest
from autoseg.runs import Progress
from autoseg.tuning import TUNING_NAME, choose_crf


@dataclass(frozen=True, kw_only=True, slots=True)
class Segmentation:
    """A segmentation from a file, ready for the CRF."""

    logits: NDArray[np.float32]
    """(K, H, W)."""
    values: NDArray[np.int64]
    """Number that files show for each class, (K,)."""
    before: NDArray[np.int64]
    """Numbers before the CRF, (H, W)."""
    is_void: NDArray[np.bool_]
    """Pixels that had no class before, (H, W)."""
    palette: NDArray[np.uint8] | None
    """Colours of the numbers in files; None writes grey."""
    mode: str
    """How files store the numbers; see `LabelFile`."""


def run_crf(request: CRFRequest) -> Iterator[str]:
    """Refine each image's segmentation and write the results.

    Yields:
        A line for each image: the file written and the share of pixels that changed. An image or
        segmentation that cannot be used, or that an option does not fit, is passed over.

    Raises:
        UsageError: If a file is missing, an option fits no file at all, or a result would replace
            an input or another result.
        FileError: At the end, if images were passed over; it names each with the reason.
    """
    device = resolve_device(request.device)
    chosen = choose_crf(request, _tuning_record(request.tuned))
    for line in (*chosen.notes, f"CRF: {chosen.text}"):
        announce(line)
    images, left_out = find_images([request.image])
    if left_out:
        announce(left_out_line(left_out))
    segmentations = pair_files(request.image, request.segmentation, images=images)
    refuse_clashes(
        [(result, path) for path in images for result in _results(path, request)],
        inputs=[*images, *segmentations, *left_out],
        out=request.out,
    )
    void = _decide_void(request, segmentations)
    _require_fitting_options(request, segmentations, void)
    crf = chosen.parameters.build().to(device)
    request.out.mkdir(parents=True, exist_ok=True)
    failures: list[tuple[Path, str]] = []
    with Progress(len(images), description="crf", unit="image") as progress:
        for image_path, path in zip(images, segmentations, strict=True):
            try:
                pixels = read_image(image_path)
                segmentation = read_segmentation(path, request, void, size=pixels.shape[:2])
                marginals = _refine(crf, segmentation.logits, pixels, device)
            except (FileError, OSError, UsageError) as error:
                if len(images) == 1:
                    raise
                failures.append((image_path, fault_of(image_path, error)))
            else:
                yield _write(image_path, pixels, segmentation, marginals, request, chosen.text)
            progress.update()
    if failures:
        raise FileError(summary_of_failures(failures, num_files=len(images)))


def _is_array(segmentation: Path) -> bool:
    return segmentation.suffix.lower() in ARRAY_SUFFIXES


def _decide_void(request: CRFRequest, segmentations: Sequence[Path]) -> tuple[int, ...]:
    """Decide once for all label images which labels are void, and say it."""
    if request.void != "auto":
        return request.void or ()
    void = usual_void(
        labels_that_occur([path for path in segmentations if not _is_array(path)]),
        num_classes=request.num_classes,
        zero_unsure=request.zero_unsure,
    )
    if void.reason:
        announce(void.reason)
    return void.values


def _require_fitting_options(
    request: CRFRequest, segmentations: Sequence[Path], void: Sequence[int]
) -> None:
    """Refuse an option that fits none of the files; one that fits some is for each file to refuse.

    Raises:
        UsageError: If there is such an option.
    """
    labels = [path for path in segmentations if not _is_array(path)]
    if not labels:
        if _has_label_options(request) or "confidence" in request.given:
            raise UsageError(_refusal_of_label_options(segmentations))
        return
    if request.logits and len(labels) == len(segmentations):
        raise UsageError(_refusal_of_logits(segmentations))
    if request.confidence > 1 / MIN_CLASSES:
        return
    without_class = {*void, *((0,) if request.zero_unsure else ())}
    counts = (
        [max(len(numbers - without_class), MIN_CLASSES) for numbers in labels_that_occur(labels)]
        if request.num_classes is None
        else [request.num_classes]
    )
    if counts and request.confidence <= 1 / max(counts):
        raise UsageError(
            f"--confidence {request.confidence} is not above 1 / {max(counts)}, and no label image "
            f"has more than {max(counts)} classes: every other class would be as likely as the "
            "label."
        )


def _has_label_options(request: CRFRequest) -> bool:
    return request.zero_unsure or request.num_classes is not None or request.void != "auto"


def _refusal_of_label_options(paths: Sequence[Path]) -> str:
    subject = f"{paths[0]} is an array, which says" if len(paths) == 1 else "arrays say"
    return (
        f"{subject} how many classes there are and how sure each is; --num-classes, --confidence, "
        "--void and --zero-unsure are for label images"
        f"{'' if len(paths) == 1 else ', and all segmentations are arrays'}."
    )


def _refusal_of_logits(paths: Sequence[Path]) -> str:
    subject = (
        f"{paths[0]} is a label image by its name" if len(paths) == 1 else "all are label images"
    )
    return f"{subject}; --logits is for arrays (.npy, .npz)."


def _results(image_path: Path, request: CRFRequest) -> list[Path]:
    """Name the files that an image's result goes to: labels, picture, marginals."""
    endings = [".png"]
    if request.picture:
        endings.append("_picture.png")
    if request.save_marginals:
        endings.append(".npy")
    return [request.out / f"{image_path.stem}{ending}" for ending in endings]


def _write(
    image_path: Path,
    pixels: NDArray[np.uint8],
    segmentation: Segmentation,
    marginals: NDArray[np.float32],
    request: CRFRequest,
    crf_text: str,
) -> str:
    """Write an image's results; return the line that tells of them."""
    after = segmentation.values[marginals.argmax(axis=0)]
    labels_path, *_ = _results(image_path, request)
    labels = label_image(after, palette=segmentation.palette, mode=segmentation.mode)
    atomic_write(labels_path, lambda file: labels.save(file, format="PNG"))
    if request.save_marginals:
        array = labels_path.with_suffix(".npy")
        atomic_write(array, lambda file: np.save(file, marginals))
    is_changed = (after != segmentation.before) & ~segmentation.is_void
    line = f"{is_changed.mean():.2%} of pixels changed"
    if segmentation.is_void.any():
        line += f", {segmentation.is_void.mean():.2%} had no class and got one"
    if request.picture:
        figure = draw_refinement(
            pixels,
            _coloured(segmentation.before, segmentation),
            _coloured(after, segmentation),
            is_changed=after != segmentation.before,
            title=f"{image_path.name}: {line}\n{crf_text}",
        )
        picture = labels_path.with_name(f"{image_path.stem}_picture.png")
        atomic_write(picture, png_bytes(figure))
    return f"{labels_path}: {line}"


def _tuning_record(tuned: Path | None) -> Path | None:
    """Return the path of the tuning record that was asked for.

    Raises:
        UsageError: If there is none.
    """
    if tuned is None:
        return None
    path = tuned / TUNING_NAME if tuned.is_dir() else tuned
    if not path.exists():
        raise UsageError(
            f"--tuned {tuned}: {path} does not exist; `python -m autoseg.tune crf RUN` writes it."
        )
    return path


def read_segmentation(
    path: Path, request: CRFRequest, void: Sequence[int], *, size: tuple[int, int]
) -> Segmentation:
    """Read a label image or an array of scores.

    Args:
        path: The file.
        request: How to read it.
        void: Labels of pixels without a class.
        size: Height and width of the image.

    Raises:
        FileError: If the file is neither, has another size, or an option does not belong to it.
        OSError: If it is not there or may not be read.
    """
    if _is_array(path):
        if _has_label_options(request):
            raise FileError(_refusal_of_label_options([path]))
        logits = read_scores(path, are_logits=request.logits, size=size)
        return Segmentation(
            logits=logits,
            values=np.arange(len(logits)),
            before=logits.argmax(axis=0),
            is_void=np.zeros(size, dtype=bool),
            palette=default_palette(),
            mode="P",
        )
    if request.logits:
        raise FileError(_refusal_of_logits([path]))
    file = read_labels(path)
    check_size(path, file.labels.shape, size)
    scores = scores_of_labels(
        file.labels,
        num_classes=request.num_classes,
        confidence=request.confidence,
        zero_unsure=request.zero_unsure,
        void=void,
        where=str(path),
    )
    if scores.values[0] < 0 or scores.values[-1] >= 2**16:
        raise FileError(
            f"{path} holds labels {scores.values[0]} to {scores.values[-1]}; a PNG shows 0 to "
            "65535."
        )
    return Segmentation(
        logits=scores.logits,
        values=scores.values,
        before=file.labels,
        is_void=scores.is_void,
        palette=file.palette,
        mode=file.mode,
    )


def _refine(
    crf: DenseCRF, logits: NDArray[np.float32], pixels: NDArray[np.uint8], device: torch.device
) -> NDArray[np.float32]:
    """Return the marginals (K, H, W)."""
    image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    with torch.inference_mode():
        marginals = crf(torch.from_numpy(logits)[None].to(device), image[None].to(device))
    return marginals[0].cpu().numpy()


def _coloured(numbers: NDArray[np.int64], segmentation: Segmentation) -> NDArray[np.uint8]:
    """Paint numbers in the file's colours, or in those of a grey file's classes, void in white."""
    if segmentation.palette is not None:
        return colour_mask(numbers, segmentation.palette)
    classes = np.searchsorted(segmentation.values, numbers).clip(0, len(segmentation.values) - 1)
    colours = colour_mask(classes, default_palette())
    colours[segmentation.values[classes] != numbers] = 255
    return colours
