"""A retrained network as its run folder has it, with random weights."""

from dataclasses import asdict

import torch

from autoseg.data import IMAGENET
from autoseg.runs import Run
from autoseg.trained import NetworkChoice

SIZE = (32, 48)


def make_run(
    folder,
    *,
    num_classes=4,
    seed=0,
    crf_layer=False,
    normalisation=IMAGENET,
    network="segnet_basic",
):
    """Write a finished run on small synthetic images."""
    torch.manual_seed(seed)
    choice = NetworkChoice(label=network, name=network, width=0.125)
    if crf_layer:
        choice = choice.with_crf_layer()
    config = {
        "dataset": "synthetic",
        "data_root": None,
        "image_size": SIZE,
        "num_classes": num_classes,
        "train_length": 8,
        "image_scale": 1.0,
        "num_steps": 7,
        "network": choice.to_dict(),
        "class_names": [f"class {number}" for number in range(num_classes)],
        "palette": [[40 * number % 256, 10, 20] for number in range(num_classes)],
        "normalisation": asdict(normalisation),
    }
    with Run.create(folder, kind="retrain", command=["x"], config=config, seed=seed) as run:
        run.save_weights(
            "best", choice.build(num_classes, normalisation=normalisation).state_dict(), metadata={}
        )
        run.update(results={"best_step": 5})
        run.finish()
    return folder
