"""Architectures that are drawn at random beside a searched one, at its cost."""

from pathlib import Path

import pytest
import torch

from autoseg import retrain
from autoseg.architecture import (
    CellSpace,
    SearchSpace,
    sample_architecture,
    sample_cell_architecture,
)
from autoseg.commands.random_rivals import draw_rivals
from autoseg.cost import count_macs
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.runs import Run, load_record
from autoseg.trained import NetworkChoice

DATASET = build_dataset("synthetic", split="train", length=4, image_size=(64, 96))
SIZES = {"width": 0.125, "filter_multiplier": 2}


def searched_in(folder, space):
    """Write the run folder of a search of a space; what it found was drawn at random."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(space, CellSpace):
        found = sample_cell_architecture(space, generator)
    else:
        found = sample_architecture(space, generator)
    config = {"search_space": space.to_dict(), "dataset": "synthetic"}
    with Run.create(folder, kind="search", command=["x"], config=config, seed=0) as run:
        found.save(run.folder / "architecture.json")
        run.finish()
    return found


@pytest.mark.nightly  # 3 s and more each
@pytest.mark.parametrize("name", ["autodeeplab", "darts_cells"])
def test_rivals_cost_what_the_searched_one_costs_by_a_count_of_each_network(name, tmp_path):
    kind = CellSpace if name == "darts_cells" else SearchSpace
    found = searched_in(tmp_path / "found", kind.load(name, preset="tiny"))
    searched = NetworkChoice(label="searched", architecture=found, **SIZES)
    file = tmp_path / "found" / "architecture.json"

    def draw(*found, seed=0):
        asked = {"number": 3, "seed": seed, "dataset": DATASET, "image_scale": 0.5}
        return draw_rivals(found, file, **asked)

    rivals = draw(searched)
    assert [rival.label for rival in rivals] == ["random-1", "random-2", "random-3"]
    assert len({found, *(rival.architecture for rival in rivals)}) == 4
    macs = [
        count_macs(choice.build(DATASET.num_classes).eval(), (32, 48)).macs
        for choice in (searched, *rivals)
    ]
    # Of a thousand, three lie as near as this in any space that is not all but empty.
    assert macs[1:] == pytest.approx([macs[0]] * 3, rel=0.02)
    assert draw(searched) == rivals
    other = draw(searched, seed=1)
    assert {rival.architecture for rival in other} != {rival.architecture for rival in rivals}


@pytest.mark.usefixtures("figures_of_one_pixel")
def test_rivals_are_trained_behind_the_searched_one_and_a_resumed_run_keeps_them(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    searched_in(Path("found"), SearchSpace.load("autodeeplab", preset="tiny"))
    asked = ["--architecture", "found/architecture.json", "--random", "1", "--preset", "tiny"]
    sizes = ["--filter-multiplier", "2", "--width", "0.05", "--num-steps", "1"]
    images = ["--image-size", "64", "64", "--train-length", "2", "--batch-size", "2"]
    rest = ["--val-images", "1", "--network", "unet", "--device", "cpu", "--out", "set"]
    assert retrain.main([*asked, *sizes, *images, *rest]) == 0
    networks = load_record(Path("set"))["config"]["networks"]
    assert [network["label"] for network in networks] == ["searched", "random-1", "unet"]
    drawn = load_record(Path("set/random-1"))["config"]["network"]["architecture"]
    assert drawn == networks[1]["architecture"] != networks[0]["architecture"]
    assert retrain.main(["--resume", "--out", "set"]) == 0
    again = ["--resume", "--out", "set", "--architecture", "found/architecture.json"]
    with pytest.raises(UsageError, match="was started with the networks searched, random-1, unet"):
        retrain.main([*again, "--network", "unet"])


def test_what_has_no_search_beside_it_has_no_rivals(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["--image-size", "64", "64", "--train-length", "2", "--device", "cpu", "--random", "2"]
    with pytest.raises(UsageError, match=r"--random 2: there is no searched architecture to draw"):
        retrain.main(["--network", "unet", *small])
    with pytest.raises(UsageError, match=r"no search stands beside autodeeplab_paper, so that"):
        retrain.main(["--architecture", "autodeeplab_paper", *small])
