"""Segment a person's own images with a retrained network."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from autoseg.atomic import atomic_write
from autoseg.cli import resolve_device
from autoseg.cli.console import announce
from autoseg.cli.outputs import fault_of, left_out_line, refuse_clashes, summary_of_failures
from autoseg.data import as_rgb, normalise
from autoseg.data.arrays import ARRAY_SUFFIXES
from autoseg.data.channels import read_channels
from autoseg.data.images import IMAGE_SUFFIXES, find_images
from autoseg.data.labels import label_image
from autoseg.data.spectral import TIFF_SUFFIXES
from autoseg.errors import FileError, UsageError
from autoseg.evaluation import best_class, colour_mask, overlay, predict_logits, with_legend
from autoseg.foreign_text import printable
from autoseg.requests import PredictRequest
from autoseg.runs import Progress
from autoseg.trained import RetrainedNetwork
from autoseg.tuning import choose_crf_behind

_MAX_INDEXED = 256  # colours of a palette file


def run_predict(request: PredictRequest) -> Iterator[Path]:
    """Write for each image its classes (an indexed PNG in the dataset's colours), and overlays.

    Pixel values of NAME.png are the class numbers; its palette shows them in colour. classes.txt
    names them. With more classes than a palette has, the PNG is grey, of 16 bits.

    Yields:
        The files, as they are written. An image that cannot be used is passed over.

    Raises:
        UsageError: If there is no image, or a result would replace an image or another result.
        FileError: At the end, if images were passed over; it names each with the reason.
    """
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
    failures: list[tuple[Path, str]] = []
    with Progress(len(paths), description="predict", unit="image") as progress:
        for path in paths:
            try:
                pixels = read_channels(path, normalisation.num_channels)
                images = torch.from_numpy(pixels)[None].to(device)
                with torch.inference_mode():
                    scores = predict_logits(
                        network, normalise(images, normalisation), scales=(trained.image_scale,)
                    )
                    if crf is not None:
                        scores = crf(scores, as_rgb(images))
            except (FileError, OSError, UsageError) as error:
                if len(paths) == 1:
                    raise
                failures.append((path, fault_of(path, error)))
                progress.update()
                continue
            pred = best_class(scores)[0].cpu().numpy()
            pictures = [label_image(pred, palette=_whole_palette(palette), mode="P")]
            if request.overlay:
                colours = as_rgb(torch.from_numpy(pixels)).permute(1, 2, 0).numpy()
                blended = overlay(colours, colour_mask(pred, palette), request.opacity)
                if request.legend:
                    shown = np.unique(pred).tolist()
                    blended = with_legend(blended, class_names, palette, shown=shown)
                pictures.append(Image.fromarray(blended))
            for result, picture in zip(results[path], pictures, strict=True):
                atomic_write(result, lambda file, p=picture: p.save(file, format="PNG"))
                yield result
            progress.update()
    if failures:
        raise FileError(summary_of_failures(failures, num_files=len(paths)))


def _whole_palette(palette: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Fill a palette up to the 256 colours of a file; None where there are more classes."""
    if len(palette) > _MAX_INDEXED:
        return None
    whole = np.zeros((_MAX_INDEXED, 3), dtype=np.uint8)
    whole[: len(palette)] = palette
    return whole


def _results(path: Path, request: PredictRequest) -> list[Path]:
    endings = (".png", "_overlay.png") if request.overlay else (".png",)
    return [request.out / f"{path.stem}{ending}" for ending in endings]
