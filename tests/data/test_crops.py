"""Crops that show rare classes, and crops that no class fills."""

import pytest
import torch

from autoseg.data import Augmentation, CropRule, Sample

IGNORE = 9


def generator(seed):
    return torch.Generator().manual_seed(seed)


def place(rule, target, crop, seed):
    draws = tuple(torch.rand(2, generator=generator(seed), dtype=torch.float64).tolist())
    (rows, pad_rows), (columns, pad_columns) = rule.place(
        target, crop, draws, generator(seed), ignore_index=IGNORE
    )
    height = rows.stop - rows.start + sum(pad_rows)
    assert (height, columns.stop - columns.start + sum(pad_columns)) == crop
    assert rows.start >= 0
    assert rows.stop <= target.shape[0]
    return target[rows, columns]


def rare():
    """Draw a class on one pixel in 1200, and one in a corner."""
    target = torch.zeros(30, 40, dtype=torch.int64)
    target[17, 23], target[29, 39] = 1, 2
    target[:3] = IGNORE
    return target


def test_class_uniform_crops_show_each_class_as_often():
    crops = [place(CropRule(class_uniform=1.0), rare(), (8, 10), seed) for seed in range(300)]
    for number in (1, 2):
        assert sum(bool((crop == number).any()) for crop in crops) >= 70  # 100 of 300 expected
    plain = [place(CropRule(), rare(), (8, 10), seed) for seed in range(300)]
    assert sum(bool((crop == 2).any()) for crop in plain) < 10


def test_the_pixel_that_was_drawn_lies_anywhere_in_the_crop():
    target = torch.full((30, 40), IGNORE)
    target[17, 23] = 1
    rows = set()
    for seed in range(200):
        crop = place(CropRule(class_uniform=1.0), target, (8, 10), seed)
        ((row, _),) = (crop == 1).nonzero().tolist()
        rows.add(row)
    assert rows == set(range(8))


def test_a_cap_finds_crops_where_classes_mix():
    target = torch.zeros(40, 40, dtype=torch.int64)
    target[:, 20:] = 1
    capped = [place(CropRule(category_cap=0.75), target, (8, 8), seed) for seed in range(100)]
    plain = [place(CropRule(), target, (8, 8), seed) for seed in range(100)]

    def num_mixed(crops):
        return sum(0.25 <= float((crop == 1).double().mean()) <= 0.75 for crop in crops)

    assert num_mixed(plain) < 30
    assert num_mixed(capped) > 68  # a place fails with 28/33, ten of them with 0.19


@pytest.mark.parametrize("crop", [(50, 60), (8, 60), (50, 10)])
def test_images_smaller_than_the_crop_keep_their_classes(crop):
    shown = place(CropRule(class_uniform=1.0, category_cap=0.5), rare(), crop, 0)
    assert shown.numel() > 0


def test_an_image_without_labels_is_cropped_anywhere():
    target = torch.full((30, 40), IGNORE)
    rule = CropRule(class_uniform=1.0)
    assert place(rule, target, (8, 10), 0).shape == (8, 10)


def test_no_rule_changes_no_crop_and_a_rule_is_a_function_of_the_generator():
    image = torch.randint(256, (3, 30, 40), generator=generator(0)).to(torch.uint8)
    sample = Sample(image, rare(), "a")
    plain = Augmentation(crop_size=(8, 10))
    same = Augmentation(crop_size=(8, 10), crop_rule=CropRule(class_uniform=0.0, category_cap=1.0))
    ruled = Augmentation(crop_size=(8, 10), crop_rule=CropRule(class_uniform=0.7, category_cap=0.6))
    for seed in range(5):
        first, second = (a(sample, generator(seed), ignore_index=IGNORE) for a in (plain, same))
        assert torch.equal(first[0], second[0])
        first, second = (ruled(sample, generator(seed), ignore_index=IGNORE) for _ in range(2))
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])
