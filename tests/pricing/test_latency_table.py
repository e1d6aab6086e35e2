"""Latency tables: whose times they are, how they are measured, and what is read from a file."""

import dataclasses
import itertools
import random
from collections import defaultdict

import pytest
import torch

from autoseg.architecture import sample_architecture
from autoseg.cost.recording import record_call, record_forward
from autoseg.errors import FileError, UsageError
from autoseg.networks import build_network
from autoseg.networks.weightless import weightless
from autoseg.pricing import LatencyTable, PricedNetworks, measure_table, measuring
from autoseg.pricing.parts import assemble, parts_of
from tests.fuzzing import as_json, damaged_json, require_clean_refusals
from tests.pricing.enumeration import space_of, table_of

SIZES = {"num_classes": 7, "filter_multiplier": 5, "width": 0.3, "in_channels": 4}
NETWORKS = PricedNetworks(
    space=space_of(
        num_layers=3,
        num_levels=2,
        num_nodes=2,
        operations=("none", "skip_connect", "avg_pool_3x3"),
    ),
    image_size=(43, 70),
    **SIZES,
)
ONLY_VIEWS = ("aten.chunk", "aten.split", "aten.view", "aten.slice")


@pytest.fixture(scope="module")
def table():
    return table_of(NETWORKS)


def test_the_parts_of_a_network_call_the_operators_that_the_network_calls():
    # Each operator at its sizes has a random price: equal sums mean equal operators.
    generator = random.Random(0)
    price = defaultdict(lambda: generator.randrange(10**6, 10**9))

    def cost_of_calls(recording):
        return sum(
            price[call.name, str(call.arguments), call.output_shape]
            for call in recording.operators
            if not call.name.startswith(ONLY_VIEWS)
        )

    with weightless():
        costs = {
            part.name: cost_of_calls(record_call(part.build(), torch.zeros(part.input_shape)))
            for part in parts_of(NETWORKS)
        }
    prices = assemble(NETWORKS, lambda part: costs[part.name], unit="ns")
    draws = torch.Generator().manual_seed(0)
    for _ in range(4):
        architecture = sample_architecture(NETWORKS.space, draws)
        with weightless():
            network = build_network(architecture, **SIZES)
        whole = record_forward(network, NETWORKS.image_size, batch_size=1, device="meta")
        assert prices.cost(architecture) == cost_of_calls(whole)


def test_every_part_is_timed_alone_and_random_numbers_stay(monkeypatch):
    monkeypatch.setattr(measuring, "reference_operation", lambda device: lambda: None)
    networks = dataclasses.replace(
        NETWORKS,
        space=space_of(num_layers=1, num_levels=1, num_nodes=1, operations=("skip_connect",)),
    )
    readings = itertools.count()
    before = torch.get_rng_state()
    table = measure_table(
        networks, device=torch.device("cpu"), min_runs=1, clock=lambda: next(readings) / 20
    )
    assert torch.equal(before, torch.get_rng_state())
    assert list(table.parts) == [part.name for part in parts_of(networks)]
    # Two readings of the clock belong to each call, 50 ms apart.
    assert [time.median_ms for time in table.parts.values()] == pytest.approx([50.0] * 8)
    assert table.num_unsteady == 0
    assert table.machine.num_threads == torch.get_num_threads()
    architecture = sample_architecture(networks.space, torch.Generator().manual_seed(0))
    # Stem, decoder, head, early map; two inputs, sums and two operations of the one cell.
    assert table.prices().cost(architecture) == pytest.approx(9 * 50e6)


def test_a_table_survives_its_file(table, tmp_path):
    table.write(tmp_path / "latency.json")
    assert LatencyTable.load(tmp_path / "latency.json") == table


def test_other_networks_and_machines_are_told_apart(table):
    other = dataclasses.replace(
        NETWORKS,
        image_size=(43, 71),
        space=dataclasses.replace(NETWORKS.space, num_layers=5, filter_multiplier=9),
    )
    assert table.networks.differences(other) == [
        "space.num_layers 3, not 5",
        "image_size (43, 70), not (43, 71)",
    ]
    slower = dataclasses.replace(table.machine, num_threads=1)
    assert table.machine.differences(slower) == ["num_threads 2, there 1"]
    assert str(table.machine) == "Some CPU (cpu, threads: 2, torch 2.11.0)"


@pytest.mark.fuzz
def test_damaged_tables_are_refused_by_name(table, memory_folder):
    path = memory_folder / "latency.json"
    contents = damaged_json(table.to_dict()).map(as_json)
    require_clean_refusals(LatencyTable.load, path, contents)


def test_a_table_that_lacks_a_part_says_which(table, tmp_path):
    path = tmp_path / "latency.json"
    dataclasses.replace(
        table, parts={name: time for name, time in table.parts.items() if name != "decoder"}
    ).write(path)
    with pytest.raises(FileError) as refusal:
        LatencyTable.load(path)
    assert str(refusal.value) == (
        f"{path} is not a latency table that this autoseg can read: it has no part 'decoder'; "
        "measure it again with `python -m autoseg.latency`."
    )
    with pytest.raises(UsageError, match=r"latency table .*none\.json .*No such file"):
        LatencyTable.load(tmp_path / "none.json")
