"""The command draws what network and CRF predict."""

import importlib
from pathlib import Path

import pytest

from autoseg.errors import UsageError
from autoseg.trained import RetrainedNetwork
from tests.trained.random_run import make_run


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("crf_effect")


def test_it_draws_a_run_with_its_parameters(bench, tmp_path, capsys):
    folder = make_run(tmp_path / "run")
    request = bench.EffectRequest(run=folder, num_images=2, num_iterations=0)
    trained = RetrainedNetwork.open(folder)
    refined, text = bench.refine_images(trained, trained.dataset("val"), request)
    assert len(refined) == 2
    # No update: the marginals are the softmax of the logits.
    assert all((image.before == image.after).all() for image in refined)
    assert "given on the command line" in text

    arguments = [str(folder), "--num-images", "1", "--out", str(tmp_path / "out")]
    assert bench.main(arguments) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"effect.png", "effect.svg"}
    assert "effect.png" in capsys.readouterr().out


def test_no_image_is_refused(bench, tmp_path):
    with pytest.raises(UsageError, match="--num-images is 0; it must be at least 1"):
        bench.EffectRequest(run=tmp_path, num_images=0)
