"""A command in a process of its own, which gets a signal after some of its steps."""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from autoseg.cli import run_command
from autoseg.runs import Progress
from tests.processes import run_processes

ROOT = Path(__file__).parents[1]

_PASSING_ON_S = 3.0
"""What torchrun may take to hand on a signal, on a busy machine."""


def run_signalled(
    module, words, *, folder, number=signal.SIGTERM, num_steps=1, num_processes=1
) -> subprocess.CompletedProcess:
    """Run a command that is to get a signal; return its exit code and what it said.

    Args:
        module: Of the command.
        words: Its arguments.
        folder: Where it runs.
        number: Of the signal.
        num_steps: Steps of its progress after which the signal comes.
        num_processes: More than one are started by torchrun, which then gets the signal.
    """
    arguments = [module, str(int(number)), str(num_steps), *words]
    if num_processes > 1:
        torchrun = ["torch.distributed.run", "--nproc-per-node", str(num_processes), "-m"]
        return subprocess.run(
            [sys.executable, "-m", *torchrun, __name__, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    with tempfile.TemporaryDirectory() as said, contextlib.chdir(folder):
        files = [Path(said, name) for name in ("stdout", "stderr")]
        (code,) = run_processes(_say_and_run, files, arguments, num_processes=1)
        assert code is None or isinstance(code, int), code
        stdout, stderr = (file.read_text() for file in files)
    return subprocess.CompletedProcess(arguments, -number if code is None else code, stdout, stderr)


def _say_and_run(files, arguments):
    """Run the command in this process; what it says goes to two files."""
    for stream, file in zip((sys.stdout, sys.stderr), files, strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), stream.fileno())
    _run(*arguments)


def _run(module, number, num_steps, *words):
    num_left, update = int(num_steps), Progress.update

    def counted(progress, num_steps=1, **shown):
        nonlocal num_left
        update(progress, num_steps, **shown)
        num_left -= num_steps
        if num_steps == 1 and num_left == 0:
            if int(os.environ["WORLD_SIZE"]) == 1:
                os.kill(os.getpid(), int(number))
            elif os.environ["LOCAL_RANK"] == "0":  # torchrun gets it, and passes it on to all
                os.kill(os.getppid(), int(number))
                time.sleep(_PASSING_ON_S)  # the others wait for this one in their next step

    Progress.update = counted
    main = importlib.import_module(module).main
    run_command(lambda _: main(list(words)), joins_processes=True)


if __name__ == "__main__":
    _run(*sys.argv[1:])
