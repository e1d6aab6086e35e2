"""`--auto-batch`: the largest batch that memory holds, against an allocator with a limit."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from autoseg.commands import auto_batch
from autoseg.commands.auto_batch import require_trying, with_largest_batch
from autoseg.commands.retrain_plan import RetrainPlan
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.requests import RetrainRequest
from autoseg.training import OutOfMemoryError
from tests.training.test_loop import CPU, Network


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
