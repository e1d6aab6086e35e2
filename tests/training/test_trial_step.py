"""`--auto-batch`: the largest batch that memory holds, against an allocator with a limit."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from autoseg.commands import auto_batch
from autoseg.commands.auto_batch import require_trying, with_largest_batch
from autoseg.commands.auto_plan import DeviceFacts
from autoseg.commands.retrain_plan import RetrainPlan
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.requests import RetrainRequest
from autoseg.training import OutOfMemoryError, trial_step
from tests.training.precision_watch import Precisions
from tests.training.test_loop import CONFIG, CPU, Network, datasets


@pytest.fixture(autouse=True)
def no_collection(monkeypatch):
    """Leave Python's collector out: it walks over all that the other tests have made."""
    monkeypatch.setattr("gc.collect", lambda: 0)


class Limited(Network):
    """Has memory for so many images at once, or for one less and the gradients."""

    def __init__(self, num_images):
        super().__init__()
        self.num_images = num_images

    def forward(self, images):
        # Gradients, which are there from a batch's second part on, take the room of one image.
        has_gradients = any(weight.grad is not None for weight in self.parameters())
        if len(images) + has_gradients > self.num_images:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().forward(images)


@dataclass
class Choice:
    num_images: int
    label = "limited"

    def build(self, num_classes, *, normalisation):
        return Limited(self.num_images)


def plan(*held, num_images=5, **given):
    request = RetrainRequest(auto_batch=True, crop_size=(16, 16), batch_size=2, **given)
    train, val = (
        build_dataset("synthetic", split=split, image_size=(24, 32), length=length)
        for split, length in (("train", num_images), ("val", 3))
    )
    return RetrainPlan(
        request=request,
        networks=tuple(map(Choice, held)),
        folder=Path("x"),
        train_dataset=train,
        val_dataset=val,
    )


def test_all_networks_of_a_retraining_fit_with_the_same_recipe(capsys):
    fitted = with_largest_batch(plan(5, 3, 4), CPU)
    assert fitted.training.batch_size == 3
    assert fitted.training.learning_rate == plan(1).training.learning_rate == 0.05
    assert capsys.readouterr().err == (
        "retrain: batches of 3 (--auto-batch), the largest that fits; --learning-rate stays 0.05, "
        "which goes with batches of 2: in proportion it would be 0.075\n"
    )
    in_parts = with_largest_batch(plan(3, accumulate=2, num_images=8), CPU)
    assert in_parts.training.batch_size == 2 * (3 - 1)
    num_images = len(plan(1).train_dataset)
    assert with_largest_batch(plan(99), CPU).training.batch_size == num_images
    with pytest.raises(
        OutOfMemoryError, match=r"limited does not fit .* with 2 image.*--crop-size"
    ):
        with_largest_batch(plan(1), CPU)


def test_where_nothing_can_be_tried_it_says_what_to_give(monkeypatch):
    both, cuda = plan(1), torch.device("cuda")
    asked = replace(both, request=RetrainRequest(auto_batch=True))
    require_trying(asked, cuda)
    with pytest.raises(UsageError, match=r"runs on cpu, where .* Give --batch-size, or use --dev"):
        require_trying(asked, CPU)
    with pytest.raises(UsageError, match="--auto-batch and --batch-size: each says how large"):
        require_trying(both, cuda)
    compiles = replace(both, request=RetrainRequest(auto_batch=True, compile=True))
    with pytest.raises(UsageError, match=r"--auto-batch and --compile: .* give --batch-size"):
        require_trying(compiles, cuda)
    monkeypatch.setattr(auto_batch, "num_processes", lambda: 4)
    with pytest.raises(UsageError, match="give 4 times as many images with --batch-size here"):
        require_trying(asked, cuda)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("memory_format", ["contiguous", "channels-last"])
def test_a_tried_step_is_a_step_of_the_training(monkeypatch, precision, memory_format):
    monkeypatch.setattr(trial_step, "resolve_precision", lambda asked, device: asked)
    network = Network()
    seen, (dataset, _) = Precisions(network), datasets()
    config = replace(CONFIG, precision=precision, memory_format=memory_format)
    trial_step.training_step(lambda: network, config, dataset=dataset, device=CPU)(2)
    seen.require(precision)
    is_last = network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert is_last == (memory_format == "channels-last")


def test_images_that_will_stay_on_the_gpu_leave_less_room(monkeypatch):
    shares = []

    def share_of(device, share):
        shares.append(share)
        return nullcontext()

    monkeypatch.setattr(auto_batch, "memory_share", share_of)
    # 5 images of 24 x 32 in 3 colours and a label of a byte are 15,360 bytes, on a GPU of 61,440.
    facts = DeviceFacts(kind="cuda", memory_gib=61_440 / 2**30)
    monkeypatch.setattr(auto_batch, "facts_of", lambda device: facts)
    for resident_gib in (0.0, 1.0):
        with_largest_batch(plan(5, resident_gib=resident_gib), CPU)
    assert shares == pytest.approx([0.9, 0.9 - 0.25])
