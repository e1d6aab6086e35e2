"""The latency table of a search: which one it takes, and what it says of it."""

import dataclasses
from pathlib import Path

import pytest
import torch

import search_spaces
from autoseg.architecture import SearchSpace
from autoseg.commands import latency
from autoseg.commands.latency import TABLE_NAME, run_latency, with_latency_table
from autoseg.config import RETRAIN_PRESETS, SearchConfig
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.pricing import LatencyTable, Machine
from autoseg.requests import LatencyRequest, SearchRequest
from autoseg.strategies import SearchTask
from autoseg.strategies.costs import networks_of
from tests.pricing.enumeration import table_of

COMMAND = (
    "python -m autoseg.latency --space autodeeplab --preset tiny --size 48 64 --num-classes 12 "
    "--in-channels 3 --out latency.json"
)
TASK = SearchTask(
    space=SearchSpace.load("autodeeplab", preset="tiny"),
    config=SearchConfig(),
    train_dataset=build_dataset("synthetic", split="train", image_size=(48, 64), length=4),
    val_dataset=build_dataset("synthetic", split="val", image_size=(48, 64), length=4),
    device=torch.device("cpu"),
    retrain_sizes=RETRAIN_PRESETS["tiny"],
)


def request_of(**changes):
    return SearchRequest(preset="tiny", **changes)


@pytest.fixture(scope="module")
def table():
    return table_of(networks_of(TASK))


def test_without_a_table_the_command_that_measures_one_is_given(tmp_path):
    assert with_latency_table(TASK, request_of(), tmp_path) is TASK
    for asked in ({"max_latency": "30ms"}, {"strategy": "nsga2", "front_cost": "latency"}):
        with pytest.raises(UsageError) as refusal:
            with_latency_table(TASK, request_of(**asked), tmp_path)
        assert str(refusal.value).endswith(f"measure one there with\n{COMMAND}")


def test_a_table_that_nothing_reads_or_of_other_networks_is_refused(table, tmp_path):
    path = tmp_path / "latency.json"
    with pytest.raises(UsageError, match=r"latency\.json: nothing reads it; give --max-latency"):
        with_latency_table(TASK, request_of(latency_table=path), tmp_path)
    networks = dataclasses.replace(table.networks, num_classes=19)
    table_of(networks).write(path)
    asked = request_of(latency_weight=1.0, latency_target="30ms", latency_table=path)
    with pytest.raises(UsageError) as refusal:
        with_latency_table(TASK, asked, tmp_path)
    assert str(refusal.value) == (
        f"--latency-table {path}: it is of other networks than those of this search: num_classes "
        f"19, not 12. Measure one of these with\n{COMMAND}"
    )


def test_another_machine_is_named_and_a_resumed_search_has_its_own_copy(table, tmp_path, capsys):
    table.write(tmp_path / TABLE_NAME)
    asked = request_of(max_latency="30ms", latency_table=tmp_path / "gone.json", resume=True)
    task = with_latency_table(TASK, asked, tmp_path)
    assert task.latency_table == table
    here = Machine.here(TASK.device)
    assert (
        f"warning: the latency table is of another machine than this one (processor Some CPU, "
        f"there {here.processor}" in capsys.readouterr().err
    )
    dataclasses.replace(table, machine=here).write(tmp_path / TABLE_NAME)
    with_latency_table(TASK, asked, tmp_path)
    assert "warning" not in capsys.readouterr().err


def test_what_is_measured_is_what_the_search_asks_for(table, tmp_path, monkeypatch):
    before, seen = torch.get_num_threads(), []

    def measured(networks, device):
        seen.append(torch.get_num_threads())
        return table_of(networks)

    monkeypatch.setattr(latency, "measure_table", measured)
    out = tmp_path / "latency.json"
    told = run_latency(LatencyRequest(size=(48, 64), out=out, device="cpu", threads=before + 1))
    assert (seen, torch.get_num_threads()) == ([before + 1], before)
    assert LatencyTable.load(out).networks.differences(networks_of(TASK)) == []
    assert told.startswith(f"wrote {out}: {len(table.parts)} parts\nThe fastest architecture takes")
    with pytest.raises(UsageError, match="networks of a cell space have no prices"):
        run_latency(LatencyRequest(space="darts_cells", out=out))


def test_a_table_is_not_written_over_its_space(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = Path(search_spaces.__file__).with_name("autodeeplab.toml").read_text()
    Path("mine.toml").write_text(shipped)
    with pytest.raises(UsageError, match=r"mine\.toml would replace the input mine\.toml; name an"):
        run_latency(LatencyRequest(space="mine.toml", device="cpu", out=Path("mine.toml")))
    assert Path("mine.toml").read_text() == shipped
