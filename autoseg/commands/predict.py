"""Segment a person's own images with a retrained network."""

from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image

from autoseg.atomic import atomic_write
from autoseg.cli import resolve_device
from autoseg.cli.console import announce
from autoseg.cli.outputs import fault_of, left_out_line, refuse_clashes, summary_of_failures
from autoseg.commands.crf_choice import choose_crf_behind
from autoseg.data import normalise
from autoseg.data.images import find_images, read_image
from autoseg.errors import FileError, UsageError
from autoseg.evaluation import colour_mask, overlay, predict_logits
from autoseg.foreign_text import printable
from autoseg.requests import PredictRequest
from autoseg.runs import Progress
from autoseg.trained import RetrainedNetwork


def run_predict(request: PredictRequest) -> Iterator[Path]:
    """Write for each image its classes (an indexed PNG in the dataset's colours), and overlays.

    Pixel values of NAME.png are the class numbers; its palette shows them in colour. classes.txt
    names them.

    Yields:
        The files, as they are written. An image that cannot be used is passed over.

    Raises:
        UsageError: If there is no image, or a result would replace an image or another result.
        FileError: At the end, if images were passed over; it names each with the reason.
    """
    device = resolve_device(request.device)
    paths, left_out = find_images(request.images)
    if left_out:
        announce(left_out_line(left_out))
    names_file = request.out / "classes.txt"
    results = {path: _results(path, request) for path in paths}
    planned = [(result, path) for path, results in results.items() for result in results]
    refuse_clashes(
        [(names_file, request.run), *planned], inputs=[*paths, *left_out], out=request.out
    )
    trained = RetrainedNetwork.open(request.run)
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
                pixels = read_image(path)
                images = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].to(device)
                with torch.inference_mode():
                    scores = predict_logits(
                        network, normalise(images), scales=(trained.image_scale,)
                    )
                    if crf is not None:
                        scores = crf(scores, images)
            except (FileError, OSError, UsageError) as error:
                if len(paths) == 1:
                    raise
                failures.append((path, fault_of(path, error)))
                progress.update()
                continue
            pred = scores.argmax(dim=1)[0].to("cpu", torch.uint8).numpy()
            mask = Image.fromarray(pred)
            mask.putpalette(palette.tobytes())
            pictures = [mask]
            if request.overlay:
                blended = overlay(pixels, colour_mask(pred, palette), request.opacity)
                pictures.append(Image.fromarray(blended))
            for result, picture in zip(results[path], pictures, strict=True):
                atomic_write(result, lambda file, p=picture: p.save(file, format="PNG"))
                yield result
            progress.update()
    if failures:
        raise FileError(summary_of_failures(failures, num_files=len(paths)))


def _results(path: Path, request: PredictRequest) -> list[Path]:
    endings = (".png", "_overlay.png") if request.overlay else (".png",)
    return [request.out / f"{path.stem}{ending}" for ending in endings]
