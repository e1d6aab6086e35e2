"""The search loop: resuming equals never stopping, warm-up, halves, and what it logs."""

import dataclasses
import itertools
import json

import pytest
import torch

from autoseg.architecture import Architecture, SearchSpace
from autoseg.config import SearchConfig
from autoseg.data import build_dataset, split_half
from autoseg.errors import UsageError
from autoseg.runs import Run, save_checkpoint, seed_everything
from autoseg.strategies import (
    Darts,
    DartsSearch,
    SearchTask,
    darts,
    darts_search,
    search,
    search_loop,
)
from autoseg.supernet import Supernet
from autoseg.training import DivergedError, ValidationScore, waiting
from tests.data.unlabelled import Unlabelled
from tests.training.test_loop import Flag, metrics

CONFIG = SearchConfig(
    num_epochs=3,
    arch_start_epoch=1,
    batch_size=2,
    crop_size=(32, 32),
    val_images=1,
    val_share=1,  # after every epoch
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


def run_search(run, *, stop=None, space=SPACE, config=CONFIG, spoil=None, val_void=False):
    seed_everything(config.seed)
    train_dataset, val_dataset = (
        build_dataset("synthetic", split=split, image_size=(48, 48), length=8)
        for split in ("train", "val")
    )
    if val_void:
        val_dataset = Unlabelled(val_dataset, range(8))
    task = SearchTask(
        space=space,
        config=config,
        train_dataset=train_dataset,
        val_dataset=val_dataset,
        device=torch.device("cpu"),
    )
    strategy = DartsSearch(task)
    if spoil is not None:
        spoil(strategy.supernet)
    result = search(strategy, task, strategy_name="darts", run=run, stop=stop or Flag())
    return strategy.supernet, result


def new_run(folder):
    return Run.create(folder, kind="search", command=["test"], config={}, seed=1)


@pytest.fixture
def uninterrupted(tmp_path):
    with new_run(tmp_path / "whole") as run:
        return tmp_path / "whole", *run_search(run)


def test_a_search_that_collapses_says_so(tmp_path):
    space = dataclasses.replace(SPACE, operations=("none", "skip_connect"))
    with new_run(tmp_path / "run") as run:
        _, result = run_search(run, space=space)
    doubt = result.report.doubts[-1]
    assert doubt.startswith("The search has collapsed") and result.report.text.endswith(doubt)


# At an epoch's end and inside one; `contract.py` cuts at every step.
@pytest.mark.parametrize("stop_after", [2, 3])
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


def test_reading_losses_rarely_changes_nothing(tmp_path, uninterrupted, monkeypatch):
    whole, expected_net, expected = uninterrupted
    monkeypatch.setattr(search_loop, "steps_between_reads", lambda device: 50)
    with new_run(tmp_path / "rare") as run:
        run_search(run, stop=Flag(3))
    with Run.resume(tmp_path / "rare") as run:
        net, result = run_search(run)
    assert result == expected
    assert all(map(torch.equal, net.parameters(), expected_net.parameters()))
    assert metrics(tmp_path / "rare") == metrics(whole)


@pytest.mark.parametrize("steps_between_reads", [1, 50])
@pytest.mark.parametrize(
    ("bad_loss", "stop_after", "message"),
    # One loss in each of the two warm-up steps, then two a step: the fifth is step 3's first.
    [
        (5, None, r"weights' \(--weight-lr\) loss is nan at step 3, with learning rate 0\.013\."),
        (4, None, r"architecture's \(--arch-lr\) loss is nan at step 2, with learning rate 0.1\."),
        (4, 3, r"architecture's \(--arch-lr\) loss is nan at step 2"),
    ],
)
def test_a_loss_that_is_not_finite_stops_the_search_and_nothing_is_saved(
    tmp_path, monkeypatch, steps_between_reads, bad_loss, stop_after, message
):
    numbers = itertools.count(1)
    loss_of = darts.segmentation_loss

    def sometimes_bad(*args, **options):
        loss = loss_of(*args, **options)
        return loss * float("nan") if next(numbers) == bad_loss else loss

    monkeypatch.setattr(darts, "segmentation_loss", sometimes_bad)
    monkeypatch.setattr(search_loop, "steps_between_reads", lambda device: steps_between_reads)
    folder = tmp_path / "run"
    with pytest.raises(DivergedError, match=message), new_run(folder) as run:
        run_search(run, stop=Flag(stop_after))
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-00000002.pt"]
    assert [line["step"] for line in metrics(folder)] == [2]
    saved = Architecture.load(folder / "architecture.json")
    assert saved == Architecture.from_dict(metrics(folder)[0]["architecture"])


def test_a_validation_that_gives_nan_is_a_divergence_and_nothing_is_saved(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    save = Run.save_checkpoint

    def spoil_after_saving(supernet):
        norm = next(m for m in supernet.modules() if isinstance(m, torch.nn.BatchNorm2d))

        def save_then_spoil(self, *args, **options):
            save(self, *args, **options)
            norm.running_mean.fill_(float("nan"))  # which the losses of a training do not read

        monkeypatch.setattr(Run, "save_checkpoint", save_then_spoil)

    with new_run(folder) as run:
        rule = r"the network's output holds NaN at the validation after step 4\. Checkpoints from "
        with pytest.raises(DivergedError, match=rule):
            run_search(run, spoil=spoil_after_saving)
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-00000002.pt"]
    assert [line["step"] for line in metrics(folder)] == [2]


def test_a_gradient_that_is_nan_ends_the_search_before_anything_is_saved(tmp_path):
    steps = itertools.count(1)

    def spoil_second_step(supernet):
        weight = supernet.weight_parameters()[0]
        weight.register_hook(lambda grad: grad * float("nan") if next(steps) == 2 else grad)

    rule = r"holds NaN or infinity after step 2, though the loss was finite"
    with pytest.raises(DivergedError, match=rule), new_run(tmp_path / "run") as run:
        run_search(run, spoil=spoil_second_step)
    assert metrics(run.folder) == []
    assert not [*run.folder.glob("checkpoint-*"), *run.folder.glob("architecture.json")]


def test_a_val_split_without_labels_is_no_end_of_a_search(tmp_path):
    with (
        pytest.warns(UserWarning, match="no pixel of the val split of synthetic is labelled"),
        new_run(tmp_path / "run") as run,
    ):
        _, result = run_search(run, val_void=True)
    assert result.is_finished
    assert [line["val_miou"] for line in metrics(tmp_path / "run")] == [None] * 3


def test_a_checkpoint_with_a_foreign_state_falls_back(tmp_path, uninterrupted):
    _, expected_net, _ = uninterrupted
    folder = tmp_path / "run"
    with new_run(folder) as run:
        run_search(run, stop=Flag(3))
    newest = torch.load(folder / "checkpoint-00000003.pt", weights_only=True)
    assert newest["step"] == 3
    save_checkpoint(
        folder,
        {**newest["state"], "strategy": {"supernet": {}}},
        identity=newest["identity"],
        step=3,
        metrics_bytes=newest["metrics_bytes"],
    )
    rule = r"00000003\.pt is not a checkpoint of this run: .*; resuming from .*00000002\.pt instead"
    with pytest.warns(UserWarning, match=rule), Run.resume(folder) as run:
        net, _ = run_search(run)
    assert all(map(torch.equal, net.parameters(), expected_net.parameters()))


def test_a_checkpoint_from_before_strategies_counted_their_steps_goes_on(tmp_path, uninterrupted):
    whole, expected_net, expected = uninterrupted
    folder = tmp_path / "run"
    with new_run(folder) as run:
        run_search(run, stop=Flag(4))  # two epochs, of which one was the warm-up
    newest = torch.load(folder / "checkpoint-00000004.pt", weights_only=True)
    state, settings = newest["state"], newest["identity"]["settings"]
    assert {"budget", "arch_steps", "num_samples"}.isdisjoint(settings)  # as it was then
    strategy = {
        name: state["strategy"][name] for name in ("supernet", "weight_optimizer", "arch_optimizer")
    }
    save_checkpoint(
        folder,
        {
            **{name: state[name] for name in ("rng", "step", "loss_sum")},
            "strategy": strategy,
            "decodes": state["strategy"]["decodes"],
        },
        identity=newest["identity"],
        step=4,
        metrics_bytes=newest["metrics_bytes"],
    )
    with Run.resume(folder) as run:
        net, result = run_search(run)
    assert result == expected
    assert all(map(torch.equal, net.parameters(), expected_net.parameters()))
    assert metrics(folder) == metrics(whole)


def test_a_batch_of_one_is_searched(tmp_path):
    config = dataclasses.replace(CONFIG, batch_size=1, num_epochs=2)
    with new_run(tmp_path / "run") as run:
        net, result = run_search(run, config=config)
    assert result.is_finished
    assert result.step == 8  # of a half of four images
    assert all(parameter.isfinite().all() for parameter in net.parameters())
    # Image pooling neither uses nor updates statistics of single values.
    pooling = {name: t for name, t in net.state_dict().items() if "pooling.project.1" in name}
    assert all(tensor == 0 for name, tensor in pooling.items() if "num_batches" in name)
    assert [line["epoch"] for line in metrics(tmp_path / "run")] == [1, 2]


def test_slow_loading_is_said_once_while_the_search_goes_on(tmp_path, monkeypatch, capsys):
    # Of 8 images the first two epochs give 4 each, which fills the cache, and nothing is counted.
    monkeypatch.setattr(waiting, "_MIN_BATCHES", 1)
    monkeypatch.setattr(waiting, "MAX_SHARE", 0.0)
    with new_run(tmp_path / "run") as run:
        run_search(run, config=dataclasses.replace(CONFIG, num_epochs=4))
    said = capsys.readouterr().err
    before, _, behind = said.partition("% of the time went by waiting for images")
    assert "epoch 3" in before
    assert "epoch 4" not in before
    assert "epoch 4" in behind
    assert "% of the time" not in behind


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
    dataset_type = type(build_dataset("synthetic", split="train"))
    dataset_item, batches_of = dataset_type.__getitem__, SearchTask.batches
    reads, read_for, batches = [], {"a": set(), "b": set()}, {"a": [], "b": []}

    def record(self, index):
        reads.append(index)
        return dataset_item(self, index)

    def record_half(self, half, **options):
        for batch in batches_of(self, half, **options):
            read_for[half].update(reads)
            reads.clear()
            batches[half].append(batch[0])
            yield batch

    def record_step(name, half):
        step = getattr(Darts, name)

        def spy(self, images, target):
            assert images is batches[half][-1]
            return step(self, images, target)

        monkeypatch.setattr(Darts, name, spy)

    monkeypatch.setattr(dataset_type, "__getitem__", record)
    monkeypatch.setattr(SearchTask, "batches", record_half)
    score = ValidationScore(mean_iou=0.5, pixel_accuracy=0.5, num_averaged=1, doubt=None)
    monkeypatch.setattr(darts_search, "validate", lambda *_a, **_o: score)
    monkeypatch.setattr(darts_search, "labelled_indices", lambda *_: [0])  # reads nothing
    record_step("weight_step", "a")
    record_step("architecture_step", "b")
    config = dataclasses.replace(CONFIG, num_epochs=2, arch_start_epoch=0)
    with new_run(tmp_path / "run") as run:
        run_search(run, config=config)
    half_a, half_b = split_half(8, seed=CONFIG.seed)
    assert read_for == {"a": set(half_a), "b": set(half_b)}
    assert [len(images) for images in batches.values()] == [4, 4]


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


def test_how_sure_a_decode_is_is_logged_and_said_at_the_end(uninterrupted):
    folder, _, result = uninterrupted
    lines = metrics(folder)
    warm_up, second, third = (line["confidence"] for line in lines)
    assert warm_up["agreement"] is None
    assert [epoch["agreement"]["num_decodes"] for epoch in (second, third)] == [1, 2]
    assert "The path is one of the 2 of 5 that a uniform beta decodes." in warm_up["doubts"]
    assert result.report.text.count("nats ahead of") == 1
    # What two nodes keep in three epochs may well be a collapse, which is said behind them.
    assert list(result.report.doubts)[: len(third["doubts"])] == third["doubts"]
    assert all(f"- {doubt}" in result.report.text for doubt in third["doubts"])


def test_a_checkpoint_of_another_space_is_refused(tmp_path):
    with new_run(tmp_path / "run") as run:
        run_search(run, stop=Flag(1))
    other = dataclasses.replace(SPACE, num_nodes=2)
    with (
        pytest.raises(UsageError, match=r"space\.num_nodes was 1, and is 2 now"),
        Run.resume(tmp_path / "run") as run,
    ):
        run_search(run, space=other)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "failed"
