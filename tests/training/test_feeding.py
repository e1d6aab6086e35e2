"""What keeps a GPU from waiting changes no result: rare looks at the losses, images that stay."""

import dataclasses
import math
from unittest import mock

import pytest
import torch
from torch import nn

from autoseg.data import ResidentSamples
from autoseg.runs import Run
from autoseg.training import DivergedError, accumulation, loop, optimisers, waiting
from tests.training.precision_watch import Precisions
from tests.training.test_loop import (
    CONFIG,
    CPU,
    Flag,
    Network,
    assert_same_run,
    datasets,
    metrics,
    new_run,
    run_training,
)
from tests.waits import META, Waits


@pytest.fixture
def whole(tmp_path):
    with new_run(tmp_path / "whole") as run:
        run_training(run)
    return tmp_path / "whole"


def test_reading_losses_rarely_changes_nothing(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(loop, "steps_between_reads", lambda device: 50)
    folder = tmp_path / "rare"
    with new_run(folder) as run:
        run_training(run, stop=Flag(3))
    with Run.resume(folder) as run:
        run_training(run)
    assert_same_run(folder, whole)


def test_images_that_stay_on_the_device_change_nothing(tmp_path, whole):
    folder = tmp_path / "resident"
    with new_run(folder) as run:
        run_training(run, config=dataclasses.replace(CONFIG, resident_gib=1.0))
    assert_same_run(folder, whole)


@pytest.mark.parametrize("stop_after", [None, 4])
def test_a_loss_that_is_not_finite_is_found_before_anything_is_saved(
    tmp_path, monkeypatch, stop_after
):
    steps, loss_of = iter(range(10)), accumulation.segmentation_loss
    monkeypatch.setattr(loop, "steps_between_reads", lambda device: 50)
    monkeypatch.setattr(
        accumulation,
        "segmentation_loss",
        lambda *args, **options: loss_of(*args, **options) * (math.nan if next(steps) == 3 else 1),
    )
    rule = r"^the training loss is nan at step 3, with learning rate 0\.05\d+\."
    config = dataclasses.replace(CONFIG, validate_every=3)
    with pytest.raises(DivergedError, match=rule), new_run(tmp_path / "run") as run:
        run_training(run, config=config, stop=Flag(stop_after))
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == [
        "checkpoint-00000003.pt"
    ]
    assert [line["step"] for line in metrics(tmp_path / "run")] == [3]


def test_what_helps_images_that_stay_is_room_for_more():
    train, _ = datasets()
    samples = ResidentSamples(train, CPU, max_gib=2**-19)  # 2 KiB: none fits
    assert waiting._remedies(samples, 0) == []
    samples[0]
    assert waiting._remedies(samples, 0) == [
        "a --resident-gib above 1.90735e-06 keeps more images on the device"
    ]


@pytest.mark.parametrize("resident_gib", [0.0, 1.0])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_no_step_waits_for_the_device(tmp_path, monkeypatch, optimizer, resident_gib):
    fed, batches_of = [], loop.retraining_batches
    monkeypatch.setattr(
        loop,
        "retraining_batches",
        lambda *args, **how: fed.append(args[0]) or batches_of(*args, **how),
    )
    config = dataclasses.replace(
        CONFIG,
        optimizer=optimizer,
        validate_every=6,
        resident_gib=resident_gib,
        gradient_clip=1.0,
        ema_decay=0.9,
        label_smoothing=0.1,
        cutmix=1.0,
        warmup_steps=2,
    )
    network = Network().to(META)
    # Losses are read first when the training is stopped, and this device has no numbers to read.
    with (
        pytest.raises(NotImplementedError, match="no data"),
        new_run(tmp_path / "run") as run,
        Waits() as waits,
    ):
        run_training(run, network=network, config=config, stop=Flag(3), device=META)
    assert len(network.progress) == 3
    assert waits.found == []
    assert isinstance(fed[0], ResidentSamples) == (resident_gib > 0)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_steps_are_made_in_the_asked_precision(tmp_path, monkeypatch, precision):
    # A CPU may be asked for TF32 here, which changes nothing there but torch's settings.
    monkeypatch.setattr(loop, "resolve_precision", lambda asked, device: asked)
    config = dataclasses.replace(CONFIG, precision=precision)
    network = Network()
    seen = Precisions(network)
    with new_run(tmp_path / "run") as run:
        run_training(run, network=network, config=config, stop=Flag(1))
    seen.require(precision)


def test_validations_see_images_together(tmp_path):
    network, together = Network(), []
    network.register_forward_pre_hook(
        lambda module, inputs: None if module.training else together.append(len(inputs[0]))
    )
    # Two images of 24 x 32 are fewer pixels than four times those of a step, 2 x 16 x 16.
    assert CONFIG.val_images == 2
    with new_run(tmp_path / "run") as run:
        run_training(run, network=network)
    assert together == [2] * 3  # validations


class OnAGpu(nn.Module):
    """Says that its weights are on one."""

    def parameters(self):
        yield mock.MagicMock(device=torch.device("cuda", 0))


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_one_kernel_moves_all_weights_on_a_gpu(monkeypatch, name):
    asked = []
    monkeypatch.setattr(optimisers, name, lambda weights, **how: asked.append(how))
    for network in (OnAGpu(), Network()):
        optimisers.build_optimizer(network, dataclasses.replace(CONFIG, optimizer=name.lower()))
    on_gpu, on_cpu = asked
    assert (on_gpu.pop("fused"), on_cpu.pop("foreach")) == (True, True)
    assert on_gpu == on_cpu and not {"fused", "foreach"} & set(on_cpu)


def test_what_a_gpu_began_goes_on_with_a_cpus_steps(tmp_path, monkeypatch):
    build, built = loop.build_optimizer, []

    def build_as(how):
        def build_one(network, config):
            optimizer = build(network, config)
            optimizer.param_groups[0].update({"fused": False, "foreach": False, how: True})
            built.append(optimizer)
            return optimizer

        monkeypatch.setattr(loop, "build_optimizer", build_one)

    build_as("fused")
    with new_run(tmp_path / "run") as run:
        run_training(run, stop=Flag(2))
    build_as("foreach")
    with Run.resume(tmp_path / "run") as run:
        run_training(run)
    (group,) = built[-1].param_groups
    assert (group["foreach"], group["fused"]) == (True, False)
