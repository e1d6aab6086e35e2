"""Write a retrained network in forms that run elsewhere."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg import __version__
from autoseg.atomic import atomic_write
from autoseg.cli.console import announce
from autoseg.cli.outputs import refuse_clashes
from autoseg.data import spread_indices
from autoseg.errors import UsageError
from autoseg.export import (
    SegmentationGraph,
    export_graph,
    export_onnx,
    export_onnx_int8,
    export_pt2,
    export_torchscript,
    model_card,
    origin_of,
    require_packages,
)
from autoseg.foreign_text import folder_name, printable
from autoseg.requests import ExportRequest
from autoseg.runs import Progress, load_weights, weights_path
from autoseg.trained import RetrainedNetwork, save_model_file
from autoseg.tuning import TUNING_NAME, TuningRecord

_GRAPHS: dict[str, tuple[str, Callable]] = {
    "onnx": (".onnx", export_onnx),
    "onnx-int8": ("-int8.onnx", export_onnx_int8),
    "torch-export": (".pt2", export_pt2),
    "torchscript": (".torchscript", export_torchscript),
}
"""Ending of the file and what writes it, by the name of the form."""

_SAFETENSORS = "safetensors"
_INT8 = "onnx-int8"
_NUM_HELD = 4
"""Images of val that a quantised graph is held against the network on."""


def run_export(request: ExportRequest) -> Iterator[Path]:
    """Write each form that was asked for, and a model card.

    Every graph is run and held against the network before it is written.

    Yields:
        The files, as they are written.

    Raises:
        UsageError: If there is no such network, it has no such form, or a package is missing.
        DisagreementError: If a form gives other logits than the network; it is not written.
    """
    for form in ("onnx", _INT8):
        if form in request.format:
            require_packages("onnxruntime", option=f"--format {form}")
    trained = RetrainedNetwork.open(request.run)
    images: dict[str, list[NDArray[np.uint8]]] = {}
    if _INT8 in request.format:
        images["calibration"] = _pixels(
            trained, "train", request.calibration_images, request.data_root
        )
        images["held"] = _pixels(trained, "val", _NUM_HELD, request.data_root)
    description = trained.description_with_colours
    out = trained.folder / "export" if request.out is None else request.out
    name = folder_name(description.choice.label)
    endings = {form: _GRAPHS[form][0] if form in _GRAPHS else f".{form}" for form in request.format}
    paths = {form: out / f"{name}{ending}" for form, ending in endings.items()}
    card = out / f"{name}.md"
    source = weights_path(trained.folder, request.weights)
    refuse_clashes([(path, source) for path in (*paths.values(), card)], inputs=[source], out=out)
    network = trained.network(request.weights)
    origin = origin_of(trained.record, weights=request.weights)
    if request.licence is not None:
        origin["licence"] = request.licence
    notes: dict[str, str] = {}
    program = graph = None
    out.mkdir(parents=True, exist_ok=True)
    for form, path in paths.items():
        if form == _SAFETENSORS:
            weights = load_weights(trained.folder, request.weights)
            save_model_file(path, weights, description=description, origin=origin)
            notes[path.name] = "Weights and description in one file, without pickle."
            yield path
            continue
        if program is None or graph is None:
            graph = SegmentationGraph(
                network,
                normalisation=description.normalisation,
                image_scale=description.image_scale,
            ).eval()
            announce(
                f"export: recording the graph of {printable(description.choice.label)}; each form "
                "is then written and held against the network"
            )
            program = export_graph(graph)
        metadata = {
            "autoseg": __version__,
            "network": description.choice.label,
            "class_names": json.dumps(description.class_names),
            "palette": json.dumps(description.colours),
            "input": "images: uint8 (N, H, W, C), RGB where C is 3; any N, H, W",
            "outputs": "logits: float32 (N, K, H, W); labels: class numbers (N, H, W)",
            "normalisation": json.dumps(description.to_dict()["normalisation"]),
            "image_scale": json.dumps(description.image_scale),
            "origin": json.dumps(origin),
            **_crf_metadata(trained),
        }
        settings, note = {}, "Held against the network when it was written"
        if form == _INT8:
            ranges = f"{len(images['calibration'])} images of the training split"
            metadata["quantisation"] = f"int8; ranges by {ranges}"
            settings = {**images, "calibration": _counted(images["calibration"])}
            note = (
                "Convolutions multiply 8-bit numbers, but for the last and those before a place to "
                f"which values are unpooled. Ranges are those of {ranges}. Held against the "
                "network on images of val when it was written"
            )
        content, agreement = _GRAPHS[form][1](program, graph, metadata=metadata, **settings)
        announce(f"export: {path.name}: {agreement}")
        notes[path.name] = f"{note}: {agreement}."
        atomic_write(path, content)
        yield path
    text = model_card(description, origin=origin, files=notes, licence=request.licence)
    atomic_write(card, text.encode())
    yield card


def _pixels(
    trained: RetrainedNetwork, split: str, count: int, data_root: Path | None
) -> list[NDArray[np.uint8]]:
    """Take images that are evenly spread over a split of the training's dataset.

    Returns:
        Each (1, H, W, C).

    Raises:
        UsageError: If the dataset is not there, or its images have other channels by now.
    """
    dataset = trained.dataset(split, data_root=data_root)
    given, read = dataset.num_channels, trained.normalisation.num_channels
    if given != read:
        raise UsageError(
            f"--format {_INT8}: the images of {printable(str(trained.config['dataset']))} have "
            f"{given} channel(s), and the network reads {read}; name the dataset that it was "
            "trained on by --data-root."
        )
    indices = spread_indices(len(dataset), count)
    return [dataset[index].image.permute(1, 2, 0)[None].numpy() for index in indices]


def _counted(images: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Yield images, and show how many are left: large ones take seconds each."""
    with Progress(len(images), description="export: ranges of int8", unit="image") as progress:
        for image in images:
            yield image
            progress.update()


def _crf_metadata(trained: RetrainedNetwork) -> dict[str, str]:
    """Return the parameters of the CRF that was tuned for the network, if one was."""
    path = trained.folder / TUNING_NAME
    if not path.exists():
        return {}
    return {"crf": json.dumps(asdict(TuningRecord.load(path).parameters))}
