"""Processes for tests in which nothing is imported yet but torch, which takes seconds.

One process for each of pytest's imports torch alone and does nothing else; fresh ones are forked
off it, and so get nothing of what other tests imported, set or loaded.
"""

import multiprocessing
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch"])


def _start_process(environment: dict[str, str]) -> None:
    os.environ.clear()  # it is that of the test in which the server started
    os.environ.update(environment)
    torch.set_num_threads(1)


def fresh_process(**changes: str) -> ProcessPoolExecutor:
    """Return one fresh process, with variables of its environment changed."""
    return ProcessPoolExecutor(
        max_workers=1,
        mp_context=CONTEXT,
        initializer=_start_process,
        initargs=({**os.environ, **changes},),
    )


def printed_by(script: str, *arguments: str) -> str:
    """Run a script in a fresh process; return what it says, on standard output and error."""
    with fresh_process() as process:
        return process.submit(_run, script, arguments, Path.cwd()).result()


def _run(script: str, arguments: tuple[str, ...], folder: Path) -> str:
    os.chdir(folder)
    sys.argv[1:] = arguments
    with tempfile.TemporaryFile() as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())  # what is no Python prints there too
        exec(script, {})
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        file.seek(0)
        return file.read().decode()
