"""The best, the median and the worst image, by a plain loop; and maps of what is wrong in them."""

import base64
import io
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from autoseg.comparison import Subject
from autoseg.comparison.documents import Comparison
from autoseg.comparison.evidence import EvidenceOf, compact_labels
from autoseg.comparison.grading import Graded, grade, grades, image_miou
from autoseg.comparison.grouping import group_networks
from autoseg.comparison.report import comparison_page
from autoseg.data import build_dataset
from autoseg.evaluation import evaluate
from tests.comparison.rows import network


def overlaps_of(*mious):
    """Images of one class that occurs, and one that does not."""
    return np.array([[[round(100 * miou), 0], [100, 0]] for miou in mious])


def test_grades_by_hand():
    first, second = overlaps_of(0.9, 0.1, 0.5, 0.3), overlaps_of(0.1, 0.3, 0.6, 0.4)
    # Means: 0.50, 0.20, 0.55, 0.35.
    found = grades([first, second])
    assert {name: place for name, (place, _) in found.items()} == {
        "best": 2,
        "median": 0,
        "worst": 1,
    }
    assert [score for _, score in found.values()] == pytest.approx([0.55, 0.5, 0.2])
    assert set(grades([overlaps_of(0.5)])) == {"best"}
    assert set(grades([overlaps_of(0.4, 0.5)])) == {"best", "worst"}
    assert grades([0 * overlaps_of(0.5)]) == {}  # no pixel has a label
    assert image_miou(np.array([[3, 1, 0], [6, 4, 0]])) == pytest.approx((0.5 + 0.25) / 2)


class OneClass(nn.Module):
    """Predicts one class for every pixel."""

    def __init__(self, which):
        super().__init__()
        self.which = which

    def forward(self, images):
        logits = torch.zeros(len(images), 4, *images.shape[-2:])
        logits[:, self.which] = 1
        return logits


@pytest.fixture(scope="module")
def graded():
    dataset = build_dataset("synthetic", split="val", image_size=(32, 48), num_classes=4)
    networks = []
    for which in (0, 1):
        subject = Subject(
            name=f"constant {which}", width=1.0, filter_multiplier=None, has_crf_layer=False,
            network=OneClass(which).eval(), dataset=dataset, indices=(0, 7, 3, 5, 9),
            image_scale=1.0, trained=None,
        )  # fmt: skip
        evidence = EvidenceOf(dataset, [7], len(subject.indices))
        evaluate(
            subject.network,
            dataset,
            device="cpu",
            indices=subject.indices,
            on_prediction=lambda index, target, pred, into=evidence: into.add(index, pred, target),
        )
        networks.append(Graded(subject=subject, crf=None, evidence=(evidence,)))
    done = []
    scenes = grade(networks, device=torch.device("cpu"), on_image=lambda: done.append(1))
    assert len(done) == 6
    return networks, scenes


def test_the_chosen_images_are_those_of_a_plain_loop(graded):
    networks, (scenes, others) = graded
    assert scenes is others or [s.name for s in scenes] == [s.name for s in others]
    dataset = networks[0].subject.dataset
    means = {}
    for index in networks[0].subject.indices:
        target = dataset[index].target
        scores = []
        for which in (0, 1):
            ious = []
            for k in range(4):
                pred = torch.full_like(target, which)
                known = target != dataset.ignore_index
                union = (((pred == k) | (target == k)) & known).sum()
                if union:
                    ious.append(float((((pred == k) & (target == k)) & known).sum() / union))
            scores.append(np.mean(ious))
        means[dataset[index].name] = np.mean(scores)
    ranked = sorted(means, key=lambda name: -means[name])
    assert [scene.name for scene in scenes] == [ranked[0], ranked[2], ranked[4]]
    assert scenes[0].remark == (
        f"best of 5 images, mIoU {100 * means[ranked[0]]:.1f} % on average over 2 trainings"
    )
    evidence = networks[1].evidence[0].result()
    assert len(evidence.shown) == 1 and len(evidence.image_overlaps) == 5  # counted once
    assert [(each.classes == 1).all() for each in evidence.graded] == [True] * 3


def test_the_page_shows_where_each_network_is_wrong(graded):
    networks, (scenes, _) = graded
    compared = [
        replace(
            network(label=each.subject.name, class_iou=(0.1,) * 4),
            evidence=(each.evidence[0].result(),),
            graded_scenes=scenes,
        )
        for each in networks
    ]
    groups = tuple(group_networks(compared))
    page = comparison_page(Comparison(groups=groups, left_out=(), protocol={}))
    assert len(page.encode()) < 120_000
    best = scenes[0]
    assert f"<h3>{best.name}: best of 5 images" in page
    assert "Best, median and worst: by the mIoU of the image alone" in page
    (picture,) = re.findall(
        rf'src="data:image/png;base64,([^"]+)" alt="{best.name}: errors of constant 0"', page
    )
    errors = np.array(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB"))
    assert ((errors == (213, 94, 0)).all(-1) == (best.target != 0)).all()
    assert ((errors == (225, 225, 225)).all(-1) == (best.target == 0)).all()


def test_pictures_beyond_the_limit_are_left_out_in_words(graded, monkeypatch):
    networks, (scenes, _) = graded
    compared = replace(
        network(class_iou=(0.1,) * 4),
        evidence=(networks[0].evidence[0].result(),),
        graded_scenes=scenes,
    )
    monkeypatch.setattr("autoseg.comparison.report._MAX_PICTURES", 1000)
    groups = tuple(group_networks([compared]))
    page = comparison_page(Comparison(groups=groups, left_out=(), protocol={}))
    assert "<img" not in page and "12 pictures are left out, for the page would be too" in page


@pytest.mark.parametrize(
    ("num_classes", "ignore_index", "itemsize"),
    [(11, 11, 1), (254, 255, 1), (256, 256, 2), (4, -1, 2), (40_000, 65_535, 4)],
)
def test_labels_that_are_kept_take_no_more_bytes_than_they_need(
    num_classes, ignore_index, itemsize
):
    dataset = SimpleNamespace(num_classes=num_classes, ignore_index=ignore_index)
    batch = torch.tensor([[[0, num_classes - 1], [ignore_index, 1]]] * 3)
    kept = compact_labels(batch[1], dataset)
    assert kept.tolist() == batch[1].tolist()
    assert kept.itemsize == itemsize
    batch[1] = 0  # not a view, which would keep the whole batch in memory
    assert kept.tolist() == batch[2].tolist()
