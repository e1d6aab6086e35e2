"""A command as a process of its own, which gets a signal after some of its steps."""

import signal
import subprocess
import sys
from pathlib import Path

_SCRIPT = """\
import importlib, os, signal, sys

from autoseg.cli import run_command
from autoseg.runs import Progress

module, number, num_steps, *words = sys.argv[1:]
num_left, update = int(num_steps), Progress.update


def counted(progress, num_steps=1, **shown):
    global num_left
    update(progress, num_steps, **shown)
    num_left -= num_steps
    if num_steps == 1 and num_left == 0:
        if "LOCAL_RANK" not in os.environ:
            os.kill(os.getpid(), int(number))
        else:  # torchrun gets it, and passes it on to all
            if os.environ["LOCAL_RANK"] == "0":
                os.kill(os.getppid(), int(number))
            signal.pause()


Progress.update = counted
main = importlib.import_module(module).main
run_command(lambda _: main(words), joins_processes=True)
"""


def run_signalled(
    module, words, *, folder, number=signal.SIGTERM, num_steps=1, num_processes=1
) -> subprocess.CompletedProcess:
    """Run a command that is to get a signal; return its exit code and what it said.

    Args:
        module: Of the command.
        words: Its arguments.
        folder: Where it runs, with the project's own folder to import from.
        number: Of the signal.
        num_steps: Steps of its progress after which the signal comes.
        num_processes: More than one are started by torchrun, which then gets the signal.
    """
    script = Path(folder) / "signalled.py"
    script.write_text(_SCRIPT)
    python = [sys.executable]
    if num_processes > 1:
        python += ["-m", "torch.distributed.run", "--nproc-per-node", str(num_processes)]
    return subprocess.run(
        [*python, str(script), module, str(int(number)), str(num_steps), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
