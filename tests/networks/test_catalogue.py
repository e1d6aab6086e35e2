"""The catalogue: complete, well formed, and in keeping with what the builders and abstracts say."""

import inspect
import re
import sys
import typing
from itertools import chain

import pytest

from autoseg.architecture import Architecture
from autoseg.networks import ENCODERS, NETWORKS, papers
from autoseg.networks.catalogue import (
    ARCHITECTURE_CATALOGUE,
    ENCODER_CATALOGUE,
    NETWORK_CATALOGUE,
    Dataset,
)

ENTRIES = {
    **NETWORK_CATALOGUE,
    **{
        f"{name} F{number}": entry
        for name, entries in ARCHITECTURE_CATALOGUE.items()
        for number, entry in entries.items()
    },
    **ENCODER_CATALOGUE,
}
PAPERS = [value for value in vars(papers).values() if isinstance(value, papers.Paper)]
SCORES = list(chain.from_iterable(entry.scores for entry in ENTRIES.values()))


def test_every_network_has_an_entry_and_every_entry_a_network():
    assert set(NETWORK_CATALOGUE) == set(NETWORKS)
    assert set(ENCODER_CATALOGUE) == set(ENCODERS)
    # Auto-DeepLab's small, middle and large network.
    assert {name: list(found) for name, found in ARCHITECTURE_CATALOGUE.items()} == {
        "autodeeplab_paper": [20, 32, 48]
    }
    for name in ARCHITECTURE_CATALOGUE:
        Architecture.load(name)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_builders_file_names_the_same_paper(name):
    # The file's docstring was written beside the layers, from the paper itself.
    source = inspect.getdoc(sys.modules[NETWORKS[name].__module__])
    assert source is not None
    assert f"arXiv {NETWORK_CATALOGUE[name].paper.arxiv}" in source


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_a_paper_appears_with_its_preprint_or_soon_after(paper):
    assert re.fullmatch(r"\d{4}\.\d{4,5}", paper.arxiv)
    # An identifier begins with year and month; five digits follow from 2015 on, four before.
    posted, month = 2000 + int(paper.arxiv[:2]), int(paper.arxiv[2:4])
    assert 1 <= month <= 12
    assert len(paper.arxiv) == (10 if posted >= 2015 else 9)
    assert 2012 <= posted <= paper.year <= posted + 2 <= 2026
    assert paper.authors and paper.title and paper.title.strip(". ") == paper.title


def test_no_two_papers_are_one():
    for field in ("name", "title", "arxiv"):
        values = [getattr(paper, field) for paper in PAPERS]
        assert len(set(values)) == len(values) >= 19
    assert {entry.paper for entry in ENTRIES.values()} == set(PAPERS)


@pytest.mark.parametrize("score", SCORES, ids=str)
def test_a_score_says_how_and_where(score):
    assert 0 < score.miou < 100
    assert round(score.miou, 2) == score.miou
    assert score.dataset in typing.get_args(Dataset)
    assert score.split and score.protocol
    names = "|".join(re.escape(f"{paper.name} (arXiv {paper.arxiv})") for paper in PAPERS)
    place = r"(abstract|tables? \d|section \d)"
    assert re.match(rf"(({names}), {place})|github\.com/[\w.-]+/[\w.-]+, \w", score.source)


# What the abstracts of the papers say of their best networks.
@pytest.mark.parametrize(
    ("name", "dataset", "split", "miou"),
    [
        ("fcn8s_vgg16", "VOC 2012", "test", 62.2),
        ("deconvnet_vgg16", "VOC 2012", "test", 72.5),
        ("deeplabv2_resnet101_msc", "VOC 2012", "test", 79.7),
        ("pspnet_resnet101", "VOC 2012", "test", 85.4),
        ("pspnet_resnet101", "Cityscapes", "test", 80.2),
        ("duc_hdc_resnet101", "Cityscapes", "test", 80.1),
    ],
)
def test_the_abstracts_scores(name, dataset, split, miou):
    cited = [s for s in NETWORK_CATALOGUE[name].scores if "abstract" in s.source]
    assert (dataset, split, miou) in [(s.dataset, s.split, s.miou) for s in cited]


def test_scores_that_differ_in_protocol_alone_can_be_told_apart():
    for name, entry in ENTRIES.items():
        keys = [(s.dataset, s.split, s.protocol) for s in entry.scores]
        assert len(set(keys)) == len(keys), name


def test_a_reference_on_one_line():
    assert str(papers.FCN) == (
        'Long et al. 2015, "Fully Convolutional Networks for Semantic Segmentation" '
        "(arXiv 1411.4038)"
    )
    assert papers.DEEPLAB_V2.at("table 5") == "DeepLab v2 (arXiv 1606.00915), table 5"
