"""Samples that stay on the device: the same batches, up to a budget, without a step on the CPU."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
import pytest
import torch

from autoseg.config import TrainingConfig
from autoseg.contract import Sample, SegmentationDataset
from autoseg.data import (
    Augmentation,
    CropRule,
    ResidentSamples,
    SyntheticStreets,
    stay_on_device,
    training_batches,
    transforms,
)
from autoseg.errors import UsageError
from tests.waits import META, Waits

CPU = torch.device("cpu")
SIZE = (48, 64)
SAMPLE_BYTES = 48 * 64 * (3 + 1)


class Counted(SegmentationDataset):
    """Drawn scenes, with the number of times that each was asked for."""

    scenes: Sequence[Sample] | SyntheticStreets

    def __init__(self, ignore_index=255):
        self.scenes = SyntheticStreets(split="train", image_size=SIZE, length=4)
        super().__init__(
            name="counted",
            split="train",
            class_names=self.scenes.class_names,
            palette=np.zeros((12, 3), np.uint8),
            ignore_index=ignore_index,
            largest_size=SIZE,
        )
        self.reads = [0] * 4

    def __len__(self):
        return 4

    def __getitem__(self, index):
        self.check_index(index)
        self.reads[index] += 1
        return self.scenes[index]


def batches(dataset, crop_rule):
    augmentation = Augmentation(crop_size=(40, 40), crop_rule=crop_rule)
    found = training_batches(dataset, augmentation=augmentation, batch_size=2, seed=3)
    return list(islice(found, 5))


@pytest.mark.parametrize("crop_rule", [CropRule(), CropRule(class_uniform=0.5, category_cap=0.75)])
def test_batches_are_those_of_the_dataset(crop_rule):
    dataset = Counted()
    expected = batches(dataset.scenes, crop_rule)
    found = batches(ResidentSamples(dataset, CPU, max_gib=1), crop_rule)
    for pair, same in zip(found, expected, strict=True):
        assert all(torch.equal(*tensors) for tensors in zip(pair, same, strict=True))
    assert dataset.reads == [1, 1, 1, 1]


def test_a_budget_is_kept_and_the_rest_is_read_each_time():
    dataset = Counted()
    samples = ResidentSamples(dataset, CPU, max_gib=2.5 * SAMPLE_BYTES / 2**30)
    for _ in range(3):
        for index in range(4):
            assert torch.equal(samples[index].image, dataset.scenes[index].image)
    assert dataset.reads == [1, 1, 3, 3]
    assert samples.is_full


def test_a_sample_may_be_changed_and_large_labels_are_kept_whole():
    dataset = Counted(ignore_index=65535)
    dataset.scenes = [Sample(torch.zeros(3, 2, 2, dtype=torch.uint8), torch.tensor([[70000]]), "a")]
    samples = ResidentSamples(dataset, CPU, max_gib=1)
    samples[0].image.fill_(7)
    samples[0].target.fill_(7)
    assert samples[0].image.max() == 0
    assert samples[0].target.dtype == torch.int64 and samples[0].target.item() == 70000


def test_it_is_the_same_split():
    dataset = Counted()
    samples = ResidentSamples(dataset, CPU, max_gib=1)
    assert samples.fingerprint() == dataset.fingerprint()
    with pytest.raises(IndexError, match="counted train: sample 4 does not exist"):
        samples[4]
    assert stay_on_device(dataset, CPU, max_gib=0) is dataset


def test_no_step_of_the_augmentation_leaves_the_device():
    # torch's meta device computes shapes alone, and refuses tensors of any other device.
    image = torch.empty(3, *SIZE, dtype=torch.uint8, device="meta")
    target = torch.empty(SIZE, dtype=torch.int64, device="meta")
    with Waits() as waits:
        images, targets = Augmentation(crop_size=(40, 80))(
            Sample(image, target, "a"), torch.Generator().manual_seed(0), ignore_index=255
        )
    assert (images.device.type, targets.device.type) == ("meta", "meta")
    assert (images.shape, targets.shape) == ((3, 40, 80), (40, 80))
    assert waits.found == []


def test_a_part_of_a_large_image_is_scaled_without_a_wait(monkeypatch):
    monkeypatch.setattr(transforms, "MAX_WHOLE", 0)
    image = torch.empty(3, *SIZE, dtype=torch.uint8, device=META)
    target = torch.empty(SIZE, dtype=torch.int64, device=META)
    with Waits() as waits:
        images, targets = Augmentation(crop_size=(40, 80))(
            Sample(image, target, "a"), torch.Generator().manual_seed(0), ignore_index=255
        )
    assert (images.device, targets.device) == (META, META)
    assert waits.found == []


def test_batches_come_on_the_device_and_only_the_first_reading_brings_them_there():
    dataset = Counted()
    with Waits() as waits:
        found = batches(ResidentSamples(dataset, META, max_gib=1), CropRule())
    assert {part.device for batch in found for part in batch} == {META}
    assert dataset.reads == [1, 1, 1, 1]
    assert waits.found == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("crop_rule", [CropRule(), CropRule(class_uniform=0.5, category_cap=0.75)])
def test_a_gpu_draws_what_the_cpu_draws(crop_rule):
    dataset = Counted()
    expected = batches(dataset, crop_rule)
    found = batches(ResidentSamples(dataset, torch.device("cuda"), max_gib=1), crop_rule)
    for (images, targets), (same_images, same_targets) in zip(found, expected, strict=True):
        assert images.is_cuda and targets.is_cuda
        assert torch.equal(targets.cpu(), same_targets)
        # Resizing adds up in another order: some units in the last place of numbers below 3.
        torch.testing.assert_close(images.cpu(), same_images, rtol=0, atol=1e-5)


def test_workers_cannot_share_a_device():
    with pytest.raises(UsageError, match="--num-workers 2 with --resident-gib 4"):
        TrainingConfig(num_workers=2, resident_gib=4.0)
