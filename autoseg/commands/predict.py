"""Segment a person's own images with a retrained network."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from autoseg.atomic import atomic_write
from autoseg.cli import resolve_device
from autoseg.cli.console import announce
from autoseg.cli.outputs import fault_of, left_out_line, refuse_clashes, summary_of_failures
from autoseg.config.crf import CRF_FIELDS
from autoseg.data import as_rgb, normalise
from autoseg.data.arrays import ARRAY_SUFFIXES
from autoseg.data.channels import ImageRegions, open_regions
from autoseg.data.images import IMAGE_SUFFIXES, find_images
from autoseg.data.spectral import TIFF_SUFFIXES
from autoseg.errors import FileError, UsageError
from autoseg.evaluation import (
    Windows,
    best_class,
    colour_mask,
    fits_in_one_piece,
    overlay,
    predict_in_windows,
    predict_logits,
    reduced_classes,
    reduced_image,
    view_size,
    with_legend,
)
from autoseg.evaluation.windows import AUTO_SIZE, MAX_VIEW_PIXELS
from autoseg.foreign_text import printable
from autoseg.requests import PredictRequest
from autoseg.runs import Progress
from autoseg.trained import Prediction, RetrainedNetwork
from autoseg.tuning import choose_crf_behind

_REDUCED_PIXELS = 2**22  # of the overlay of an image that is larger than the limit of one piece


def run_predict(request: PredictRequest) -> Iterator[Path]:
    """Write for each image its classes (an indexed PNG in the dataset's colours), and overlays.

    Pixel values of NAME.png are the class numbers; its palette shows them in colour. classes.txt
    names them. With more classes than a palette has, the PNG is grey, of 16 bits. Large images are
    predicted in windows, as `autoseg.evaluation.windows` says.

    Yields:
        The files, as they are written. An image that cannot be used is passed over.

    Raises:
        UsageError: If there is no image, or a result would replace an image or another result.
        FileError: At the end, if images were passed over; it names each with the reason.
    """
    if not request.crf:
        request.refuse(CRF_FIELDS, "no CRF refines the prediction; add --crf, or leave it out.")
    if not request.overlay:
        request.refuse(
            ("opacity", "legend"), "no overlay is written; add --overlay, or leave it out."
        )
    windows = _chosen_windows(request)
    device = resolve_device(request.device)
    trained = RetrainedNetwork.open(request.run)
    normalisation = trained.normalisation
    # Pictures show one channel or three; images of others lie in arrays and TIFFs.
    is_picture = normalisation.num_channels in (1, 3)
    endings = IMAGE_SUFFIXES if is_picture else (*ARRAY_SUFFIXES, *TIFF_SUFFIXES)
    paths, left_out = find_images(request.images, endings=endings)
    if left_out:
        announce(left_out_line(left_out))
    names_file = request.out / "classes.txt"
    results = {path: _results(path, request) for path in paths}
    planned = [(result, path) for path, results in results.items() for result in results]
    refuse_clashes(
        [(names_file, request.run), *planned], inputs=[*paths, *left_out], out=request.out
    )
    class_names, palette = trained.class_names, trained.palette
    network = trained.network(request.weights).to(device)
    crf = None
    if request.crf:
        chosen = choose_crf_behind(trained, request, weights=request.weights)
        for line in (*chosen.notes, f"CRF: {chosen.text}"):
            announce(line)
        crf = chosen.parameters.build().to(device)
    request.out.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{number} {printable(name)} {' '.join(map(str, colour))}"
        for number, (name, colour) in enumerate(zip(class_names, palette.tolist(), strict=True))
    ]
    atomic_write(names_file, ("\n".join(lines) + "\n").encode())
    yield names_file
    painter = _Painter(
        network=network, crf=crf, trained=trained, request=request, windows=windows, device=device
    )
    failures: list[tuple[Path, str]] = []
    with Progress(len(paths), description="predict", unit="image") as progress:
        for path in paths:
            try:
                pictures = painter.pictures(path, progress)
            except (FileError, OSError, UsageError) as error:
                if len(paths) == 1:
                    raise
                failures.append((path, fault_of(path, error)))
                progress.update()
                continue
            for result, picture in zip(results[path], pictures, strict=True):
                atomic_write(result, lambda file, p=picture: p.save(file, format="PNG"))
                yield result
            progress.update()
    if failures:
        raise FileError(summary_of_failures(failures, num_files=len(paths)))


def _chosen_windows(request: PredictRequest) -> Windows | None:
    """Return how large images are divided; None where every image is predicted in one piece."""
    if request.crf:
        asked = [f"--{name}" for name in ("window", "overlap") if name in request.given]
        if asked and request.window is not None:
            raise UsageError(
                f"--crf with {' and '.join(asked)}: the CRF relates every pixel to every other, "
                "and needs the scores of an image in one piece; leave out one or the other."
            )
        return None
    if request.window is None:
        if request.overlap is not None:
            raise UsageError(
                f"--overlap {request.overlap} with --window none: there are no windows to overlap; "
                "leave it out."
            )
        return None
    size = AUTO_SIZE if request.window == "auto" else request.window
    return Windows.sized(size, request.overlap)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Painter:
    """What turns an image's file into the pictures of its classes."""

    network: nn.Module
    crf: nn.Module | None
    trained: RetrainedNetwork
    request: PredictRequest
    windows: Windows | None
    device: torch.device

    def pictures(self, path: Path, progress: Progress) -> list[Image.Image]:
        """Return the mask of an image and, if asked for, the overlay."""
        with open_regions(path, self.trained.normalisation.num_channels) as image:
            pred = self._classes(image, path, progress)
            prediction = Prediction(
                labels=pred, class_names=self.trained.class_names, palette=self.trained.palette
            )
            pictures = [prediction.picture()]
            if self.request.overlay:
                pictures.append(self._overlay(image, pred, path, progress))
        return pictures

    def _classes(
        self, image: ImageRegions, path: Path, progress: Progress
    ) -> NDArray[np.integer[Any]]:
        """Predict the class of each pixel, (H, W), in one piece or in windows."""
        scale, normalisation = self.trained.image_scale, self.trained.normalisation
        num_classes = len(self.trained.class_names)
        is_whole = self.windows is None or (
            self.request.window == "auto"
            and fits_in_one_piece(image.size, scale, num_classes=num_classes)
        )
        if self.windows is not None and not is_whole:
            seen, size = view_size(image.size, scale), self.windows.size
            if (num_windows := self.windows.count(seen)) > 1:
                progress.write(
                    f"predict: {printable(path.name)} is seen at {seen[0]} x {seen[1]} pixels in "
                    f"{num_windows} windows of at most {size} x {size} that overlap by "
                    f"{self.windows.overlap} (--window, --overlap)"
                )
            with progress.phase("window") as on_window:
                return predict_in_windows(
                    self.network,
                    image,
                    windows=self.windows,
                    scale=scale,
                    normalisation=normalisation,
                    num_classes=num_classes,
                    device=self.device,
                    on_window=on_window,
                )
        images = torch.from_numpy(image.whole())[None].to(self.device)
        with torch.inference_mode():
            scores = predict_logits(self.network, normalise(images, normalisation), scales=(scale,))
            if self.crf is not None:
                scores = self.crf(scores, as_rgb(images))
        return best_class(scores)[0].cpu().numpy()

    def _overlay(
        self, image: ImageRegions, pred: NDArray[np.integer[Any]], path: Path, progress: Progress
    ) -> Image.Image:
        """Lay the classes over the image, of a large one over a reduced copy."""
        class_names, palette = self.trained.class_names, self.trained.palette
        if pred.size > MAX_VIEW_PIXELS:
            factor = math.ceil(math.sqrt(pred.size / _REDUCED_PIXELS))
            pixels, pred = reduced_image(image, factor), reduced_classes(pred, factor)
            progress.write(
                f"predict: the overlay of {printable(path.name)} is reduced by {factor}, to "
                f"{pred.shape[0]} x {pred.shape[1]} pixels; the mask is not"
            )
        else:
            pixels = image.whole()
        colours = as_rgb(torch.from_numpy(pixels)).permute(1, 2, 0).numpy()
        blended = overlay(colours, colour_mask(pred, palette), self.request.opacity)
        if self.request.legend:
            shown = np.unique(pred).tolist()
            blended = with_legend(blended, class_names, palette, shown=shown)
        return Image.fromarray(blended)


def _results(path: Path, request: PredictRequest) -> list[Path]:
    endings = (".png", "_overlay.png") if request.overlay else (".png",)
    return [request.out / f"{path.stem}{ending}" for ending in endings]
