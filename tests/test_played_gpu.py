"""Whole commands on a second device that refuses to meet the CPU, where there is no GPU.

What they compute is held against the same command on the CPU: the device computes with the same
operators, so that weights and scores are the same.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

torch_backends = pytest.importorskip(
    "torch.utils.backend_registration", reason="this torch lets no program add a device"
)
ROOT = Path(__file__).parents[1]
SPACE = """
format_version = 1
name = "small"
paper = "none"
num_layers = 2
num_nodes = 2
strides = [4, 8]
operations = ["none", "skip_connect", "max_pool_3x3", "sep_conv_3x3", "atrous_conv_3x3"]
stem_channels = [8, 8, 8]
filter_multiplier = 4
head_rate_times_stride = 96
"""
DATA = ("--image-size", "32", "48", "--train-length", "8", "--num-workers", "0")
RETRAIN = ("autoseg.retrain", "--preset", "tiny", *DATA, "--crop-size", "32", "32")
LAST = "weights-last.safetensors"
SEARCH = ("autoseg.search", "--preset", "tiny", *DATA, "--crop-size", "33", "33")


@pytest.fixture(scope="session")
def copy(tmp_path_factory):
    """A copy of the package in which CUDA's device has the name of the played one."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("autoseg", "search_spaces"):
        ignore = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for file in (folder / "autoseg").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        changed = re.sub(r'"cuda(?=["(:|?])', '"gpu', text.replace("torch.cuda.", "torch.gpu."))
        changed = changed.replace("|cpu|cuda", "|cpu|gpu")
        # The kernels are Triton's, which knows no such device; plain operators take their place.
        changed = changed.replace('find_spec("triton")', 'find_spec("played")')
        file.write_text(changed, encoding="utf-8")
    return folder


def run(copy, where, *arguments, device="gpu"):
    """Run a command in a folder; return how often the CPU waited for the device, by line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    program = ("tests.played_gpu", str(copy)) if device == "gpu" else ()
    result = subprocess.run(
        [sys.executable, "-m", *program, *arguments, "--device", device],
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stderr.rpartition("waits ")[2]) if device == "gpu" else {}


def written(folder):
    """Return what a run says of itself: its log but for times, its weights, its architecture."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    timed = {"time", "images_per_second"}
    log = [
        {name: value for name, value in json.loads(line).items() if name not in timed}
        for line in lines
    ]
    architecture = folder / "architecture.json"
    found = safetensors.numpy.load_file(each) if (each := folder / LAST).exists() else {}
    return log, found, architecture.read_text() if architecture.exists() else None


def assert_equal_on_both(copy, where, *arguments, inside=".", on_gpu=()):
    """Run a command on both devices, alike; return the waits for the played one."""
    waits = run(copy, where, *arguments, *on_gpu, "--out", "gpu")
    run(copy, where, *arguments, "--out", "cpu", device="cpu")
    (log, weights, found), (cpu_log, cpu_weights, cpu_found) = (
        written(where / name / inside) for name in ("gpu", "cpu")
    )
    assert log == cpu_log
    assert found == cpu_found
    assert weights.keys() == cpu_weights.keys()
    for name, expected in cpu_weights.items():
        # Of averages over many tensors at once (foreach) the last digit may differ.
        np.testing.assert_allclose(weights[name], expected, rtol=1e-5, atol=1e-7, err_msg=name)
    return waits


def test_a_retraining_on_a_gpu_is_that_on_the_cpu(copy, tmp_path):
    waits = assert_equal_on_both(
        copy,
        tmp_path,
        *(*RETRAIN, "--network", "icnet_resnet50", "--num-steps", "4", "--val-images", "3"),
        *("--ema-decay", "0.9", "--label-smoothing", "0.1"),
        inside="icnet_resnet50",
        on_gpu=("--resident-gib", "1"),
    )
    # Saving waits for each tensor; nothing else does at each of the steps, or of the images.
    assert {line for line, number in waits.items() if number > 2} == {"runs/weights.py:<dictcomp>"}


def test_a_search_on_a_gpu_is_that_on_the_cpu(copy, tmp_path):
    (tmp_path / "small.toml").write_text(SPACE)
    waits = assert_equal_on_both(
        copy,
        tmp_path,
        *(*SEARCH, "--space", "small.toml", "--strategy", "darts", "--backend", "torch"),
        *("--num-epochs", "1", "--arch-start-epoch", "0", "--batch-size", "2"),
        *("--val-images", "3"),
    )
    assert waits["training/divergence.py:read"] <= 2  # of 2 steps of each kind


SWITCHES = {
    "cutmix": ("--cutmix", "0.5", "--warmup-steps", "2", "--colour-jitter", "0.5"),
    "ohem": ("--loss", "ohem", "--class-uniform", "0.5"),
    "losses": ("--loss", "cross_entropy", "lovasz", "dice", "focal"),
    "class-weights": ("--class-weights", "median_frequency", "--accumulate", "2"),
    "clip": ("--gradient-clip", "1", "--memory-format", "contiguous"),
}


@pytest.mark.nightly
@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES.keys())
def test_each_switch_of_the_recipe_is_that_on_the_cpu(copy, tmp_path, switches):
    assert_equal_on_both(
        copy,
        tmp_path,
        *(*RETRAIN, "--network", "icnet_resnet50", "--num-steps", "2", "--val-images", "2"),
        *switches,
        inside="icnet_resnet50",
        on_gpu=("--resident-gib", "1"),
    )


@pytest.mark.nightly
@pytest.mark.parametrize("strategy", ["darts2", "robust", "gumbel", "pc", "drnas"])
def test_each_strategy_of_alpha_is_that_on_the_cpu(copy, tmp_path, strategy):
    (tmp_path / "small.toml").write_text(SPACE)
    assert_equal_on_both(
        copy,
        tmp_path,
        *(*SEARCH, "--space", "small.toml", "--strategy", strategy, "--num-epochs", "1"),
        *("--arch-start-epoch", "0", "--batch-size", "2", "--val-images", "2"),
        *("--backend", "torch") * (strategy != "gumbel"),
    )


@pytest.mark.nightly
@pytest.mark.parametrize("strategy", ["random", "evolution", "tpe", "predictor", "nsga2"])
def test_each_strategy_that_draws_is_that_on_the_cpu(copy, tmp_path, strategy):
    (tmp_path / "small.toml").write_text(SPACE)
    assert_equal_on_both(
        copy,
        tmp_path,
        *(*SEARCH, "--space", "small.toml", "--strategy", strategy, "--num-samples", "3"),
        *("--sample-steps", "2", "--batch-size", "2", "--val-images", "2"),
    )


@pytest.mark.nightly
def test_what_was_trained_is_used_on_a_gpu(copy, tmp_path):
    image = np.random.default_rng(0).integers(256, size=(72, 96, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "photo.png")
    asked = (*RETRAIN, "--num-steps", "1", "--val-images", "2", "--network")
    run(copy, tmp_path, *asked, "fcn8s_vgg16", "--crf-layer", "--out", "layer")
    run(copy, tmp_path, *asked, "unet", "--out", "runs", device="cpu")
    (tuned,) = [each for each in (tmp_path / "runs").iterdir() if each.name == "unet"]
    run(copy, tmp_path, "autoseg.tune", "crf", str(tuned), "--num-trials", "2", "--num-images", "1")
    for how in (("--crf",), ("--window", "64")):
        masks = []
        for device in ("cpu", "gpu"):
            out = f"{device}{how[0]}"
            predict = ("autoseg.predict", str(tuned), "photo.png", *how, "--out", out)
            run(copy, tmp_path, *predict, device=device)
            masks.append(np.asarray(Image.open(tmp_path / out / "photo.png")))
        # The CPU's CRF is that of the compiled kernels: approximations differ on single pixels.
        assert (masks[0] == masks[1]).mean() > (0.98 if how == ("--crf",) else 0.9999)
    evaluate = ("autoseg.evaluate", str(tuned), "--scales", "0.75", "1", "--flip", "--trimap", "3")
    run(copy, tmp_path, *evaluate, "--calibration", "--confusions")
    compare = ("autoseg.compare", str(tuned), "--limit", "1", "--no-crf", "--min-runs", "1")
    run(copy, tmp_path, *compare, "--min-seconds", "0", "--receptive-field", "--out", "table")
