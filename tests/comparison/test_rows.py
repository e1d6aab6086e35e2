"""Like is put with like, and every row finds its place."""

from dataclasses import replace

import pytest

from autoseg.comparison.group_key import GroupKey, size_text
from autoseg.comparison.grouping import group_networks
from tests.comparison.rows import ROW, network


@pytest.mark.parametrize(
    "difference",
    [
        {"dataset": "camvid"},
        {"split": "test"},
        {"num_classes": 11},
        {"image_height": 360},
        {"image_width": 480},
        {"input_height": 48},
        {"input_width": 64},
        {"batch_size": 2},
        {"timed_height": 48},
        {"timed_width": 64},
    ],
)
def test_what_cannot_be_compared_gets_its_own_group(difference):
    other = network(**difference)
    groups = group_networks([network(), other, network(label="b")])
    assert [len(group.networks) for group in groups] == [2, 1]
    assert groups[1].key == other.rows[0].key != groups[0].key


@pytest.mark.parametrize(
    "difference", [{"seed": 1}, {"num_steps": 10}, {"width": 1.0}, {"run": None}, {"macs": 1}]
)
def test_what_can_be_compared_shares_a_group(difference):
    assert len(group_networks([network(), network(label="b", **difference)])) == 1


def test_nothing_is_lost_or_doubled():
    networks = [network(label=f"n{i}", num_classes=2 + i % 3) for i in range(8)]
    groups = group_networks(networks)
    labels = [record["label"] for group in groups for record in group.records]
    assert sorted(labels) == [f"n{i}" for i in range(8)]
    assert [len(group.networks) for group in groups] == [3, 3, 2]
    assert [group.key.num_classes for group in groups] == [2, 3, 4]


def test_most_accurate_first_and_unscored_last_by_macs():
    networks = [
        network(label="poor", miou=0.3),
        network(label="dear", miou=None, macs=9),
        network(label="good", miou=0.6, crf_miou=0.1),
        network(label="zero", miou=0.0),
        network(label="cheap", miou=None, macs=3),
    ]
    (group,) = group_networks(networks)
    labels = [(record["label"], record["has_crf"]) for record in group.records]
    assert labels == [
        ("good", False),
        ("good", True),
        ("poor", False),
        ("zero", False),
        ("cheap", False),
        ("dear", False),
    ]


def labels_of(networks):
    (group,) = group_networks(networks)
    assert all(len({row.label for row in member.rows}) == 1 for member in group.networks)
    return sorted(member.rows[0].label for member in group.networks)


def test_repeated_labels_are_told_apart():
    assert labels_of([network(seed=0), network(seed=1, crf_miou=0.4), network(label="b")]) == [
        "b",
        "icnet_resnet50 (seed 0)",
        "icnet_resnet50 (seed 1)",
    ]
    assert labels_of([network(run="runs/a"), network(run="runs/b")]) == [
        "icnet_resnet50 (runs/a)",
        "icnet_resnet50 (runs/b)",
    ]
    assert labels_of([network(run=None), network(run=None)]) == [
        "icnet_resnet50 (row 1)",
        "icnet_resnet50 (row 2)",
    ]


def test_the_same_label_in_other_groups_stays():
    groups = group_networks([network(), network(dataset="camvid")])
    assert [group.records[0]["label"] for group in groups] == ["icnet_resnet50"] * 2


def test_group_names_itself():
    key = GroupKey("camvid", "val", 11, (360, 480), (360, 480))
    alike, halved = ([360, 360], [480]), key._replace(input_size=(180, 240))
    assert key.heading(*alike) == "camvid val, 11 classes, images 360 x 480"
    assert halved.heading(*alike).endswith("images 360 x 480, network input 180 x 240")
    # Records of before sizes were kept tell the largest alone.
    assert key.heading([], []).endswith("images up to 360 x 480")
    assert halved.heading([], []).endswith("images up to 360 x 480, network input up to 180 x 240")
    assert halved.heading([90, 360], [480, 480]).endswith(
        "images 90-360 x 480, network input up to 180 x 240, costs at 360 x 480"
    )
    small_first = key._replace(timed_size=(90, 480))
    assert small_first.heading([90, 360], [480]).endswith("images 90-360 x 480, costs at 90 x 480")
    assert size_text((96, 128)) == "96 x 128"


def test_key_reads_every_part():
    row = replace(ROW, image_height=1, image_width=2, input_height=3, input_width=4)
    assert row.key == GroupKey("synthetic", "val", 2, (1, 2), (3, 4))
