"""The index of all runs: every one is listed, also what cannot be read, and no name is markup."""

import re

import pytest

from autoseg.commands import runs_index
from autoseg.commands.runs_index import listed, refresh_index
from autoseg.runs import Run
from tests.browser import CHROMIUM, WITHOUT_CHROMIUM, chromium

NAME = "<b>x</b> & 100%"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
    "0000000b4944415478da6364f8ff1f0003030200b12c9a4b0000000049454e44ae426082"
)


def make_run(folder, *, kind="retrain", config=None, state="finished", **results):
    with Run.create(folder, kind=kind, command=["x"], config=config or {}, seed=0) as run:
        run.update(results=results)
        run.finish(state)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("here") / "runs"
    search = make_run(
        root / NAME, kind="search", config={"strategy": "darts"}, doubts=["a <i>", "b"]
    )
    (search / "figures").mkdir()
    for name in ("trellis", "cell", "other"):
        (search / "figures" / f"{name}.png").write_bytes(PNG)
    network = {"label": "unet"}
    make_run(root / "set", kind="retrain-set", config={"networks": [network]}, state="failed")
    config = {"network": network, "dataset": "camvid"}
    make_run(root / "set" / "unet", config=config, best_val_miou=0.51239, doubt="dull.")
    (root / "damaged").mkdir()
    (root / "damaged" / "run.json").write_text("{")
    odd = {"network": [], "networks": 3, "strategy": None, "dataset": {}}
    make_run(root / "odd", config=odd, best_val_miou="x", doubts="y", state="interrupted")
    return root


def rows_of(page):
    return {
        re.sub("<.*?>", "", cells[0]): [re.sub("<.*?>", "", cell) for cell in cells[1:]]
        for row in re.findall(r"<tr class=.*?</tr>", page)
        if (cells := re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row))
    }


def listed_states(root):
    """Return what the index in a folder says of the state of each run."""
    page = (root / "index.html").read_text(encoding="utf-8")
    return {name: cells[1] for name, cells in rows_of(page).items()}


def test_every_run_is_listed_with_what_it_is(runs):
    index = refresh_index(runs)
    assert index == runs / "index.html"
    page = index.read_text(encoding="utf-8")
    rows = rows_of(page)
    assert len(rows) == 5
    escaped = "&lt;b&gt;x&lt;/b&gt; &amp; 100%"
    assert rows[escaped][:4] == [
        "search",
        "finished",
        "darts2 reasons to doubt ita &lt;i&gt;b",  # without the elements around them
        "-",
    ]
    assert rows["set"][:4] == ["retrain-set", "failed", "1 networks", "-"]
    assert rows["set/unet"][:4] == [
        "retrain",
        "finished",
        "unet, camvid1 reason to doubt itdull.",
        "51.24",
    ]
    assert rows["odd"][:4] == ["retrain", "interrupted", "-", "-"]
    assert rows["damaged"][1] == "unreadable"
    assert "run.json is not a run&#39;s record" in rows["damaged"][2]
    assert "<b>x" not in page
    assert re.findall(r'<img src="(.*?)"', page) == [
        f"./%3Cb%3Ex%3C/b%3E%20%26%20100%25/figures/{name}.png" for name in ("trellis", "cell")
    ]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_run_is_listed_while_it_runs_and_as_what_an_error_makes_of_it(
    error, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs" / "earlier")

    def opened():
        return Run.create(
            tmp_path / "runs" / "new", kind="search", command=["x"], config={}, seed=0
        )

    with pytest.raises(error), listed(opened()):
        assert listed_states(tmp_path / "runs") == {"earlier": "finished", "new": "running"}
        raise error
    last = "interrupted" if error is KeyboardInterrupt else "failed"
    assert listed_states(tmp_path / "runs") == {"earlier": "finished", "new": last}
    (tmp_path / "runs/index.html").write_text("mine")
    with listed(Run.resume(tmp_path / "runs" / "new")) as run:
        run.finish()
    assert capsys.readouterr() == ("", "")  # the end of the command says so, once


def test_of_several_processes_the_first_one_alone_writes(tmp_path, monkeypatch):
    make_run(tmp_path / "run")
    monkeypatch.setattr(runs_index, "is_first_process", lambda: False)
    assert refresh_index(tmp_path) is None and not (tmp_path / "index.html").exists()


def test_another_ones_page_stays_and_a_folder_is_not_made(tmp_path, capsys):
    assert refresh_index(tmp_path / "none") is None and not (tmp_path / "none").exists()
    assert refresh_index(tmp_path) is None and not list(tmp_path.iterdir())  # no run is in it
    make_run(tmp_path / "run")
    (tmp_path / "index.html").write_text("mine")
    assert refresh_index(tmp_path) is None
    assert (tmp_path / "index.html").read_text() == "mine"
    assert "index.html was not written by autoseg, and stays as it is." in capsys.readouterr().err
    (tmp_path / "index.html").unlink()
    assert refresh_index(tmp_path) and refresh_index(tmp_path)  # its own it writes anew


@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT_CHROMIUM)
def test_it_shows_pictures_and_sorts_in_a_browser(runs):
    index = refresh_index(runs)
    with chromium(runs.parent / "profile") as browser:
        browser.open(index.as_uri(), width=390)
        assert browser.run("document.documentElement.scrollWidth") == 390
        name = "document.querySelector('tbody th a')"
        browser.run(f"{name}.textContent = 'retrain-synthetic/deeplabv3plus_resnet101-seed-0'")
        right, cell = f"{name}.getBoundingClientRect().right", f"{name}.closest('th')"
        assert browser.run(f"{right} <= {cell}.getBoundingClientRect().right")
        width = "[...document.images].map(image => (image.loading = 'eager', image.naturalWidth))"
        assert browser.run(width) == [1, 1]
        folded = "document.querySelector('details')"
        shown = f"{folded}.querySelector('p').checkVisibility()"
        assert not browser.run(shown)
        browser.run(f"{folded}.querySelector('summary').click()")
        assert browser.run(shown)
        browser.run("document.querySelectorAll('thead button')[4].click()")
        first = "document.querySelector('tbody tr').cells[0].textContent"
        assert browser.run(first) == "set/unet"
        assert browser.problems == []
