"""The search loop: resuming equals never stopping, warm-up, halves, and what it logs."""

import dataclasses
import json

import pytest
import torch

from autoseg.architecture import Architecture, SearchSpace
from autoseg.data import build_dataset, split_half
from autoseg.errors import UsageError
from autoseg.runs import Run, seed_everything
from autoseg.strategies import Darts, SearchConfig, search
from autoseg.supernet import Supernet
from tests.training.test_loop import Flag, metrics

CONFIG = SearchConfig(
    num_epochs=3,
    arch_start_epoch=1,
    batch_size=2,
    crop_size=(32, 32),
    val_images=1,
    arch_lr=0.1,
    seed=1,
)
SPACE = dataclasses.replace(
    SearchSpace.load("autodeeplab"),
    num_layers=2,
    num_nodes=1,
    filter_multiplier=2,
    stem_channels=(3, 4, 5),
)


def run_search(run, *, stop=None, space=SPACE, config=CONFIG):
    seed_everything(config.seed)
    train_dataset, val_dataset = (
        build_dataset("synthetic", split=split, image_size=(48, 48), length=8)
        for split in ("train", "val")
    )
    supernet = Supernet(space, num_classes=train_dataset.num_classes)
    result = search(
        supernet,
        strategy_name="darts",
        run=run,
        config=config,
        train_dataset=train_dataset,
        val_dataset=val_dataset,
        device=torch.device("cpu"),
        stop=stop or Flag(),
    )
    return supernet, result


def new_run(folder):
    return Run.create(folder, kind="search", command=["test"], config={}, seed=1)


@pytest.fixture
def uninterrupted(tmp_path):
    with new_run(tmp_path / "whole") as run:
        return tmp_path / "whole", *run_search(run)


@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_stopping_and_resuming_gives_the_same_result_bit_for_bit(
    tmp_path, uninterrupted, stop_after
):
    whole, expected_net, expected = uninterrupted
    folder = tmp_path / "stopped"
    with new_run(folder) as run:
        _, result = run_search(run, stop=Flag(stop_after))
        assert (result.step, result.is_finished) == (stop_after, False)
    with Run.resume(folder) as run:
        net, result = run_search(run)
    assert result == expected
    state = expected_net.state_dict()
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert metrics(folder) == metrics(whole)


def test_alpha_and_beta_rest_during_the_warm_up(tmp_path):
    with new_run(tmp_path / "run") as run:
        seed_everything(CONFIG.seed)
        start = Supernet(SPACE, num_classes=12)
        net, _ = run_search(run, stop=Flag(2))  # one epoch of two steps
    assert torch.equal(net.alpha, start.alpha)
    assert torch.equal(net.beta, start.beta)
    with Run.resume(tmp_path / "run") as run:
        net, _ = run_search(run, stop=Flag(1))
    assert not torch.equal(net.alpha, start.alpha)
    assert not torch.equal(net.beta, start.beta)


def test_weights_and_architecture_see_disjoint_halves(tmp_path, monkeypatch):
    seen = {"weight_step": set(), "architecture_step": set()}
    dataset_item = type(build_dataset("synthetic", split="train")).__getitem__
    reads = []

    def record(self, index):
        reads.append(index)
        return dataset_item(self, index)

    monkeypatch.setattr(type(build_dataset("synthetic", split="train")), "__getitem__", record)
    for name in seen:
        step = getattr(Darts, name)

        def spy(self, *args, _name=name, _step=step, **options):
            seen[_name].update(reads)
            reads.clear()
            return _step(self, *args, **options)

        monkeypatch.setattr(Darts, name, spy)
    config = dataclasses.replace(CONFIG, num_epochs=2, arch_start_epoch=0)
    monkeypatch.setattr("autoseg.strategies.search_loop.validate", lambda *_a, **_o: FakeScore())
    with new_run(tmp_path / "run") as run:
        run_search(run, config=config)
    half_a, half_b = split_half(8, seed=CONFIG.seed)
    assert seen == {"weight_step": set(half_a), "architecture_step": set(half_b)}


class FakeScore:
    num_averaged = 1

    @property
    def plain(self):
        return self

    def mean_iou(self):
        return 0.5


def test_every_epoch_logs_what_a_person_needs(uninterrupted):
    folder, net, result = uninterrupted
    lines = metrics(folder)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    for line in lines:
        for name in ("loss", "val_miou", "alpha_entropy", "beta_entropy", "skip_share"):
            assert 0 <= line[name] < 5
    last = Architecture.from_dict(lines[-1]["architecture"])
    assert last == net.decode() == result.architecture
    assert last == Architecture.load(folder / "architecture.json")


def test_a_checkpoint_of_another_space_is_refused(tmp_path):
    with new_run(tmp_path / "run") as run:
        run_search(run, stop=Flag(1))
    other = dataclasses.replace(SPACE, num_nodes=2)
    with (
        pytest.raises(UsageError, match=r"space\.num_nodes 1, this run is 2"),
        Run.resume(tmp_path / "run") as run,
    ):
        run_search(run, space=other)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "failed"
