"""The loop with what makes a short training go further: warm-up, average, CutMix and others."""

import dataclasses

import pytest
import torch

from autoseg.config.optimisation import WITHOUT_EFFECT
from autoseg.data import IMAGENET_MEAN, IMAGENET_STD
from autoseg.errors import UsageError
from autoseg.networks import crf_rnn
from autoseg.runs import Run, load_weights
from tests.training.test_loop import (
    CONFIG,
    Flag,
    Network,
    assert_same_run,
    new_run,
    run_training,
)

SWITCHES = dataclasses.replace(
    CONFIG,
    optimizer="adamw",
    learning_rate=0.01,
    warmup_steps=3,
    ema_decay=0.5,
    colour_jitter=0.1,
    cutmix=0.5,
    label_smoothing=0.1,
    accumulate=2,
    batch_norm="frozen",
)


@pytest.mark.parametrize("stop_after", [1, 4])
def test_resuming_with_every_switch_on_equals_never_stopping(tmp_path, stop_after):
    whole, folder = tmp_path / "whole", tmp_path / "stopped"
    with new_run(whole) as run:
        _, expected = run_training(run, config=SWITCHES)
    with new_run(folder) as run:
        run_training(run, config=SWITCHES, stop=Flag(stop_after))
    with Run.resume(folder) as run:
        _, result = run_training(run, config=SWITCHES)
    assert result == expected
    assert_same_run(folder, whole)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The last weights of a training with every switch off."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    with new_run(folder) as run:
        run_training(run)
    return load_weights(folder, "last")


def test_in_one_process_batch_norm_per_device_is_synced(tmp_path, plain):
    with new_run(tmp_path / "run") as run:
        run_training(run, config=dataclasses.replace(CONFIG, batch_norm="per-device"))
    found = load_weights(tmp_path / "run", "last")
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[name], plain[name]) for name in plain)


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_every_switch_changes_the_training(tmp_path, plain, name):
    with new_run(tmp_path / name) as run:
        run_training(run, config=dataclasses.replace(CONFIG, **{name: getattr(SWITCHES, name)}))
    switched = load_weights(tmp_path / name, "last")
    assert any(not torch.equal(plain[key], switched[key]) for key in plain)


def test_the_average_is_what_is_saved(tmp_path):
    config = dataclasses.replace(CONFIG, ema_decay=0.9)
    with new_run(tmp_path / "average") as run:
        network, _ = run_training(run, config=config)
    saved = load_weights(tmp_path / "average", "last")
    own = network.state_dict()
    assert set(saved) == set(own)
    assert not torch.equal(saved["0.weight"], own["0.weight"])
    assert torch.equal(saved["1.num_batches_tracked"], own["1.num_batches_tracked"])


def test_the_average_holds_a_crf_behind_the_network(tmp_path):
    network = crf_rnn(Network(), num_classes=12, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    learnt, passed = [], network.set_training_progress

    def note_before_each_step(progress):
        learnt.append({name: tensor.clone() for name, tensor in network.crf.state_dict().items()})
        passed(progress)

    network.set_training_progress = note_before_each_step
    config = dataclasses.replace(CONFIG, num_steps=3, validate_every=3, ema_decay=0.2)
    with new_run(tmp_path / "run") as run:
        run_training(run, network=network, config=config)
    after = [*learnt[1:], network.crf.state_dict()]
    newest = torch.load(tmp_path / "run" / "checkpoint-00000003.pt", weights_only=True)["state"]
    assert after[0].keys() == {"bilateral_weight", "spatial_weight", "compatibility"}
    for name in after[0]:
        assert not torch.equal(after[-1][name], learnt[0][name])  # it has learnt
        expected = after[0][name].double()
        for step, share in enumerate((2 / 11, 0.2), start=1):  # the second would be 3 / 12
            expected = share * expected + (1 - share) * after[step][name]
        for which in ("best", "last"):
            saved = load_weights(tmp_path / "run", which)[f"crf.{name}"]
            torch.testing.assert_close(saved.double(), expected, rtol=1e-6, atol=1e-7)
        assert torch.equal(newest["average"][f"module.crf.{name}"], saved)
        assert torch.equal(newest["network"][f"crf.{name}"], after[-1][name])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warmup_steps": 7}, r"warmup_steps = 7: the training has 6 steps"),
        ({"cutmix": 0.5, "batch_size": 1}, r"no other image in a batch of one; use --batch-size 2"),
        (
            {"label_smoothing": 0.1, "loss": ("dice",)},
            r"only the loss cross_entropy uses it, and the loss is dice",
        ),
    ],
)
def test_switches_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(CONFIG, **settings)


def test_switches_that_are_off_are_no_part_of_what_a_checkpoint_is_bound_to():
    assert not set(WITHOUT_EFFECT) & set(CONFIG.identity())
    assert set(WITHOUT_EFFECT) <= set(SWITCHES.identity())
