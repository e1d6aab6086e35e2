"""A network's search is found by its architecture, and shown with its pictures and doubts."""

import warnings
from dataclasses import replace

import pytest

from autoseg.architecture import Architecture
from autoseg.comparison.documents import Comparison
from autoseg.comparison.grouping import group_networks
from autoseg.comparison.report import comparison_page
from autoseg.comparison.searches import search_history
from autoseg.runs import Run, find_runs
from autoseg.trained import ARCHITECTURE_NAME, search_that_found
from tests.comparison.rows import network

SHIPPED = Architecture.load("autodeeplab_paper")
OTHER = replace(SHIPPED, path=(4,) * len(SHIPPED.path))


def make_search(folder, architecture, **results):
    with Run.create(
        folder, kind="search", command=["x"], config={"strategy": "robust"}, seed=0
    ) as run:
        architecture.save(folder / ARCHITECTURE_NAME)
        run.update(results=results)
        run.finish()
    return folder


@pytest.fixture(scope="module")
def searches(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    make_search(root / "older", SHIPPED)
    newer = make_search(
        root / "newer",
        SHIPPED,
        doubts=["alpha has <b>hardly</b> moved."],
        cost={"steps": 40, "evaluations": 2, "seconds": 90.0},
    )
    make_search(root / "newest" / "deep" / "down", OTHER)
    figures = newer / "figures"
    figures.mkdir()
    (figures / "cell.svg").write_text("<svg/>")
    (figures / "cell.png").write_bytes(b"png")
    (figures / "trellis.png").write_bytes(b"png")
    (figures / "history.svg").write_text("x" * 500_000)
    (root / "newer-but-damaged").mkdir()
    (root / "newer-but-damaged" / ARCHITECTURE_NAME).write_text("{")
    return root


def test_the_newest_search_with_the_architecture_is_found(searches):
    folders = [searches / name for name in ("older", "newer", "newest/deep/down")]
    others = searches / "newer-but-damaged", searches / "none"
    folder = search_that_found(SHIPPED, [*folders, *others])
    assert folder == searches / "newer"
    found = search_history(folder)
    assert found.folder == str(folder)
    assert found.summary == "Searched by robust: 40 steps, 2 evaluations, 1.5 minutes."
    assert found.doubts == ("alpha has <b>hardly</b> moved.",)
    # A drawing before a picture; what is too large is not taken.
    assert [(kind, content) for _, kind, content in found.figures] == [
        ("png", b"png"),
        ("svg+xml", b"<svg/>"),
    ]
    assert search_that_found(SHIPPED, folders[2:]) is None


def test_runs_are_looked_for_to_a_depth(searches):
    with warnings.catch_warnings(action="error"):
        by_depth = [len(find_runs(searches, max_depth=depth)) for depth in range(4)]
    assert by_depth == [0, 2, 2, 3]
    assert len(find_runs(searches)) == 3
    assert find_runs(searches / "newer", max_depth=0) == [searches / "newer"]


def test_the_page_shows_a_search_once(searches):
    found = search_history(searches / "newer")
    networks = [replace(network(label=label), search=found) for label in ("a", "b")]
    groups = tuple(group_networks([*networks, network(label="fixed")]))
    page = comparison_page(Comparison(groups=groups, left_out=(), protocol={}))
    assert page.count("<h2>The search that found a, b ") == 1
    assert "alpha has &lt;b&gt;hardly&lt;/b&gt; moved." in page
    assert page.count('<figure class="drawing">') == 2 and 'alt="the cell"' in page
    silent = replace(found, doubts=(), figures=())
    (group,) = group_networks([replace(network(), search=silent)])
    page = comparison_page(Comparison(groups=(group,), left_out=(), protocol={}))
    assert "The search itself sees no reason to doubt its decision." in page
