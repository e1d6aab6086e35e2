"""docs/adding_operations.md, followed as a user would, and what happens without the import."""

import os
import re
from pathlib import Path

import pytest
import torch
from matplotlib.text import Text

from autoseg import evaluate, retrain, search, user_imports
from autoseg.architecture import OPERATIONS, Architecture, SearchSpace, sample_architecture
from autoseg.cost import count_macs
from autoseg.errors import FileError, UsageError
from autoseg.ops import build_operation
from autoseg.reporting import draw_cell
from autoseg.runs import load_record
from autoseg.trained import RetrainedNetwork, SearchRun

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("figures_of_one_pixel")]

PAGE = Path(__file__).parents[2] / "docs" / "adding_operations.md"
IMPORT = ["--import", "my_ops.py"]
DATA = ["--image-size", "64", "72", "--train-length", "8", "--crop-size", "64", "64"]
SMALL = ["--batch-size", "2", "--val-images", "1", *DATA]
SEARCH = ["--space", "my_space.toml", "--num-epochs", "1", "--arch-start-epoch", "0", *SMALL]
RETRAIN = ["--architecture", "runs/found/architecture.json", "--num-steps", "2"]
RETRAIN += ["--validate-every", "2", "--filter-multiplier", "4", *SMALL[:4], *DATA]


def block(language):
    """The page's only code in a language."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return text


def forget():
    """Be a process in which nothing was imported."""
    for name in [name for name, each in OPERATIONS.items() if each.build is not None]:
        del OPERATIONS[name]
    user_imports._imported.clear()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder in which the page was followed: search, then retrain."""
    folder = tmp_path_factory.mktemp("workplace")
    before = Path.cwd()
    os.chdir(folder)
    try:
        Path("my_ops.py").write_text(block("python"))
        Path("my_space.toml").write_text(block("toml"))
        assert search.main([*IMPORT, *SEARCH, "--out", "runs/found"]) == 0
        # Whatever so short a search found: let the operation be on an edge, at every stride.
        space = SearchSpace.load("my_space.toml")
        for seed in range(100):
            found = sample_architecture(space, torch.Generator().manual_seed(seed))
            if sum(edge.op == "strip_conv_7" for node in found.cell for edge in node) > 1:
                break
        found.save("runs/found/architecture.json")
        assert retrain.main([*IMPORT, *RETRAIN, "--out", "runs/trained"]) == 0
    finally:
        os.chdir(before)
        forget()
    return folder


@pytest.fixture
def inside(workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    yield workplace
    forget()


def test_a_run_notes_what_its_operations_came_from(inside):
    user_imports.import_for_user("my_ops.py")
    for folder in ("runs/found", "runs/trained", "runs/trained/searched"):
        (entry,) = load_record(Path(folder))["config"]["own_operations"]
        assert (entry["name"], entry["import"]) == ("strip_conv_7", "my_ops.py")
        assert re.fullmatch("[0-9a-f]{64}", entry["sha256"])
    assert "strip_conv_7" in SearchRun.open(Path("runs/found")).space.operations


def test_drawings_and_counters_know_it(inside):
    user_imports.import_for_user("my_ops.py")
    drawing = draw_cell(Architecture.load("runs/found/architecture.json"))
    assert "strip conv 7" in [text.get_text() for text in drawing.findobj(Text)]
    # Two convolutions of 7 taps; the first halves the width, the second the height.
    for stride, num_pixels in ((1, 2 * 9 * 13), (2, 9 * 7 + 5 * 7)):
        counted = count_macs(build_operation("strip_conv_7", 3, stride), (9, 13))
        assert counted.macs == 7 * 3 * 3 * num_pixels


@pytest.mark.parametrize(
    "command",
    [
        lambda: search.main(["--resume", "--out", "runs/found"]),
        lambda: retrain.main([*RETRAIN, "--out", "runs/other"]),
        lambda: retrain.main(["--resume", "--out", "runs/trained"]),
        lambda: evaluate.main(["runs/trained"]),
    ],
)
def test_no_command_runs_code_because_a_run_names_it(inside, command):
    folder = r"runs/(found|trained(/searched)?)"
    wanted = rf"{folder} was made with operations .* autoseg: strip_conv_7. Give --import my_ops.py"
    with pytest.raises(UsageError, match=wanted):
        command()
    assert "strip_conv_7" not in OPERATIONS
    assert not (inside / "runs/other").exists()


def test_a_space_or_an_architecture_alone_says_how_it_becomes_known(inside):
    remedy = r"after --import FILE.py; docs/adding_operations.md"
    with pytest.raises(UsageError, match=f"unknown operation 'strip_conv_7'.*{remedy}"):
        SearchSpace.load("my_space.toml")
    with pytest.raises(FileError, match=f"has operation 'strip_conv_7'.*{remedy}"):
        Architecture.load("runs/found/architecture.json")


def test_a_file_that_has_changed_is_refused_where_a_run_goes_on(inside, tmp_path):
    other = tmp_path / "my_ops.py"
    other.write_text(block("python").replace("7", "5").replace("strip_conv_5", "strip_conv_7"))
    again = ["--import", str(other), "--resume", "--out"]
    for command, folder in ((search, "runs/found"), (retrain, "runs/trained")):
        with pytest.raises(
            UsageError, match=rf"--resume: my_ops.py, .* since {folder} was started"
        ):
            command.main([*again, folder])
    with pytest.warns(UserWarning, match="the operation may be another one now"):
        RetrainedNetwork.open(Path("runs/trained"))


def test_a_finished_run_goes_on_and_a_network_is_scored_with_the_import(inside, capsys):
    assert search.main([*IMPORT, "--resume", "--out", "runs/found"]) == 0
    following = capsys.readouterr().out.splitlines()[-1]
    assert following.startswith("next: python -m autoseg.retrain")
    assert following.endswith("--import my_ops.py")
    assert evaluate.main([*IMPORT, "runs/trained"]) == 0
