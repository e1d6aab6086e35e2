"""`--compile`: what is compiled, what is not, and what is refused."""

import dataclasses
import re

import pytest
import torch
from torch import nn

from autoseg import retrain
from autoseg.config import RETRAIN_PRESETS
from autoseg.data import IMAGENET_MEAN, IMAGENET_STD
from autoseg.errors import UsageError
from autoseg.networks import crf_rnn
from autoseg.runs import Run, load_weights
from autoseg.training import compiled as compiling
from autoseg.training.compiled import CompilationError, compiled, require_compiling
from tests.training.test_loop import (
    CONFIG,
    CPU,
    Flag,
    Network,
    metrics,
    new_run,
    run_training,
)

COMPILED = dataclasses.replace(CONFIG, compile=True, ema_decay=0.5, accumulate=2)


class Compiler:
    """Stands in for torch's, which takes seconds: it notes what it is asked, and runs that."""

    def __init__(self, monkeypatch):
        self.asked, self.num_calls, self.num_resets = [], 0, 0
        monkeypatch.setattr(torch, "compile", self.compile)
        monkeypatch.setattr(torch.compiler, "reset", self.reset)

    def compile(self, network, **options):
        self.asked.append((network, options))

        def run(images):
            self.num_calls += 1
            assert network.training
            return network(images)

        return run

    def reset(self):
        self.num_resets += 1


def test_steps_are_compiled_and_validations_are_not(tmp_path, monkeypatch, capsys):
    with new_run(tmp_path / "eager") as run:
        run_training(run, config=dataclasses.replace(COMPILED, compile=False))
    compiler = Compiler(monkeypatch)
    with new_run(tmp_path / "run") as run:
        network, _ = run_training(run, config=COMPILED)
    ((asked, options),) = compiler.asked
    assert asked is network
    # One graph, or an error; sizes are constants; what is random is drawn as without.
    assert options == {"fullgraph": True, "dynamic": False, "options": {"fallback_random": True}}
    assert compiler.num_calls == 6 * 2  # steps, each in two parts
    assert compiler.num_resets == 2  # before and behind it, so that no other training sees it
    said = capsys.readouterr().err
    assert "test: 0/6 steps, the first step compiles kernels" in said
    assert len(re.findall(r"^test: compiled in \d+ s$", said, re.MULTILINE)) == 1
    # The share of the training that is done is a tensor, so that it is no constant.
    assert [float(share) for share in network.progress] == pytest.approx([s / 6 for s in range(6)])
    assert all(isinstance(share, torch.Tensor) for share in network.progress)
    # What stood in is the network itself: the loop around it has changed nothing.
    assert metrics(tmp_path / "run") == metrics(tmp_path / "eager")
    saved = load_weights(tmp_path / "run", "last")
    assert saved.keys() == Network().state_dict().keys()
    for name, tensor in load_weights(tmp_path / "eager", "last").items():
        assert torch.equal(saved[name], tensor), name


def test_a_run_goes_on_as_it_was_started(tmp_path, monkeypatch):
    assert "compile" not in CONFIG.identity()  # checkpoints from before the option go on
    assert COMPILED.identity()["compile"] is True
    Compiler(monkeypatch)
    with new_run(tmp_path / "run") as run:
        run_training(run, config=COMPILED, stop=Flag(1))
    eager = dataclasses.replace(COMPILED, compile=False)
    with (
        pytest.raises(UsageError, match=r"settings\.compile was True, and is not set now"),
        Run.resume(tmp_path / "run") as run,
    ):
        run_training(run, config=eager)


@pytest.mark.parametrize(
    ("device", "num_parts", "has_graphs"), [("cuda", 1, True), ("cuda", 2, False)]
)
def test_a_gpu_replays_graphs_unless_gradients_are_added_up(
    monkeypatch, device, num_parts, has_graphs
):
    compiler = Compiler(monkeypatch)
    with compiled(Network(), device=torch.device(device), num_parts=num_parts):
        ((_, options),) = compiler.asked
    assert options["options"].get("triton.cudagraphs", False) == has_graphs


def test_a_crf_stays_outside_of_what_is_compiled(monkeypatch):
    compiler = Compiler(monkeypatch)
    network = crf_rnn(Network(), num_classes=12, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    network.network[3].p = 0.0
    images = torch.randn(2, 3, 9, 7)
    with compiled(network, device=CPU) as forward:
        assert torch.equal(forward(images), network(images))
    ((asked, _),) = compiler.asked
    assert asked is network.network


def test_what_is_missing_is_told_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"--compile: the retraining runs on cpu"):
        retrain.main(["--network", "unet", "--compile", "--device", "cpu"])
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(compiling.shutil, "which", lambda name: name)
    monkeypatch.setattr(compiling, "find_spec", lambda name: name)
    require_compiling(torch.device("cuda"))
    with pytest.raises(UsageError, match=r"--compile: .* runs on cpu, where .* use --device cuda"):
        require_compiling(CPU)
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match=r"--compile on cuda needs Triton and a C compiler"):
        require_compiling(torch.device("cuda"))
    monkeypatch.setattr(compiling, "num_processes", lambda: 4)
    with pytest.raises(UsageError, match=r"--compile: 4 processes share this .* without torchrun"):
        require_compiling(torch.device("cuda"))


def test_the_published_recipes_do_without():
    assert not any(preset.compile for preset in RETRAIN_PRESETS.values())


def by_the_tracer_alone(monkeypatch):
    """Let torch's compiler trace, and run what it has traced by plain operators."""
    compile_ = torch.compile

    def trace(network, *, fullgraph, dynamic, options):
        return compile_(network, fullgraph=fullgraph, dynamic=dynamic, backend="eager")

    monkeypatch.setattr(torch, "compile", trace)


class Branching(nn.Conv2d):
    """Looks at a value, which a graph cannot."""

    def forward(self, images):
        maps = super().forward(images)
        return maps if maps.sum() > 0 else -maps


def test_what_cannot_be_compiled_is_an_error_and_not_run_without(tmp_path, monkeypatch):
    by_the_tracer_alone(monkeypatch)
    message = r"--compile: the network cannot be compiled for cpu: \w+: .*; leave the option out\."
    with pytest.raises(CompilationError, match=message), new_run(tmp_path / "run") as run:
        run_training(run, network=Branching(3, 12, 1), config=COMPILED)


def test_no_training_uses_up_the_compilations_of_another(monkeypatch):
    by_the_tracer_alone(monkeypatch)
    networks = [nn.Sequential(nn.Conv2d(3, width, 1)) for width in (2, 3, 4)]
    images = torch.randn(1, 3, 4, 5)
    with torch._dynamo.config.patch(recompile_limit=1):
        for network in networks:
            with compiled(network, device=CPU) as forward:
                assert torch.equal(forward(images), network(images))
        # Within one training the limit holds, and is an error: it would be run without.
        with (
            pytest.raises(CompilationError, match="FailOnRecompileLimitHit"),
            compiled(networks[0], device=CPU) as forward,
        ):
            for height in range(4, 8):
                forward(torch.randn(1, 3, height, 5))
