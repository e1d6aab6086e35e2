"""Class weights on three small labels by hand, and on CamVid's published numbers."""

import os

import numpy as np
import pytest
import torch

from autoseg.data import CamVid, Sample, SegmentationDataset, build_dataset
from autoseg.errors import UsageError
from autoseg.training.class_weights import (
    SEGNET_CAMVID,
    class_frequencies,
    class_weights,
    enet_weights,
    median_frequency_weights,
    require_rule_fits,
)

REAL = pytest.mark.skipif(
    "AUTOSEG_DATA" not in os.environ, reason="AUTOSEG_DATA names no CamVid folder"
)


@pytest.fixture(scope="module")
def camvid():
    return CamVid(split="train")


class Labels(SegmentationDataset):
    """Given labels; 99 is ignored."""

    def __init__(self, *targets, class_names=("a", "b", "c")):
        super().__init__(
            name="labels",
            split="train",
            class_names=class_names,
            palette=np.zeros((len(class_names), 3), np.uint8),
            ignore_index=99,
            largest_size=(4, 4),
        )
        self._targets = [torch.tensor(target) for target in targets]

    def __len__(self):
        return len(self._targets)

    def __getitem__(self, index):
        self.check_index(index)
        target = self._targets[index]
        return Sample(torch.zeros(3, *target.shape, dtype=torch.uint8), target, str(index))


# a: 4 + 1 + 3 = 8 pixels, b: 1 + 3 = 4, c: 2, of 5 + 4 + 5 = 14 labelled ones.
LABELS = ([[0, 0, 99], [0, 0, 1]], [[1, 1], [1, 0]], [[2, 2, 0, 0, 0, 99]])


def test_median_frequency_by_hand():
    # Frequencies 8/14, 4/14, 2/14: the median is b's.
    assert class_weights("median_frequency", Labels(*LABELS)) == pytest.approx((1 / 2, 1, 2))


def test_median_frequency_where_present_by_hand():
    # a is in all images: 8/14. b is in the first two: 4/9. c is in the last: 2/5. Median: b's.
    weights = class_weights("median_frequency_present", Labels(*LABELS))
    assert weights == pytest.approx((7 / 9, 1, 10 / 9))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("median_frequency", (1 / 2, 1, 0, 2)),
        ("median_frequency_present", (7 / 9, 1, 0, 10 / 9)),
    ],
)
def test_a_class_that_never_occurs_has_weight_0_and_no_say_in_the_median(rule, expected):
    labels = [[[3 if c == 2 else c for c in row] for row in label] for label in LABELS]
    dataset = Labels(*labels, class_names=("a", "b", "never", "c"))
    assert class_weights(rule, dataset) == pytest.approx(expected)


def test_an_even_number_of_classes_has_the_mean_of_the_middle_two_as_median():
    # (0.1 + 0.2) / 2 = 0.15.
    weights = median_frequency_weights([0.5, 0.2, 0.1, 0.05])
    assert weights == pytest.approx((0.3, 0.75, 1.5, 3.0))


def test_enets_weights_by_hand():
    # Shares 1/2, 1/4, 1/4 and a class that never occurs, whose weight is the bound.
    expected = [1 / 0.41871033, 1 / 0.23901690, 1 / 0.23901690, 1 / 0.01980263]  # ln by a table
    assert enet_weights([0.5, 0.25, 0.25, 0.0]) == pytest.approx(expected, rel=1e-6)
    dataset = Labels([[0, 0, 1, 2]])
    assert class_weights("enet", dataset) == pytest.approx(expected[:3], rel=1e-6)


@pytest.mark.parametrize("rule", ["median_frequency", "median_frequency_present"])
def test_a_split_without_a_label_is_refused(rule):
    message = (
        rf"^--class-weights {rule}: no pixel of the train split of labels has a class; leave the "
        r"option out, or check the labels\.$"
    )
    with pytest.raises(UsageError, match=message):
        class_weights(rule, Labels([[99, 99]]))


def test_segnets_weights_are_for_camvids_classes_alone():
    dataset = build_dataset("synthetic", split="train", num_classes=2)
    names = ", ".join(dataset.class_names)
    message = (
        r"^--class-weights segnet_camvid: SegNet's weights are for the classes sky, building, "
        r"pole, road, pavement, tree, sign, fence, car, pedestrian, cyclist, in this order; "
        rf"those of synthetic are {names}\. Use median_frequency or median_frequency_present, "
        r"which count the labels\.$"
    )
    for find in (class_weights, require_rule_fits):
        with pytest.raises(UsageError, match=message):
            find("segnet_camvid", dataset)
    require_rule_fits("median_frequency", dataset)
    require_rule_fits(None, dataset)


def test_segnets_weights_need_camvids_order():
    names = tuple(SEGNET_CAMVID)
    in_order = Labels([[0]], class_names=names)
    assert class_weights("segnet_camvid", in_order)[2:4] == (4.5640, 0.1417)  # pole, road
    with pytest.raises(UsageError, match="in this order"):
        class_weights("segnet_camvid", Labels([[0]], class_names=names[::-1]))


@REAL
@pytest.mark.parametrize("rule", ["median_frequency", "median_frequency_present"])
def test_camvid_gives_the_known_numbers(camvid, rule):
    # Counted by others on the public train split, printed with three digits.
    known = {
        "median_frequency": {
            "pole": 4.564,
            "road": 0.1417,
            "pavement": 1.0,
            "sign": 3.82,
            "cyclist": 15.4,
        },
        "median_frequency_present": dict(
            zip(
                SEGNET_CAMVID,
                (0.279, 0.202, 4.79, 0.149, 1.00, 0.424, 3.85, 1.98, 0.789, 6.38, 8.82),
                strict=True,
            )
        ),
    }[rule]
    weights = dict(zip(camvid.class_names, class_weights(rule, camvid), strict=True))
    for name, value in known.items():
        # Half a unit of the last printed digit, at most 0.4 % of the value.
        assert weights[name] == pytest.approx(value, rel=4e-3), name


@REAL
def test_camvids_classes_are_those_of_segnets_weights(camvid):
    assert class_weights("segnet_camvid", camvid) == tuple(SEGNET_CAMVID.values())
    assert sum(class_frequencies(camvid, where_present=False)) == pytest.approx(1)
