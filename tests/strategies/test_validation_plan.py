"""How often a search validates: by counting, for steps."""

import dataclasses
import math
from pathlib import Path

import pytest

from autoseg.config import SEARCH_PRESETS
from autoseg.runs import load_record
from autoseg.strategies.validation_plan import validation_interval
from tests.strategies.test_search_loop import CONFIG, new_run, run_search
from tests.training.test_loop import metrics

TINY = SEARCH_PRESETS["tiny"]


def interval(config, num_steps, image_pixels, num_images=16):
    return validation_interval(
        config,
        num_weight_passes=2 * num_steps,
        num_arch_passes=num_steps,
        num_images=num_images,
        image_pixels=image_pixels,
    ).num_epochs


def test_the_interval_is_the_smallest_that_keeps_to_the_share():
    # README's first command: 256 steps of 8 crops 64 x 64, images of 96 x 128, 8 epochs.
    assert interval(TINY, 128, 96 * 128) == 1
    # Worked by hand: 30 passes x 3 x 8 x 64 x 64 = 2,949,120 pixels, a ninth of which is 327,680.
    # With a validation at the end alone 16 + 7 images are seen, with two of them 32 + 6.
    assert interval(TINY, 10, 327_680 // 38) == 4
    assert interval(TINY, 10, 327_680 // 37) == 8


@pytest.mark.parametrize("num_steps", [1, 3, 30, 100, 400])
def test_no_interval_but_the_largest_exceeds_the_share(num_steps):
    trained = 3 * 3 * num_steps * TINY.batch_size * math.prod(TINY.crop_size)
    chosen = interval(TINY, num_steps, 25_600)

    def share(interval):
        num_validations = math.ceil(TINY.num_epochs / interval)
        validated = (16 * num_validations + TINY.num_epochs - num_validations) * 25_600
        return validated / (validated + trained)

    assert chosen == TINY.num_epochs or share(chosen) <= TINY.val_share
    assert chosen == 1 or share(chosen - 1) > TINY.val_share


def test_what_is_found_does_not_depend_on_how_often_it_is_scored(tmp_path):
    found = {}
    for share in (0.1, 1.0):
        folder = tmp_path / str(share)
        with new_run(folder) as run:
            config = dataclasses.replace(CONFIG, val_share=share)
            supernet, result = run_search(run, config=config)
        found[share] = (supernet.alpha.tolist(), supernet.beta.tolist(), result.architecture)
        assert 0 < result.cost["round_ends_share"] < 1
    assert found[0.1] == found[1.0]
    rare, often = metrics(tmp_path / "0.1"), metrics(tmp_path / "1.0")
    assert ["val_miou" in line for line in rare] == [False, False, True]
    assert rare[-1] == often[-1]
    assert len([line for line in often if "val_miou" in line]) == 3


def test_the_page_tells_the_share_of_validation_that_recorded_searches_had():
    root = Path(__file__).parents[2]
    page = " ".join((root / "docs/plan.md").read_text(encoding="utf-8").split())
    for name, words in (("camvid", "on CamVid"), ("synthetic", "on the embedded dataset")):
        record = load_record(root / "results/strategies/darts" / name)
        share = record["results"]["cost"]["round_ends_share"]
        assert share <= record["config"]["val_share"] == TINY.val_share
        assert f"{100 * share:.1f} % {words}" in page
