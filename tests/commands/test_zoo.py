"""`python -m autoseg.networks` against published counts, and the page in docs/ against the command.

MACs of large networks take most of the command's time. So every row of the page is compared in all
its other cells, and the rows of a few networks in all cells.
"""

import importlib
import io
import re
from pathlib import Path

import pandas as pd
import pytest

from autoseg.commands.zoo import NetworksRequest, collect_zoo
from autoseg.errors import UsageError
from autoseg.networks import ENCODERS, NETWORKS
from autoseg.networks.catalogue import ARCHITECTURE_CATALOGUE
from autoseg.reporting.zoo import zoo_markdown

command = importlib.import_module("autoseg.networks.__main__")
PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
PAGE_ARGUMENTS = ["--format", "markdown", "--out", "docs/networks.md"]
COMPARED = ["fcn_alexnet", "pspnet_resnet50", "icnet_pruned", "alexnet", "resnet18"]


def run_csv(capsys, *arguments):
    assert command.main([*arguments, "--format", "csv"]) == 0
    captured = capsys.readouterr()
    assert "networks" in captured.err
    return pd.read_csv(io.StringIO(captured.out)).set_index("name")


def rows_of(page):
    """Return every table row of a page: cells by heading, by the row's name."""
    rows = {}
    for block in re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE):
        heading, _, *lines = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        ]
        rows |= {cells[0]: dict(zip(heading, cells, strict=True)) for cells in lines}
    return rows


def without_macs(row):
    return {heading: cell for heading, cell in row.items() if not heading.startswith("MACs")}


def after(page, heading):
    return page.partition(f"## {heading}")[2]


# Parameters at a number of classes, and giga-MACs at a size: the networks' own releases, Auto-
# DeepLab's and torchvision's metadata, or an independent build; to the digits of the source.
@pytest.mark.parametrize(
    ("name", "num_classes", "size", "num_params", "num_params_training", "macs_g"),
    [
        ("fcn_alexnet", 21, (500, 500), 58_704_590, None, "21.424"),
        ("fcn_resnet50", 21, (520, 520), 32_957_013, 35_322_218, "142.726"),
        ("pspnet_resnet50", 19, (713, 713), 46_715_347, 49_080_038, "363.777"),
        ("icnet_pruned", 19, (1025, 2049), 6_699_987, 6_707_321, "29.812"),
        ("segnet_vgg16", 11, (360, 480), 29_449_355, None, "106.712"),
    ],
)
def test_counts_are_the_published_ones(
    capsys, name, num_classes, size, num_params, num_params_training, macs_g
):
    arguments = ["--num-classes", str(num_classes), "--size", *map(str, size)]
    row = run_csv(capsys, "--network", name, *arguments).loc[name]
    assert (row["kind"], row["num_classes"]) == ("network", num_classes)
    assert row["num_params"] == num_params
    if num_params_training is None:
        assert pd.isna(row["num_params_training"])
    else:
        assert row["num_params_training"] == num_params_training
    assert f"{row[f'macs_{size[0]}x{size[1]}'] / 1e9:.3f}" == macs_g


# torchvision's metadata (num_params and _ops), at 224 x 224 with 1000 classes.
@pytest.mark.parametrize(
    ("name", "num_params", "macs_g"),
    [
        ("alexnet", 61_100_840, "0.714"),
        ("vgg16_bn", 138_365_992, "15.470"),
        ("resnet18", 11_689_512, "1.814"),
        ("mobilenet_v2", 3_504_872, "0.301"),
    ],
)
def test_encoders_are_counted_with_their_classifier(capsys, name, num_params, macs_g):
    row = run_csv(capsys, "--network", name).loc[name]
    assert (row["kind"], row["num_classes"], row["num_params"]) == ("encoder", 1000, num_params)
    assert f"{row['macs_224x224'] / 1e9:.3f}" == macs_g
    heads = {"alexnet": 58_631_144, "vgg16_bn": 123_642_856, "resnet18": 513_000}
    heads["mobilenet_v2"] = 1_281_000 + 320 * 1280 + 2 * 1280  # and the 1x1 before it
    assert num_params - row["num_params_headless"] == heads[name]


def test_an_architecture_has_a_row_for_each_width():
    # Auto-DeepLab, table 2: 10.15, 21.62 and 44.42 M, and 79.74, 80.04 and 80.33 %.
    request = NetworksRequest(network=("autodeeplab_paper",))
    rows = collect_zoo(request, with_macs=False).networks
    assert [row.name for row in rows] == [f"autodeeplab_paper F{number}" for number in (20, 32, 48)]
    assert [f"{row.num_params / 1e6:.2f}" for row in rows] == ["10.15", "21.62", "44.42"]
    assert [row.scores[0].miou for row in rows] == [79.74, 80.04, 80.33]


@pytest.mark.slow
def test_the_page_is_what_the_command_would_write():
    request = NetworksRequest(format="markdown", out=Path("docs/networks.md"))
    fresh, stored = zoo_markdown(collect_zoo(request, with_macs=False)), PAGE.read_text()
    names = {*NETWORKS, *ENCODERS}
    for name, entries in ARCHITECTURE_CATALOGUE.items():
        names |= {f"{name} F{number}" for number in entries}
    assert set(rows_of(stored)) == names, "run python -m autoseg.networks as the page says"
    assert rows_of(fresh) == {name: without_macs(row) for name, row in rows_of(stored).items()}
    assert list(rows_of(fresh)) == list(rows_of(stored))
    assert fresh.split("\n\n## ")[0] == stored.split("\n\n## ")[0]
    assert after(fresh, "Cited scores") == after(stored, "Cited scores") != ""


def test_the_pages_rows_are_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    assert command.main([*PAGE_ARGUMENTS, "--network", *COMPARED]) == 0
    captured = capsys.readouterr()
    assert captured.out == "" and "wrote docs/networks.md" in captured.err
    written = rows_of((tmp_path / "docs" / "networks.md").read_text())
    stored = rows_of(PAGE.read_text())
    assert written == {name: stored[name] for name in COMPARED}
    assert sum(heading.startswith("MACs") for heading in written["icnet_pruned"]) == 2


@pytest.mark.nightly  # some rows of it are compared above
def test_the_whole_page_is_the_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    assert command.main(PAGE_ARGUMENTS) == 0
    assert (tmp_path / "docs" / "networks.md").read_text() == PAGE.read_text()


def test_the_page_names_no_folder_of_a_machine(tmp_path):
    assert not re.search(r"(?<![\w.])/(?:home|work|tmp|root|usr)\b", PAGE.read_text())
    request = NetworksRequest(num_classes=11, size=(8, 16), out=tmp_path / "zoo.md")
    assert request.command() == "python -m autoseg.networks --num-classes 11 --size 8 16"


def test_a_size_given_twice_is_one_column(capsys):
    table = run_csv(capsys, "--network", "unet", "--size", "16", "32", "16", "32", "32", "16")
    sizes = [name for name in table.columns if name.startswith("macs_")]
    assert sizes == ["macs_16x32", "macs_32x16"]
    # The same pixels, and every layer keeps the shape of the image.
    assert table.loc["unet", "macs_16x32"] == table.loc["unet", "macs_32x16"] > 0


def test_the_default_is_a_table_for_a_terminal(capsys):
    assert command.main(["--network", "unet", "--size", "16", "32"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^unet +U-Net +2015 +31,032,915 +- +0\.\d+ +-$", out, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--network", "icnet_prunned"],
            "unknown network 'icnet_prunned'; did you mean 'icnet_pruned'?",
        ),
        (["--num-classes", "0"], "--num-classes must be at least 1, not 0."),
        (
            ["--size", "512", "1024", "7"],
            "--size 512 1024 7: the height 7 has no width; give both in turn, for example "
            "--size 512 1024 1024 2048.",
        ),
        (["--size", "0", "64"], "--size must be from 1 to 65,536, not 0."),
        (
            ["--out", "nowhere/zoo.md"],
            "--out nowhere/zoo.md: the folder nowhere does not exist; make it first.",
        ),
    ],
)
def test_bad_requests(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=re.escape(message)):
        command.main(arguments)


def test_a_file_may_not_leave_out_all_sizes():
    message = "--size is empty; give height and width, for example 512 1024."
    with pytest.raises(UsageError, match=re.escape(message)):
        NetworksRequest(size=())
