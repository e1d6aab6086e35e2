"""The model card beside a trained network: a page of Markdown for whoever receives it."""

from collections.abc import Mapping, Sequence
from typing import Any

from autoseg.foreign_text import markdown_text
from autoseg.trained import ModelDescription

_WITH_AUTOSEG = (
    "import autoseg",
    "",
    'model = autoseg.load("{file}")',
    'prediction = model.predict("photo.jpg")  # .labels, .colours, .class_names, .shares',
)
_HOW_TO_LOAD = {
    "/": _WITH_AUTOSEG,  # a run folder
    ".safetensors": _WITH_AUTOSEG,
    ".onnx": (
        "import numpy as np",
        "import onnxruntime",
        "from PIL import Image",
        "",
        'session = onnxruntime.InferenceSession("{file}")',
        'pixels = np.asarray(Image.open("photo.jpg").convert("RGB"))[None]  # uint8 (N, H, W, 3)',
        'logits, labels = session.run(["logits", "labels"], {{"images": pixels}})',
    ),
    ".pt2": (
        "import torch",
        "",
        'model = torch.export.load("{file}").module()',
        "logits, labels = model(pixels)  # uint8 (N, H, W, 3)",
    ),
    ".torchscript": (
        "import torch",
        "",
        'model = torch.jit.load("{file}")',
        "logits, labels = model(pixels)  # uint8 (N, H, W, 3)",
    ),
}


def origin_of(record: Mapping[str, Any], *, weights: str) -> dict[str, Any]:
    """Take from a retraining's record what a receiver of the network should know.

    Args:
        record: run.json of the retraining.
        weights: "best" or "last".

    Returns:
        Plain values that JSON can hold.
    """
    config, results = record["config"], record.get("results", {})
    chosen = {
        "dataset": config.get("dataset"),
        "images": config.get("images"),
        "weights": weights,
        "num_steps": results.get("step") if config.get("budget") else config.get("num_steps"),
        "budget": config.get("budget"),
        "batch_size": config.get("batch_size"),
        "crop_size": config.get("crop_size"),
        "optimizer": config.get("optimizer"),
        "learning_rate": config.get("learning_rate"),
        "loss": config.get("loss"),
        "seed": record.get("seed"),
        "best_step": results.get("best_step"),
        "best_val_miou": results.get("best_val_miou"),
        "doubt": results.get("doubt"),
        "note": results.get("note"),
        "commit": (record.get("git") or {}).get("commit"),
        "autoseg": (record.get("versions") or {}).get("autoseg"),
    }
    return {name: value for name, value in chosen.items() if value is not None}


def model_card(
    description: ModelDescription,
    *,
    origin: Mapping[str, Any],
    files: Mapping[str, str],
    licence: str | None,
) -> str:
    """Write the card.

    Args:
        description: The network and its classes.
        origin: What `origin_of` took from the record.
        files: Names of the exported files, each with what is known of its agreement; a name that
            ends in a slash is that of the run folder.
        licence: Licence of the weights; None if nobody has said.

    Returns:
        Markdown; names that others chose are escaped.
    """
    colours = description.colours or ()
    classes = [
        ("number", "class", "colour (RGB)"),
        *(
            (str(number), name, " ".join(map(str, colour)))
            for number, (name, colour) in enumerate(
                zip(description.class_names, colours, strict=True)
            )
        ),
    ]
    unstated = "not stated: ask whoever trained it before you pass it on"
    lines = [
        f"# {markdown_text(description.choice.label)}",
        "",
        "A network for semantic segmentation, trained with autoseg.",
        "",
        "## Training",
        "",
        *(f"- {_words(name)}: {markdown_text(_shown(value))}" for name, value in origin.items()),
        f"- licence of the weights: {unstated if licence is None else markdown_text(licence)}",
        "",
        _about_score(origin),
        "",
        "## What it sees",
        "",
        f"Images of {description.normalisation.num_channels} channel(s), seen at "
        f"{description.image_scale:g} of their size; pixels are normalised by mean "
        f"{description.normalisation.mean} and deviation {description.normalisation.std} after "
        "division by 255. The exported graphs do both themselves: they take uint8 pixels "
        "(N, H, W, C), RGB where C is 3, of any N, H and W, and give `logits` (N, K, H, W) and "
        "`labels` (N, H, W).",
        "",
        "## Classes",
        "",
        *_table(classes),
        "",
        "## Files",
    ]
    for name, note in files.items():
        lines += ["", f"### {markdown_text(name)}", "", note, "", "```python"]
        suffix = next(end for end in _HOW_TO_LOAD if name.endswith(end))
        lines += [line.format(file=name) for line in _HOW_TO_LOAD[suffix]]
        lines.append("```")
    return "\n".join(lines) + "\n"


def _about_score(origin: Mapping[str, Any]) -> str:
    if origin.get("best_val_miou") is None:
        return "No score is recorded."
    score = f"{100 * origin['best_val_miou']:.2f} % mIoU on the val split"
    if origin["weights"] == "best":
        return (
            f"These weights reached {score}. They are those of the best validation, so that the "
            "score was chosen on the images that it is of, and is optimistic."
        )
    return f"These are the last weights; the best of this training reached {score}."


def _words(name: str) -> str:
    return name.replace("_", " ").replace("miou", "mIoU")


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {each}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [
        "| " + " | ".join(markdown_text(cell, in_cell=True) for cell in r) + " |" for r in rows
    ]
    return [lines[0], "| --- " * len(rows[0]) + "|", *lines[1:]]
