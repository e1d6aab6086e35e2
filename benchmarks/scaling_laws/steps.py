"""Steps of a search and of a retraining at some size, by one process or by several."""

import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Literal

import torch
from torch import Tensor

from autoseg.architecture import Architecture, SearchSpace, decode_cell
from autoseg.backends import choose_backend
from autoseg.config import RETRAIN_PRESETS, SEARCH_PRESETS
from autoseg.distributed import from_all, joined, num_processes, sum_gradients_
from autoseg.launch import launch
from autoseg.networks import build_network
from autoseg.runs import seed_everything
from autoseg.strategies.darts import Darts
from autoseg.strategies.together import average_statistics_
from autoseg.supernet import Supernet
from autoseg.training.accumulation import add_gradients
from autoseg.training.batch_norm import prepare_batch_norm_
from autoseg.training.chosen_loss import PLAIN, build_loss
from autoseg.training.optimisers import build_optimizer

Work = Literal["search", "retraining"]

_CPU = torch.device("cpu")
_NUM_CLASSES = 12  # of the embedded dataset
_IGNORE_INDEX = 255
_PROGRESS = 0.5

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """What the cost of a step depends on."""

    work: Work
    """Whose step."""
    num_layers: int = 6
    """L."""
    filter_multiplier: int = 4
    """F."""
    crop: int = 96
    """Height and width, pixels."""
    batch_size: int = 4
    """Images of all processes together."""
    num_processes: int = 1
    """Processes that share the batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow(Size):
    """What a step of a size costs: processor time of all threads and processes together."""

    num_params: int
    """Numbers whose gradients the processes add up in a step."""
    median_ms: float
    fastest_ms: float
    slowest_ms: float

    @property
    def size(self) -> Size:
        """What was measured."""
        return Size(**{field.name: getattr(self, field.name) for field in fields(Size)})


def measure(size: Size, *, num_steps: int) -> StepRow:
    """Make some steps in processes of their own, after one that warms up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    processes = [
        _PROCESSES.Process(target=_work, args=(rank, port, size, num_steps, theirs))
        for rank in range(size.num_processes)
    ]
    for process in processes:
        process.start()
    theirs.close()
    try:
        num_params, seconds = ours.recv()
    except EOFError as error:
        raise RuntimeError(f"the processes of {size} ended without a result.") from error
    finally:
        for process in processes:
            process.join()
    milliseconds = [1000 * each for each in seconds]
    return StepRow(
        **asdict(size),
        num_params=num_params,
        median_ms=round(statistics.median(milliseconds), 2),
        fastest_ms=round(min(milliseconds), 2),
        slowest_ms=round(max(milliseconds), 2),
    )


def _work(rank: int, port: int, size: Size, num_steps: int, results: Connection) -> None:
    """Be one of the processes; the first one sends what all have taken."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size.num_processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    with joined(launch()):
        seed_everything(0)
        num_params, step = {"search": _search_step, "retraining": _retraining_step}[size.work](size)
        taken = []
        for _ in range(num_steps + 1):
            start = time.process_time()
            step()
            taken.append(time.process_time() - start)
        together = [sum(each) for each in zip(*from_all(taken[1:]), strict=True)]
        if rank == 0:
            results.send((num_params, together))


def _space(size: Size) -> SearchSpace:
    space = SearchSpace.load("autodeeplab", preset="tiny")
    return replace(space, num_layers=size.num_layers, filter_multiplier=size.filter_multiplier)


def _batch(size: Size) -> tuple[Tensor, Tensor]:
    """Draw this process's share of a batch."""
    shape = (size.batch_size // num_processes(), size.crop, size.crop)
    images = torch.randn(shape[0], 3, *shape[1:])
    return images, torch.randint(_NUM_CLASSES, shape)


def _search_step(size: Size) -> tuple[int, Callable[[], object]]:
    """Return the supernet's parameters, and a step that moves weights, alpha and beta."""
    backend = choose_backend("auto", "cpu", work="Supernet").name
    supernet = Supernet(_space(size), num_classes=_NUM_CLASSES, backend=backend)
    config = replace(SEARCH_PRESETS["tiny"], precision="fp32")
    darts = Darts(supernet.train(), config, ignore_index=_IGNORE_INDEX, device=_CPU)
    weight_batch, arch_batch = _batch(size), _batch(size)

    def step() -> None:
        darts.step(weight_batch, arch_batch, progress=_PROGRESS)
        average_statistics_(supernet)

    return sum(each.numel() for each in supernet.parameters()), step


def _retraining_step(size: Size) -> tuple[int, Callable[[], object]]:
    """Return a network's parameters, and a step that moves them; all its layers have stride 8."""
    space = _space(size)
    cell = decode_cell(space, torch.randn(space.num_edges, len(space.operations)))
    strides = (8,) * size.num_layers
    architecture = Architecture(space=space.name, strides=space.strides, path=strides, cell=cell)
    config = replace(RETRAIN_PRESETS["tiny"], precision="fp32")
    network = build_network(
        architecture,
        num_classes=_NUM_CLASSES,
        filter_multiplier=size.filter_multiplier,
        width=config.width,
    )
    prepare_batch_norm_(network.train(), config.batch_norm)
    optimizer = build_optimizer(network, config)
    images, target = _batch(size)
    gradients = partial(
        add_gradients,
        network,
        images,
        target,
        num_parts=1,
        loss=build_loss(PLAIN, device=_CPU),
        class_weights=None,
        ignore_index=_IGNORE_INDEX,
        precision="fp32",
    )

    def step() -> None:
        optimizer.zero_grad()
        gradients()
        sum_gradients_(network.parameters())
        optimizer.step()

    return sum(each.numel() for each in network.parameters()), step
