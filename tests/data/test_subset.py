import pytest
import torch

from autoseg.data import Subset, build_dataset


@pytest.fixture
def dataset():
    return build_dataset("synthetic", split="train", image_size=(24, 32), length=6, num_classes=5)


def test_samples_are_those_of_the_dataset_in_the_order_given(dataset):
    subset = Subset(dataset, [4, 0, 3])
    assert len(subset) == 3
    assert [sample.name for sample in subset] == ["train_00004", "train_00000", "train_00003"]
    for place, index in enumerate([4, 0, 3]):
        assert torch.equal(subset[place].image, dataset[index].image)
        assert torch.equal(subset[place].target, dataset[index].target)


def test_what_describes_the_dataset_stays(dataset):
    subset = Subset(dataset, [1])
    for name in ("name", "split", "class_names", "ignore_index", "largest_size", "attribution"):
        assert getattr(subset, name) == getattr(dataset, name)
    assert (subset.palette == dataset.palette).all()
    assert subset.num_classes == 5


def test_samples_that_do_not_exist_are_named(dataset):
    with pytest.raises(IndexError, match=r"synthetic train: sample 6 does not exist; the split ha"):
        Subset(dataset, [0, 6])
    # -1 is the last one to Python, and nothing here.
    with pytest.raises(IndexError, match=r"sample -1 does not exist"):
        Subset(dataset, [0, 2])[-1]
    with pytest.raises(IndexError, match=r"sample 2 does not exist; the split has 2 \(0 to 1\)"):
        Subset(dataset, [0, 2])[2]
