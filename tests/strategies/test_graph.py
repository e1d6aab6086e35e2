"""The captured step against the step itself; all but the capture without a GPU."""

import contextlib
import dataclasses

import pytest
import torch

from autoseg.strategies import Darts, StepLosses
from autoseg.strategies.graph import (
    NUM_EAGER_STEPS,
    CudaRecorder,
    GraphedStep,
    StaticBatch,
)
from autoseg.training import PendingLosses
from tests.strategies.test_darts import CONFIG, small_supernet
from tests.strategies.watching import HostReads

CPU = torch.device("cpu")


class Rerunner:
    """Does what a recorder promises, by running the function again at each replay."""

    def __init__(self):
        self.warm_ups = self.records = self.replays = 0

    def warm_up(self, function):
        self.warm_ups += 1
        return function()

    def record(self, function):
        self.records += 1
        result = StepLosses(torch.zeros((), dtype=torch.float64), torch.zeros(()).double())

        def replay():
            self.replays += 1
            for fixed, value in zip(result, function(), strict=True):
                if value is not None:
                    fixed.copy_(value)

        return result, replay


def batches(number, *, dtype=torch.float64, size=(48, 40)):
    """Give (images, target, images, target), as often as asked."""
    generator = torch.Generator().manual_seed(7)
    for _ in range(number):
        batch = []
        for _ in "ab":
            batch.append(torch.randn(2, 3, *size, generator=generator, dtype=dtype))
            batch.append(torch.randint(3, (2, *size), generator=generator))
        yield batch


def test_a_static_batch_keeps_its_addresses():
    first, second = batches(2)
    static = StaticBatch(first, device=CPU)
    before = [tensor.data_ptr() for tensor in static.tensors]
    for batch in (first, second):
        static.copy_(batch)
        assert [tensor.data_ptr() for tensor in static.tensors] == before
        assert all(map(torch.equal, static.tensors, batch))
        # Copies: what happens to the batch later does not reach them.
        assert not {tensor.data_ptr() for tensor in batch} & set(before)


def test_another_shape_is_refused_with_both():
    static = StaticBatch([torch.zeros(2, 3, 8, 6)], device=CPU)
    message = r"float32 \(1, 3, 8, 6\) was given, but the first one had float32 \(2, 3, 8, 6\)"
    with pytest.raises(ValueError, match=message):
        static.copy_([torch.zeros(1, 3, 8, 6)])
    with pytest.raises(ValueError, match=r"float64 .* had float32"):
        static.copy_([torch.zeros(2, 3, 8, 6, dtype=torch.float64)])
    with pytest.raises(ValueError, match="--no-cuda-graph"):
        static.copy_([])


def test_steps_run_then_are_recorded_once_then_replayed():
    recorder, seen = Rerunner(), []

    def step(batch):
        seen.append((batch.tolist(), batch.data_ptr()))
        return StepLosses(batch.sum(), batch.max())

    graphed = GraphedStep(step, device=CPU, recorder=recorder)
    results = []
    for number in range(6):
        losses = graphed(torch.tensor([number, 1.0]).double())
        results.append(losses)
        assert losses.weights == number + 1
    assert (recorder.warm_ups, recorder.records) == (NUM_EAGER_STEPS, 1)
    assert recorder.replays == 6 - NUM_EAGER_STEPS
    # Every batch was seen once, at one address, and replays write to the same result.
    assert [values for values, _ in seen] == [[number, 1.0] for number in range(6)]
    assert len({address for _, address in seen}) == 1
    assert results[-1] is results[-2]


def test_pending_losses_survive_the_next_replay():
    graphed = GraphedStep(
        lambda batch: StepLosses(batch.sum(), batch.max()), device=CPU, recorder=Rerunner()
    )
    losses = PendingLosses()
    for step in range(6):
        result = graphed(torch.tensor([step, 1.0]).double())
        losses.add(result.weights, step=step, learning_rate=0.1, what="test")
    assert losses.read() == {"test": [1, 2, 3, 4, 5, 6]}


def test_the_graphed_search_step_equals_the_eager_one_bit_for_bit():
    strategies = [Darts(small_supernet(), CONFIG, ignore_index=255, device=CPU) for _ in range(2)]
    graphed = GraphedStep(strategies[0]._half_steps, device=CPU, recorder=Rerunner())
    for batch in batches(6):
        # To the same place, as `step` does on a GPU.
        strategies[0]._weight_lr.fill_(strategies[0].weight_lr(0.5))
        actual = graphed(*batch)
        expected = strategies[1].step(tuple(batch[:2]), tuple(batch[2:]), progress=0.5)
        assert all(map(torch.equal, actual, expected))
    states = [strategy.supernet.state_dict() for strategy in strategies]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_loss_clipping_and_optimizers_read_no_value():
    # One parameter of each group in place of a supernet, whose own test is beside it.
    strategy = Darts(
        small_supernet(),
        dataclasses.replace(CONFIG, gradient_clip=1.0),
        ignore_index=255,
        device=CPU,
    )
    net = strategy.supernet

    def forward(images):
        return net.beta.sum() * (net.alpha.mean() + images * net.stem.conv1[0].weight.sum())

    net.forward = forward
    (batch,) = batches(1)
    strategy.step(tuple(batch[:2]), tuple(batch[2:]), progress=0.0)
    with HostReads() as reads:
        losses = strategy.step(tuple(batch[:2]), tuple(batch[2:]), progress=0.5)
    assert reads.found == []
    with HostReads() as reads:
        losses.weights.item()
    assert reads.found == ["a value is read (.item(), bool, float)"]


def test_only_a_gpu_records():
    with pytest.raises(ValueError, match="cpu has no CUDA graphs"):
        CudaRecorder(CPU)


def test_a_failed_capture_says_how_to_do_without(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream: contextlib.nullcontext())

    def fail():
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted") as error:
        CudaRecorder(torch.device("cuda", 0)).record(fail)
    assert "--no-cuda-graph" in error.value.__notes__[0]


def test_warming_up_waits_for_earlier_work_and_later_work_waits_for_it(monkeypatch):
    log = []

    class Stream:
        def __init__(self, name):
            self.name = name

        def wait_stream(self, other):
            log.append(f"{self.name} waits for {other.name}")

    @contextlib.contextmanager
    def stream(chosen):
        log.append(f"on {chosen.name}")
        yield
        log.append("done")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("side"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("main"))
    monkeypatch.setattr(torch.cuda, "stream", stream)
    assert CudaRecorder(torch.device("cuda", 0)).warm_up(lambda: log.append("run") or 7) == 7
    assert log == ["side waits for main", "on side", "run", "done", "main waits for side"]


@pytest.mark.gpu
@pytest.mark.parametrize("recompute_cells", [False, True])
def test_graph_and_eager_steps_agree_on_a_gpu(recompute_cells):
    device = torch.device("cuda", 0)
    strategies = []
    for uses_graph in (True, False):
        net = small_supernet().float().to(device)
        net.recompute_cells = recompute_cells
        config = dataclasses.replace(
            CONFIG, gradient_clip=5.0, weight_lr=0.01, precision="fp32", cuda_graph=uses_graph
        )
        strategies.append(Darts(net, config, ignore_index=255, device=device))
    # The weights alone, then both: two graphs, each after its eager steps, and five replays.
    for number, batch in enumerate(batches(16, dtype=torch.float32)):
        arch_batch = tuple(batch[2:]) if number >= 8 else None
        losses = []
        for strategy in strategies:
            result = strategy.step(tuple(batch[:2]), arch_batch, progress=number / 16)
            losses.append([loss.item() for loss in result if loss is not None])
        assert len(losses[0]) == (2 if number >= 8 else 1)
        # From equal states one step differs by float32 rounding, since bilinear resizing's gradient
        # adds atomically, in any order; over many steps training would amplify that.
        assert losses[0] == pytest.approx(losses[1], rel=1e-5), number
        graphed, eager = (state_tensors(strategy) for strategy in strategies)
        assert graphed.keys() == eager.keys()
        for name, tensor in graphed.items():
            torch.testing.assert_close(tensor, eager[name], rtol=1e-3, atol=1e-4, msg=name)
            tensor.copy_(eager[name])  # in place: the graph goes on with the same memory
    assert strategies[0]._graphed and not strategies[1]._graphed


def state_tensors(strategy):
    """Name every tensor that one step hands to the next."""
    tensors = dict(strategy.supernet.state_dict())
    for which in ("weight_optimizer", "arch_optimizer"):
        for index, state in getattr(strategy, which).state_dict()["state"].items():
            for key, value in state.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"{which} {index} {key}"] = value
    return tensors


@pytest.mark.gpu
def test_a_graph_moves_everything_it_should():
    device = torch.device("cuda", 0)
    net = small_supernet().float().to(device)
    strategy = Darts(net, CONFIG, ignore_index=255, device=device)
    steps = [tuple(batch) for batch in batches(NUM_EAGER_STEPS + 2, dtype=torch.float32)]
    for batch in steps[:-1]:
        strategy.step(batch[:2], batch[2:], progress=0.0)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    strategy.step(steps[-1][:2], steps[-1][2:], progress=0.0)
    for name, tensor in net.state_dict().items():
        assert not torch.equal(tensor, before[name]), name
    (counter,) = {
        state["step"].item() for state in strategy.arch_optimizer.state_dict()["state"].values()
    }
    assert counter == len(steps)
    # At a rate of 0 a replay leaves the weights where they are: the rate is read anew.
    before = [weight.clone() for weight in net.weight_parameters()]
    strategy._weight_lr.fill_(0)
    strategy._graphed[True](*steps[0])
    assert all(map(torch.equal, before, net.weight_parameters()))
