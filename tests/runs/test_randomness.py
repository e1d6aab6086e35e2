import io
import random

import pytest
import torch

from autoseg.errors import UsageError
from autoseg.runs.randomness import restore_rng_state, rng_state, seed_everything


@pytest.fixture(autouse=True)
def _generators_as_before():
    python, cpu = random.getstate(), torch.get_rng_state()
    yield
    random.setstate(python)
    torch.set_rng_state(cpu)


def draw():
    return [random.random(), random.gauss(0, 1), *torch.randn(3).tolist()]


def test_the_same_seed_draws_the_same():
    seed_everything(7)
    first = draw()
    seed_everything(8)
    other = draw()
    seed_everything(7)
    assert draw() == first
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_a_restored_state_goes_on_as_if_never_left():
    seed_everything(7)
    random.gauss(0, 1)  # leaves half of a pair behind, which is state as well
    draw()
    buffer = io.BytesIO()
    torch.save(rng_state(), buffer)
    expected = draw()
    seed_everything(0)
    buffer.seek(0)
    restore_rng_state(torch.load(buffer, weights_only=True))
    assert draw() == expected


def test_fewer_devices_than_saved_is_said():
    state = {**rng_state(), "cuda": [torch.zeros(16, dtype=torch.uint8)] * 99}
    with pytest.warns(UserWarning, match="random state of 99 CUDA devices was saved"):
        # Only devices beyond those present are left out; a machine without any restores none.
        if torch.cuda.device_count():
            pytest.skip("needs a machine without CUDA")
        restore_rng_state(state)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range(seed):
    with pytest.raises(UsageError, match=rf"seed {seed} is out of range"):
        seed_everything(seed)
