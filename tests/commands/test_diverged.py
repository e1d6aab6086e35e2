"""A network that diverges ends its own training; the others of the retraining are trained, and the
index of runs tells so while they are."""

import torch

from autoseg import retrain
from autoseg.runs import load_record
from autoseg.training import loop
from tests.commands.test_runs_index import listed_states
from tests.one_pixel import one_pixel_figures

ARGUMENTS = [
    *("--network", "unet", "segnet_basic", "--width", "0.0625", "--num-steps", "1"),
    *("--batch-size", "2", "--crop-size", "32", "32", "--image-size", "32", "48"),
    *("--train-length", "4", "--val-images", "1", "--num-workers", "0"),
]


@one_pixel_figures()
def test_after_a_validation_that_finds_nan_the_next_network_is_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    validate, validated, told = loop.validate, [], []
    folder = tmp_path / "runs" / "run"

    def spoil_the_first(network, dataset, **options):
        validated.append(network)
        told.append(listed_states(tmp_path / "runs"))
        if len(validated) == 1:
            with torch.no_grad():
                next(network.parameters()).fill_(float("nan"))
        return validate(network, dataset, **options)

    monkeypatch.setattr(loop, "validate", spoil_the_first)
    assert retrain.main([*ARGUMENTS, "--out", str(folder)]) == 1
    record = load_record(folder)
    assert record["state"] == "failed"
    assert "NaN at the validation after step 1" in record["results"]["failed"]["unet"]
    assert record["results"]["finished"] == ["segnet_basic"]
    assert load_record(folder / "segnet_basic")["state"] == "finished"
    assert told[0] == {"run": "running", "run/unet": "running"}
    assert told[-1] == {"run": "running", "run/unet": "failed", "run/segnet_basic": "running"}
    assert listed_states(tmp_path / "runs") == {
        "run": "failed", "run/unet": "failed", "run/segnet_basic": "finished"
    }  # fmt: skip
