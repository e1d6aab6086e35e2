"""Crops of images that are too large to be read for them."""

import tracemalloc

import numpy as np
import pytest
import torch

from autoseg.contract import Sample
from autoseg.data import Augmentation, CropRule, FolderImages, training_batches, transforms
from autoseg.data.folder import dataset as folder_dataset
from autoseg.errors import FileError


def noisy_sample(height, width):
    """Draw an image and a label of which no two pixels are alike."""
    image = torch.randint(256, (3, height, width), generator=generator(1), dtype=torch.uint8)
    return Sample(image, torch.randint(5, (height, width), generator=generator(2)), "drawn")


def cut(sample):
    return lambda rows, columns: Sample(
        sample.image[:, rows, columns], sample.target[rows, columns], sample.name
    )


def generator(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [(240, 331), (40, 50)])  # the second is padded
def test_a_crop_is_that_of_the_whole(monkeypatch, size):
    sample = noisy_sample(*size)
    augment = Augmentation(crop_size=(64, 96), scale_range=(0.3, 2.0))
    for seed in range(8):
        asked = []

        def read(rows, columns, asked=asked):
            asked.append((rows, columns))
            return cut(sample)(rows, columns)

        whole = augment(sample, generator(seed), ignore_index=9)
        image, target = augment.region_crop(size, read, generator(seed), ignore_index=9)
        # Rounding of float32: of torch's places in the image, of noise, over a deviation of 0.225.
        torch.testing.assert_close(image, whole[0], atol=1e-3, rtol=0)
        assert torch.equal(target, whole[1])
        ((rows, columns),) = asked
        assert (
            rows.stop - rows.start <= 64 / 0.3 + 4 and columns.stop - columns.start <= 96 / 0.3 + 4
        )
        with monkeypatch.context() as patch:
            patch.setattr(transforms, "MAX_WHOLE", 0)
            large = augment(sample, generator(seed), ignore_index=9)
        assert torch.equal(image, large[0]) and torch.equal(target, large[1])


@pytest.fixture
def large(tmp_path):
    """A folder of images and masks of 25 million pixels."""
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for number in range(3):
            path = tmp_path / kind / f"{number}.npy"
            shape = (5_000, 5_000, 3)[: 3 if kind == "images" else 2]
            array = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
            array[number, :9] = 1  # a disk keeps no blocks of zeros that nobody wrote
            del array
    (tmp_path / "dataset.toml").write_text(
        "[splits]\nval = ['2']\n"
        "[[classes]]\nname = 'ground'\nvalue = 0\n[[classes]]\nname = 'road'\nvalue = 1\n"
    )
    return tmp_path


def test_crops_of_a_large_array_take_no_memory_for_the_whole(large):
    dataset = FolderImages(split="train", data_root=large)
    augment = Augmentation(crop_size=(64, 64), scale_range=(0.5, 2.0))
    tracemalloc.start()
    batches = training_batches(dataset, augmentation=augment, batch_size=2, seed=0)
    images, targets = next(batches)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert images.shape == (2, 3, 64, 64) and set(targets.unique().tolist()) <= {0, 1}
    assert peak < 2**22  # the whole image has 72 MiB


def write_folder(root, *, mask_value=1):
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    for number in range(2):
        np.save(root / "images" / f"{number}.npy", rng.integers(256, size=(90, 80, 3), dtype="u1"))
        labels = rng.integers(2, size=(90, 80), dtype="u1")
        labels[80:, 70:] = mask_value
        np.save(root / "masks" / f"{number}.npy", labels)
    (root / "dataset.toml").write_text(
        "[[classes]]\nname = 'ground'\nvalue = 0\n[[classes]]\nname = 'road'\nvalue = 1\n"
    )
    return root


def test_small_images_and_crops_by_classes_are_read_whole(tmp_path, monkeypatch):
    dataset = FolderImages(split="train", data_root=write_folder(tmp_path))
    assert dataset.region_size(0) is None
    monkeypatch.setattr(folder_dataset, "MAX_WHOLE", 90 * 80 - 1)
    assert dataset.region_size(0) == (90, 80)
    asked, read = [], dataset.read_region
    monkeypatch.setattr(dataset, "read_region", lambda *part: asked.append(part) or read(*part))
    rule = CropRule(class_uniform=0.5)
    for crop_rule, is_asked in ((rule, False), (CropRule(), True)):
        augment = Augmentation(crop_size=(32, 32), crop_rule=crop_rule)
        next(training_batches(dataset, augmentation=augment, batch_size=1, seed=0))
        assert bool(asked) == is_asked


@pytest.mark.parametrize("ending", [".npy", ".tif"])
def test_parts_are_those_of_the_sample_and_faults_have_their_place(tmp_path, monkeypatch, ending):
    root = write_folder(tmp_path, mask_value=7)
    if ending == ".tif":
        tifffile = pytest.importorskip("tifffile")
        for path in [*root.glob("*/*.npy")]:
            kind = "rgb" if path.parent.name == "images" else "minisblack"
            pixels = np.load(path)
            tifffile.imwrite(path.with_suffix(ending), pixels, photometric=kind, tile=(16, 16))
            path.unlink()
    monkeypatch.setattr(folder_dataset, "MAX_WHOLE", 0)
    dataset = FolderImages(split="train", data_root=root)
    assert dataset.region_size(0) == (90, 80)
    part = dataset.read_region(0, slice(3, 33), slice(20, 61))
    (root / "dataset.toml").write_text(
        (root / "dataset.toml").read_text() + "[[classes]]\nname = 'sea'\nvalue = 7\n"
    )
    whole = FolderImages(split="train", data_root=root)[0]
    assert part.name == whole.name
    assert torch.equal(part.image, whole.image[:, 3:33, 20:61])
    assert torch.equal(part.target, whole.target[3:33, 20:61])
    with pytest.raises(FileError, match="the value 7 at row 80, column 70 is no class"):
        dataset.read_region(0, slice(60, 90), slice(60, 80))
