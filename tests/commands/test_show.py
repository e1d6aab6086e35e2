"""A run in the terminal: what its record, its architecture and its folder hold."""

import pytest

from autoseg import show
from autoseg.architecture import Architecture
from autoseg.commands.show import describe, shows_blocks
from autoseg.errors import UsageError
from autoseg.runs import Run


@pytest.fixture
def runs(tmp_path):
    with Run.create(
        tmp_path / "found", kind="search", command=["python", "x", "a b"], config={}, seed=7
    ) as run:
        Architecture.load("autodeeplab_paper").save(run.folder / "architecture.json")
        for epoch, (loss, score) in enumerate([(2.5, None), (1.5, 0.25), (0.5, 0.5)], 1):
            run.log(step=10 * epoch, epoch=epoch, loss=loss, val_miou=score)
        run.update(results={"epoch": 3, "confidence": {"share": 0.25, "path": [4, 8]}})
        run.finish()
        with Run.create(
            tmp_path / "found" / "net\x1b[31m", kind="retrain", command=["y"], config={}, seed=0
        ) as below:
            below.update(results={"best_val_miou": 0.51239})
    return tmp_path


def test_a_run_shows_what_it_holds(runs, capsys):
    assert show.main([str(runs / "found")]) == 0
    out = capsys.readouterr().out
    told = dict(line.split(maxsplit=1) for line in out.splitlines() if line[:1].strip())
    assert told["state"].startswith("search, finished, 20")
    assert told["command"] == "python x 'a b'"
    assert (told["seed"], told["epoch"]) == ("7", "3")
    assert (told["confidence.share"], told["confidence.path"]) == ("0.2500", "4 8")
    assert str(Architecture.load("autodeeplab_paper")) in out
    assert "KiB  architecture.json" in out and "KiB  run.json" in out
    assert out.count("KiB  run.json") == 1  # that of the run below is the run below's
    assert r"net\x1b[31m" in out and "\x1b" not in out
    assert "0.5124" in out.splitlines()[-1]
    lines = out.splitlines()
    curve = lines.index("training loss, epoch 1 to 3, last 0.5")
    assert lines[curve + 1] == "2.5 |" + 6 * "█"
    assert lines[curve + 5] == "0.5 |" + 12 * "█" + 6 * "▁"
    scores = lines.index("validation mIoU (%), epoch 1 to 3, last 50")
    assert lines[scores + 5] == "25 |" + 6 * " " + 6 * "▁" + 6 * "█"
    assert not any("entropy" in line for line in lines)  # none was logged
    path = lines.index("stride of each layer")
    assert lines[path + 1] == " 4 | ● ● ● · · · · · · · · ·"
    assert lines[path + 4] == "32 | · · · · · · · · ● ● · ·"  # of 4 4 4 8 16 8 16 16 32 32 16 8


def test_a_terminal_of_ascii_gets_ascii(runs):
    assert shows_blocks("utf-8") and not shows_blocks("ascii") and not shows_blocks(None)
    drawn = describe(runs / "found", has_blocks=False)
    assert "2.5 |######" in drawn and drawn.isascii()


def test_a_folder_lists_its_runs(runs, capsys):
    assert show.main([str(runs)]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "kind", "state", "val", "mIoU", "started", "(UTC)"]
    assert first.split()[:4] == ["found", "search", "finished", "-"]
    assert second.split()[1] == "retrain" and second.split()[3] == "0.5124"


def test_no_run_says_how_to_get_one(tmp_path):
    with pytest.raises(UsageError, match=r"holds no run; start one with `python -m autoseg\.sear"):
        show.main([str(tmp_path)])
