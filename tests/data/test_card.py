"""A card tells what a dataset holds and what is wrong with it."""

import numpy as np
import pytest
import torch
from PIL import Image

from autoseg.data import FolderImages, SyntheticStreets
from autoseg.data.card import make_card, perceptual_hash
from tests.data.folder.drawing import SIZE, grey, mask, save


def smooth(number, size=(48, 64)):
    """Draw a picture that keeps its look when it is resized."""
    coarse = np.random.default_rng(number).integers(256, size=(6, 8), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


def card_of(root, **options):
    return make_card([FolderImages(split=s, data_root=root) for s in ("train", "val")], **options)


def write(root, split, name, image, labels):
    save(root / f"images/{split}/{name}.png", image)
    save(root / f"masks/{split}/{name}.png", labels)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_counts_are_those_of_the_labels(num_workers, monkeypatch):
    monkeypatch.setattr("autoseg.data.card._MANY", 2)
    train = SyntheticStreets(split="train", image_size=(24, 32), length=5)
    card = make_card([train], num_workers=num_workers)
    (split,) = card.splits
    targets = torch.stack([sample.target for sample in train])
    expected = [int((targets == number).sum()) for number in [*range(12), 255]]
    assert split.counts.tolist() == expected
    assert split.num_images.tolist() == [
        int((targets == number).flatten(1).any(dim=1).sum()) for number in [*range(12), 255]
    ]
    assert [sample.name for sample in split.samples] == [sample.name for sample in train]
    assert not card.faults


def test_what_training_would_fail_on_is_a_fault_with_its_file(tmp_path):
    for split, number in (("train", 0), ("train", 1), ("train", 2), ("val", 3)):
        write(tmp_path, split, number, grey(number), mask(0, 1, 1, 255))
    (tmp_path / "dataset.toml").write_text(
        '[[classes]]\nname = "a"\nvalue = 0\n[[classes]]\nname = "b"\nvalue = 1\n'
    )
    save(tmp_path / "masks/train/1.png", mask(0, 9))
    content = (tmp_path / "images/train/2.png").read_bytes()
    (tmp_path / "images/train/2.png").write_bytes(content[:-40])
    updates = []
    card = card_of(tmp_path, on_sample=lambda: updates.append(1))
    assert len(updates) == 4
    assert [len(split.samples) for split in card.splits] == [1, 1]
    assert len(card.faults) == 2
    assert "masks/train/1.png: the value 9 at row 5, column 0 is no class" in card.faults[0]
    assert "images/train/2.png is not an image" in card.faults[1]


def test_what_makes_a_score_doubtful_is_said(tmp_path):
    rare = mask(0, 0, size=(48, 64))
    rare[0, :10] = 1
    for number in range(3):
        write(tmp_path, "train", f"a{number}", smooth(number), rare)
    write(tmp_path, "train", "copy", smooth(0), rare)
    write(tmp_path, "train", "empty", smooth(9), mask(0, size=(48, 64)))
    resized = np.array(Image.fromarray(smooth(1)).resize((40, 30), Image.Resampling.BILINEAR))
    write(tmp_path, "val", "other", resized, mask(0, size=(30, 40)))
    card = card_of(tmp_path)
    assert card.warnings == (
        "train: 99.7% of the labelled pixels are background; a network that predicts nothing else "
        "looks good by its pixel accuracy. Consider --class-uniform 0.5 (half of the crops show a "
        "class drawn at random); in a retraining also --class-weights median_frequency or --loss "
        "cross_entropy dice",
        "train: 1 of 5 labels hold one class or none: empty",
        "val: no pixel is foreground",
        "val: 100.0% of the labelled pixels are background; a network that predicts nothing else "
        "looks good by its pixel accuracy. Consider --class-uniform 0.5 (half of the crops show a "
        "class drawn at random); in a retraining also --class-weights median_frequency or --loss "
        "cross_entropy dice",
        "1 image(s) are there several times: train/a0 = train/copy",
        "1 image(s) of val look like one of train (another size or quality of it, or the next "
        "frame): a1 and other",
    )


def test_a_look_survives_size_and_noise_and_tells_pictures_apart():
    def look(pixels):
        found = perceptual_hash(torch.from_numpy(pixels.copy())[None])
        assert found is not None
        return np.unpackbits(found)

    noise = np.random.default_rng(0).normal(0, 3, (48, 64))
    noisy = np.clip(smooth(1) + noise, 0, 255).astype(np.uint8)
    assert (look(noisy) != look(smooth(1))).sum() <= 8
    distances = [(look(smooth(a)) != look(smooth(b))).sum() for a in range(12) for b in range(a)]
    assert min(distances) > 60
    assert perceptual_hash(torch.full((1, *SIZE), 7, dtype=torch.uint8)) is None
