"""Several processes that do one job, for tests.

They are forked off one fresh process that has imported the commands, which takes seconds, and has
computed nothing: torch's autograd engine does not survive the fork of a process that has used it.
"""

import multiprocessing
import os
import socket
import traceback
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from importlib import import_module
from pathlib import Path

from tests.fresh_process import fresh_process

_FORK = multiprocessing.get_context("fork")

TIMEOUT_S = 120


def run_processes(function, *arguments, num_processes=2, num_restarts=0, **options):
    """Call a function in every process of a job, as torchrun would; return their results.

    Args:
        function: Of a test module, at its top level. It joins the others by itself; see
            `autoseg.distributed.joined`.
        arguments: What it is called with, pickled; `options` by their names.
        num_processes: Processes to start.
        num_restarts: How often torchrun is to have started the job before.
        options: See `arguments`.

    Returns:
        What each returned; its exit code where it exited; its traceback as a string where it
        raised; None where it was killed.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    environments = [
        {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(num_processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "TORCHELASTIC_RESTART_COUNT": str(num_restarts),
        }
        for rank in range(num_processes)
    ]
    work = partial(function, *arguments, **options)
    return _parent().submit(_fork_all, work, environments, Path.cwd()).result()


@cache
def _parent() -> ProcessPoolExecutor:
    process = fresh_process()
    commands = (f"autoseg.commands.{command}" for command in ("search", "retrain", "evaluate"))
    for module in (*commands, "autoseg.reporting.page"):  # the last has matplotlib and pandas
        process.submit(import_module, module)
    return process


def _fork_all(work, environments, folder):
    """Do the work in a child for each environment; return what all have sent."""
    pipes, processes = [], []
    for environment in environments:
        ours, theirs = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=_do, args=(work, environment, folder, theirs))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    try:
        return [_received(pipe) for pipe in pipes]
    finally:
        for process in processes:
            process.join(TIMEOUT_S)
            process.kill()


def _received(pipe):
    assert pipe.poll(TIMEOUT_S), "a process hangs"
    try:
        return pipe.recv()
    except EOFError:  # killed
        return None


def _do(work, environment, folder, pipe):
    os.environ.update(environment)
    os.chdir(folder)
    try:
        result = work()
    except SystemExit as exit_:
        result = exit_.code
    except BaseException:
        result = traceback.format_exc()
    pipe.send(result)
    pipe.close()
