"""A gradient that is not finite where the loss is: nothing is saved that cannot be gone on from."""

import itertools
import math

import pytest

from autoseg.training import DivergedError
from tests.training.test_loop import Flag, Network, metrics, new_run, run_training


@pytest.mark.parametrize(("bad_step", "stop_after"), [(4, None), (3, 3)])
def test_a_gradient_that_is_nan_ends_the_training_before_its_weights_are_saved(
    tmp_path, bad_step, stop_after
):
    network, steps = Network(), itertools.count(1)
    weight = network[0].weight
    weight.register_hook(lambda grad: grad * math.nan if next(steps) == bad_step else grad)
    rule = rf"^0\.weight holds NaN or infinity after step {bad_step}, though the loss was finite"
    with pytest.raises(DivergedError, match=rule), new_run(tmp_path / "run") as run:
        run_training(run, network=network, stop=Flag(stop_after))
    assert [path.name for path in run.folder.glob("checkpoint-*")] == ["checkpoint-00000002.pt"]
    assert [line["step"] for line in metrics(run.folder)] == [2]
