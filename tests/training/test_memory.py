"""Memory that runs out is told with the settings to lower."""

import dataclasses
import multiprocessing
import time
import traceback

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.config import SearchConfig
from autoseg.training.memory import OutOfMemoryError, explaining_memory
from tests.training.test_loop import CONFIG, Network, new_run, run_training


class Huge(nn.Module):
    """Asks for a pebibyte where a step is made."""

    def __init__(self):
        super().__init__()
        self.network = Network()

    def forward(self, images):
        return self.network(images) + torch.empty(2**50, dtype=torch.uint8)


def test_a_training_names_the_settings_to_lower(tmp_path):
    rule = (
        r"a step of 2 image\(s\) with crops of 16 x 16 does not fit into memory \(.*allocate.*\)\. "
        r"About half as much is needed with --accumulate 2 \(the same batch\) or --batch-size 1 or "
        r"--crop-size 11 11\."
    )
    with pytest.raises(OutOfMemoryError, match=rule), new_run(tmp_path / "run") as run:
        run_training(run, network=Huge())


@pytest.mark.parametrize(
    ("settings", "ways"),
    [
        ({"batch_size": 1}, "with --crop-size 11 11."),
        ({"accumulate": 2}, "with --batch-size 1 or --crop-size 11 11."),
    ],
)
def test_nothing_is_named_that_cannot_be(settings, ways):
    config = dataclasses.replace(CONFIG, **settings)
    with pytest.raises(OutOfMemoryError) as caught, explaining_memory(config):
        torch.empty(2**50)
    assert f"About half as much is needed {ways}" in str(caught.value)


def test_a_search_has_no_parts():
    rule = "with --batch-size 1 or --crop-size 227 227"
    with pytest.raises(OutOfMemoryError, match=rule), explaining_memory(SearchConfig()):
        np.empty(2**60, np.uint8)


def test_other_errors_pass_as_they_are():
    error = RuntimeError("the loss is nan")
    with pytest.raises(RuntimeError) as caught, explaining_memory(CONFIG):
        raise error
    assert caught.value is error
    assert traceback.extract_tb(error.__traceback__)


class EndsWorkers(Network):
    """Ends the processes that prepare batches, as a system does whose memory runs out."""

    def __init__(self):
        super().__init__()
        self.others = set(multiprocessing.active_children())

    def forward(self, images):
        for worker in set(multiprocessing.active_children()) - self.others:
            worker.kill()
        time.sleep(60)  # a signal ends it
        return super().forward(images)


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_process_that_is_killed_in_a_step_is_told_and_what_to_do(tmp_path):
    config = dataclasses.replace(CONFIG, num_workers=1)
    rule = r"a process that prepares images was ended from outside.*--resume.*--num-workers"
    with pytest.raises(RuntimeError, match=rule), new_run(tmp_path / "run") as run:
        run_training(run, network=EndsWorkers(), config=config)
