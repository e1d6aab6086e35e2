"""Random search: a sample that cannot be scored costs itself and nothing else."""

import itertools
import math
import re
from contextlib import contextmanager
from unittest import mock

import pytest
from torch import nn

from autoseg.runs import load_record
from autoseg.strategies import estimator, search_loop, short_training, single_path
from autoseg.training import DivergedError
from tests.strategies import contract
from tests.training.test_loop import Flag, metrics

REASON = r"the sample's \(--weight-lr\) loss is nan at step 0, with learning rate 0\.025\."
NUM_STEPS = contract.COMMON.sample_steps


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """The lines of a search in which nothing fails: three samples of two steps each."""
    return metrics(contract.run_whole("random", tmp_path_factory.mktemp("whole") / "run").folder)


@contextmanager
def bad_losses(module, numbers):
    """Make the losses of these numbers, from 1, NaN."""
    count, loss_of = itertools.count(1), module.segmentation_loss

    def sometimes_bad(*args, **options):
        loss = loss_of(*args, **options)
        return loss * math.nan if next(count) in numbers else loss

    with mock.patch.object(module, "segmentation_loss", sometimes_bad):
        yield


def require_second_failed(folder, clean, reason):
    """Check that the second sample has a reason, and the others what they have without it."""
    lines = metrics(folder)
    assert [line["failure"] is None for line in lines] == [True, False, True]
    assert re.fullmatch(reason, lines[1]["failure"])
    assert (lines[1]["score"], lines[1]["num_averaged"]) == (None, 0)
    for name in ("score", "num_averaged", "loss"):
        assert [line.get(name) for line in lines[::2]] == [line.get(name) for line in clean[::2]]
    assert [line["architecture"] for line in lines] == [line["architecture"] for line in clean]
    best = max(lines[::2], key=lambda line: line["score"])
    assert [line["best_sample"] for line in lines] == [1, 1, best["sample"]]
    assert lines[-1]["best_score"] == best["score"]
    return best


@pytest.mark.parametrize("steps_between_reads", [1, 50])
def test_a_sample_whose_loss_is_not_finite_fails_alone(
    tmp_path, clean, monkeypatch, steps_between_reads, capfd
):
    monkeypatch.setattr(search_loop, "steps_between_reads", lambda device: steps_between_reads)
    with bad_losses(short_training, {NUM_STEPS + 1}):
        result = contract.run_search("random", tmp_path / "run")
    best = require_second_failed(tmp_path / "run", clean, REASON)
    assert (result.is_finished, result.step) == (True, 3 * NUM_STEPS)
    assert result.architecture.to_dict() == best["architecture"]
    assert "2 architectures drawn" in result.report.text
    assert "1 more failed; metrics.jsonl says why" in result.report.text
    path = " ".join(map(str, clean[1]["architecture"]["path"]))
    told = rf"sample 2: failed \({REASON[:-2]}\), path {path}"
    assert re.search(told, capfd.readouterr().err)


def test_a_stop_inside_a_failed_sample_forgets_neither_that_nor_why(tmp_path, clean):
    # The first step of the second sample has failed when the search stops.
    with bad_losses(short_training, {NUM_STEPS + 1}):
        contract.run_search("random", tmp_path / "run", stop=Flag(NUM_STEPS + 1))
    assert contract.run_search("random", tmp_path / "run").is_finished
    require_second_failed(tmp_path / "run", clean, REASON)


def test_a_search_of_which_all_samples_failed_says_so_and_is_not_finished(tmp_path):
    rule = (
        r"^None of the 3 architectures that were drawn could be scored; the last because "
        rf"{REASON} Try a third of the learning rate, --gradient-clip 1"
    )
    with bad_losses(short_training, range(1, 100)):
        # Asked to stop before the end, it may still find something.
        part = contract.run_search("random", tmp_path / "run", stop=Flag(2 * NUM_STEPS))
        assert not part.is_finished
        assert part.report.doubts[0].startswith("None of the 2 architectures that were drawn")
        with pytest.raises(DivergedError, match=rule):
            contract.run_search("random", tmp_path / "run")
    assert load_record(tmp_path / "run")["state"] == "failed"
    assert [line["best_sample"] for line in metrics(tmp_path / "run")] == [None] * 3
    with pytest.raises(DivergedError, match=rule):  # to resume it changes nothing
        contract.run_search("random", tmp_path / "run")


@pytest.mark.parametrize(("step", "few"), [(1, "None"), (NUM_STEPS, "Only one")])
def test_a_stop_before_the_second_score_says_that_nothing_was_chosen(tmp_path, step, few):
    part = contract.run_search("random", tmp_path / "run", stop=Flag(step))
    (doubt,) = part.report.doubts
    assert doubt.startswith(f"{few} of the architectures that were drawn has a score: nothing was")


def test_a_path_of_the_supernet_whose_output_is_nan_fails_alone(tmp_path, monkeypatch):
    estimate, count = estimator.estimate_statistics, itertools.count(1)

    def spoil_the_second(path, images):
        estimate(path, images)
        if next(count) == 2:
            norm = next(m for m in path.modules() if isinstance(m, nn.BatchNorm2d))
            norm.running_mean.fill_(math.nan)

    monkeypatch.setattr(estimator, "estimate_statistics", spoil_the_second)
    assert contract.run_search("random by supernet", tmp_path / "run").is_finished
    lines = metrics(tmp_path / "run")
    assert [line.get("failure") for line in lines[:3]] == [None] * 3  # two epochs come before
    assert lines[3]["failure"] == "the network's output holds NaN at the validation after step 6."
    # The buffers of the NaN are those of the third sample, too.
    assert [lines[number]["score"] is None for number in (2, 3, 4)] == [False, True, False]


def test_a_supernet_that_all_samples_share_ends_the_search_when_it_diverges(tmp_path):
    with (
        bad_losses(single_path, {2}),
        pytest.raises(DivergedError, match=r"weights' \(--weight-lr\) loss is nan at step 1,"),
    ):
        contract.run_search("random by supernet", tmp_path / "run")


def test_workers_share_their_samples_and_each_goes_on_after_a_stop(tmp_path):
    url = f"sqlite:///{tmp_path}/trials.db"
    changes = {"storage": url, "num_samples": 2}
    contract.run_search("random", tmp_path / "0", **changes)
    # The second is stopped inside its second sample.
    contract.run_search("random", tmp_path / "1", stop=Flag(3), worker=1, **changes)
    last = contract.run_search("random", tmp_path / "1", worker=1, **changes)
    lines = [*metrics(tmp_path / "0"), *metrics(tmp_path / "1")]
    assert [line["sample"] for line in lines] == [1, 2, 3, 4]
    best = max(lines, key=lambda line: line["score"])
    assert last.architecture.to_dict() == best["architecture"]
    assert "4 architectures drawn" in last.report.text
    # Other settings, other scores: another study.
    contract.run_search("random", tmp_path / "2", **changes, weight_lr=0.01)
    assert [line["sample"] for line in metrics(tmp_path / "2")] == [1, 2]
