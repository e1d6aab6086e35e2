"""What the README tells a newcomer to type is what CI runs, and exists."""

import dataclasses
import inspect
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from autoseg.commands.refine import CRFRequest
from tests.one_pixel import one_pixel_figures
from tests.trained.random_run import make_run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_runs_the_readmes_test_command():
    command = "pip install -e '.[test]' && python -m pytest -n auto"
    assert f"\n{command}\n" in README
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace("-q ", "")


def test_every_command_and_file_it_names_is_there():
    modules = set(re.findall(r"python -m (autoseg\.\w+)", README))
    assert len(modules) >= 4
    assert all(find_spec(module) for module in modules)
    paths = re.findall(r"\]\(((?!http)[^)]+)\)", README)
    paths += re.findall(r"python (benchmarks/\w+\.py)", README)
    paths += re.findall(r"`((?:autoseg|tests|search_spaces)/[\w/.]+)`", README)
    assert len(paths) >= 10
    for path in paths:
        assert (ROOT / path).exists(), path


@one_pixel_figures()
def test_its_crf_commands_run_as_written(tmp_path, monkeypatch, capsys):
    import numpy as np
    from PIL import Image

    command = import_module("autoseg.crf.__main__")
    section = README.split("## Coming from pydensecrf")[1].split("\n## ")[0]
    lines = re.findall(r"^python -m autoseg\.crf (.*)$", section, flags=re.MULTILINE)
    assert len(lines) == 3
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "logits"):
        (tmp_path / name).mkdir()
    for name in ("photo.jpg", "photos/a.jpg"):
        Image.new("RGB", (12, 10), (90, 60, 30)).save(name)
    Image.new("L", (12, 10)).save("labels.png")
    np.save("probabilities.npy", np.full((4, 10, 12), 0.25))
    np.save("logits/a.npy", np.zeros((3, 10, 12)))
    for line in lines:
        assert command.main(line.split()) == 0
    assert {path.name for path in (tmp_path / "refined").iterdir()} == {
        *("photo.png", "photo_picture.png", "photo.npy", "a.png", "a_picture.png")
    }


def test_its_table_maps_to_parameters_that_exist():
    from autoseg.crf import DenseCRF

    section = README.split("## Coming from pydensecrf")[1].split("\n## ")[0]
    names = set(re.findall(r"`((?:bilateral|spatial)_\w+|num_iterations|normalisation)", section))
    assert len(names) == 7
    assert names <= set(inspect.signature(DenseCRF).parameters)
    options = {name[2:].replace("-", "_") for name in re.findall(r"`(--[a-z-]+)", section)}
    fields = {field.name for field in dataclasses.fields(CRFRequest)}
    assert len(options) >= 6
    assert options - {"peer"} <= fields


EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_its_examples_of_networks_and_the_crf_run_as_written():
    names: dict[str, Any] = {
        "logits": torch.randn(1, 4, 6, 7),
        "images_uint8": torch.randint(256, (1, 3, 6, 7), dtype=torch.uint8),
    }
    exec(EXAMPLES[0], names)
    assert names["marginals"].shape == (1, 4, 6, 7)
    assert names["space"].num_paths() == 75025
    # The published architecture at F = 20: 10.15 M in the paper's table 2.
    assert sum(p.numel() for p in names["network"].parameters()) == 10_147_427


def test_its_example_of_a_trained_network_runs_as_written(tmp_path, monkeypatch):
    make_run(tmp_path / "runs/NAME/searched")
    Image.new("RGB", (48, 32)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    (example,) = EXAMPLES[1:]
    exec(example, names)
    prediction = names["prediction"]
    named = re.findall(r"\.(\w+)", example.splitlines()[-1].split("# ")[1])
    assert named == ["labels", "colours", "shares"]
    assert prediction.labels.shape == (32, 48)
    assert prediction.colours.shape == (32, 48, 3)
    assert sum(prediction.shares.values()) == pytest.approx(1)
