"""The example's script runs from a zip to a table, and its page and the README say what it does."""

import re
import runpy
import zipfile
from pathlib import Path

import numpy as np
import pytest

from autoseg import __main__ as program
from autoseg.errors import FileError, UsageError
from tests.data.folder.drawing import grey, save

pytestmark = pytest.mark.usefixtures("figures_of_one_pixel")

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples/from_zip.py"
SIZE = (64, 72)


@pytest.fixture
def script():
    return runpy.run_path(str(SCRIPT))


def write_zip(place: Path, top: str) -> Path:
    """Write a zip of grey images with 0/255 masks below a folder, as macOS packs it."""
    path = place / "my_images.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(5):
            labels = np.zeros(SIZE, np.uint8)
            labels[:, number * 8 : 40] = 255
            for kind, pixels in (("images", grey(number, SIZE)), ("masks", labels)):
                picture = save(place / "drawn.png", pixels)
                file.write(picture, f"{top}{kind}/cell_{number}.png")
                file.writestr(f"__MACOSX/{top}{kind}/._cell_{number}.png", b"shadow")
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("no_warm_up")
def test_from_a_zip_to_a_table(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # One of the networks that are trained beside the searched one; tests/commands has all of them.
    monkeypatch.setattr("autoseg.commands.retrain_plan.REFERENCES", ("icnet_resnet50",))
    assert script["main"]([str(write_zip(tmp_path, "")), "--trial"]) == 0
    table = (tmp_path / "results/compare/compare.md").read_text()
    for name in ("searched", "icnet_resnet50"):
        assert name in table
    card = (tmp_path / "dataset-card/card.md").read_text()
    assert "| train | 4      | 64 x 72        | 1        | 0 " in card
    assert "foreground" in card
    printed = capsys.readouterr().out
    assert "\n$ python -m autoseg.search --dataset folder --data-root my_images --preset" in printed


def linked(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("../outside.png", b"x", r"'\.\./outside\.png' leads out of the folder"),
        ("images/../../outside.png", b"x", r"leads out of the folder"),
        ("/outside.png", b"x", r"'/outside\.png' leads out of the folder"),
        ("images\\..\\..\\outside.png", b"x", r"leads out of the folder"),
        ("C:/outside.png", b"x", r"'C:/outside\.png' leads out of the folder"),
        (linked("images/a.png"), b"/etc/passwd", r"'images/a\.png' is a link; pack the file"),
        ("images/a.bmp", bytes(220 * 2**20), r"would unpack to 230,686,720, more than 200 times"),
    ],
)
def test_a_zip_that_would_do_harm_is_refused_before_it_is_unpacked(
    script, tmp_path, monkeypatch, name, content, message
):
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    with zipfile.ZipFile("my_images.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr(name, content)
    with pytest.raises(FileError, match=rf"^my_images\.zip.*{message}"):
        script["unpack"](Path("my_images.zip"))
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", "my_images.zip"]


def typed(page: str) -> list[str]:
    """List the commands of a text of Markdown, without comments and without double spaces."""
    lines = re.findall(r"^python -m autoseg\.(.*)$", page, flags=re.MULTILINE)
    return [" ".join(line.split("#")[0].split()) for line in lines]


@pytest.mark.parametrize(("page", "head"), [("examples/README.md", "# "), ("README.md", "## On y")])
def test_pages_show_the_commands_that_are_run(script, page, head):
    section = (ROOT / page).read_text(encoding="utf-8").split(head, 1)[1]
    commands = [command.format(folder="my_images") for command in script["COMMANDS"]]
    assert typed(section)[: len(commands)] == commands


def test_a_folder_in_the_zip_is_the_images_folder(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_zip(tmp_path, "cells 2024/")
    asked = []
    # A card with faults ends the script.
    monkeypatch.setitem(script["main"].__globals__, "run", lambda words: asked.append(words) or 1)
    assert script["main"]([str(path)]) == 1
    assert asked == [["data", "my_images/cells 2024"]]
    with pytest.raises(UsageError, match="my_images exists already; move it away"):
        script["main"]([str(path)])
    with pytest.raises(UsageError, match=r"none.zip is no file"):
        script["main"](["none.zip"])
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(FileError, match=r"text.zip is not a zip archive: File is not a zip file"):
        script["main"](["text.zip"])


def test_its_commands_are_the_programs(script):
    assert {command.split()[0] for command in script["COMMANDS"]} <= set(program.COMMANDS)
