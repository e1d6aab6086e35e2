"""The order of maps in memory: it decides how a training computes, and not what."""

import dataclasses

import torch

from autoseg.runs import load_weights
from tests.training.test_loop import CONFIG, Network, new_run, run_training


def test_the_order_in_memory_changes_rounding_alone(tmp_path):
    saved = []
    for memory_format in ("contiguous", "channels-last"):
        torch.manual_seed(3)
        config = dataclasses.replace(CONFIG, memory_format=memory_format)
        network = Network()
        network[3].p = 0.0  # its draws lie as the maps do
        with new_run(tmp_path / memory_format) as run:
            run_training(run, network=network, config=config)
        is_last = network[0].weight.is_contiguous(memory_format=torch.channels_last)
        assert is_last == (memory_format == "channels-last")
        saved.append(load_weights(tmp_path / memory_format, "last"))
    # float32, six steps.
    torch.testing.assert_close(*saved, rtol=1e-4, atol=1e-5)
