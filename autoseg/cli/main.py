"""Run a command and end the process with the exit code that says how it went."""

import io
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from types import FrameType
from typing import Any, NoReturn, TextIO, cast

from autoseg.errors import FileError, LostProcessError, UsageError
from autoseg.foreign_text import printable
from autoseg.launch import Launch, launch

OK, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes of every command; 130 means that the run can be resumed."""

_TRACEBACK = "AUTOSEG_TRACEBACK"


def run_command(
    main: Callable[[list[str] | None], int | None], *, joins_processes: bool = False
) -> NoReturn:
    """Call a command's main function and exit.

    Exit code 0 is success, 1 failed, 2 bad usage, 130 interrupted. Errors that a user can put right
    are one line, `error: ...`; the environment variable AUTOSEG_TRACEBACK=1 adds where they were
    raised. Other exceptions are mistakes in the program and always show their traceback.

    Args:
        main: Takes the arguments (None means those of the process) and returns the exit code; None
            is 0.
        joins_processes: Whether several processes (torchrun) can do its work together; the first
            one alone then speaks, except for errors.

    Raises:
        SystemExit: Always.
    """
    warnings.showwarning = _show_warning
    with _printable_streams(), _sigterm_as_ctrl_c():
        code = _run(main, joins_processes=joins_processes)
    sys.exit(code)


def _run(main: Callable[[list[str] | None], int | None], *, joins_processes: bool) -> int:
    launched = Launch()
    try:
        launched = launch()
        if not (joins_processes or launched.is_alone):
            _refuse_several_processes(launched)
        with _joined(launched):
            code = main(None) or OK
        sys.stdout.flush()  # a closed pipe shows here rather than at interpreter exit
    except KeyboardInterrupt:
        print("interrupted.", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, as `| head` does. Python would flush stdout once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    except Exception as error:
        code = _report(error, rank=launched.rank)
    return code


def _refuse_several_processes(launched: Launch) -> NoReturn:
    """Refuse to be one of several processes: each would do, and write, the whole work.

    Raises:
        UsageError: In the first process.
        SystemExit: In the others, with the same code.
    """
    if launched.rank > 0:
        sys.exit(BAD_USAGE)
    raise UsageError(
        f"this is one of {launched.num_processes} processes (WORLD_SIZE, as torchrun sets it), and "
        "this command works in one; of all commands search, retrain and evaluate can share their "
        "work. Start it with python -m, without torchrun."
    )


class _Nowhere(io.StringIO):
    """A text stream that forgets what it is told."""

    def write(self, text: str) -> int:
        return len(text)


@contextmanager
def _joined(launched: Launch) -> Iterator[None]:
    """Join the other processes of a job inside, where there are some; the first one speaks."""
    if launched.is_alone:
        yield
        return
    from autoseg.distributed import joined  # late: torch

    with ExitStack() as quiet:
        if launched.rank > 0:
            quiet.enter_context(redirect_stdout(_Nowhere()))
            quiet.enter_context(redirect_stderr(_Nowhere()))
        quiet.enter_context(joined(launched))
        yield


class _PrintableStream:
    """A text stream that shows what foreign text holds, and lets no terminal obey it.

    File names, labels and libraries' messages reach the terminal by print, warnings, the progress
    and argparse; all of them end here.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        # The progress goes back to the start of its line by a carriage return.
        shown = printable(text, keep="\n\r\t")
        encoding = self._stream.encoding or "utf-8"
        # A terminal that has ASCII alone gets escapes instead of a UnicodeEncodeError.
        self._stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def write_as_it_is(self, text: str) -> int:
        """Write text of our own, which the terminal is to obey."""
        return self._stream.write(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _printable_streams() -> Iterator[None]:
    """Let standard output and standard error take any text."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, _PrintableStream(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does: what is open is closed, locks and all.

    A loop that saves after the step takes over both meanwhile; see `autoseg.runs.StopRequest`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers no signals here
        return
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            raise KeyboardInterrupt
        # A process that was forked off: its parent ends it so.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        # None: the handler was not installed from Python and cannot be put back.
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _report(error: Exception, *, rank: int) -> int:
    is_expected = isinstance(error, ValueError | RuntimeError | OSError)
    wants_traceback = os.environ.get(_TRACEBACK, "") not in ("", "0")
    if wants_traceback or not is_expected:
        # Not print_exception, which colours the text on a terminal by codes of its own.
        print("".join(traceback.format_exception(error)), end="", file=sys.stderr)
    said = f"error in process {rank}" if rank else "error"
    lines = [f"{said}: {error}" if is_expected else f"{said}: {type(error).__name__}: {error}"]
    lines += getattr(error, "__notes__", [])
    if not is_expected:
        lines.append("This is a mistake in autoseg, not in its use; please report it.")
    elif not isinstance(error, UsageError | FileError | LostProcessError) and not wants_traceback:
        # Such an error may come from deep inside a library, whose message names no place.
        lines.append(f"{_TRACEBACK}=1 shows where it was raised.")
    print("\n".join(lines), file=sys.stderr)
    if isinstance(error, LostProcessError):
        return INTERRUPTED
    return BAD_USAGE if isinstance(error, UsageError) else FAILED


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    # autoseg's own warnings are sentences for the user; a library's need their place.
    is_own = category is UserWarning and f"{os.sep}autoseg{os.sep}" in filename
    text = (
        f"warning: {message}\n"
        if is_own
        else warnings.formatwarning(message, category, filename, lineno, line)
    )
    print(text, end="", file=sys.stderr if file is None else file)
