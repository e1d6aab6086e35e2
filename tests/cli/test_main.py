import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from autoseg.cli import main as main_module
from autoseg.cli import run_command
from autoseg.errors import FileError, UsageError
from autoseg.foreign_text import printable
from tests.foreign_names import NAMES


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.delenv("AUTOSEG_TRACEBACK", raising=False)


def run(action):
    """Run a command; return its exit code."""

    def main(argv):
        assert argv is None
        return action()

    with pytest.raises(SystemExit) as caught:
        run_command(main)
    return caught.value.code


def fail(error):
    def action():
        raise error

    return action


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1), (130, 130)])
def test_what_main_returns(returned, code, capsys):
    assert run(lambda: returned) == code
    assert capsys.readouterr().err == ""


def test_a_file_that_cannot_be_used_is_one_line(capsys):
    assert run(fail(FileError("a.pth is empty."))) == 1
    assert capsys.readouterr().err == "error: a.pth is empty.\n"


def test_bad_usage_is_one_line(capsys):
    assert run(fail(UsageError("unknown space 'x'."))) == 2
    assert capsys.readouterr().err == "error: unknown space 'x'.\n"


@pytest.mark.parametrize("kind", [ValueError, RuntimeError, OSError])
def test_a_failure_has_no_traceback_and_says_how_to_see_it(kind, capsys):
    assert run(fail(kind("loss is nan at step 3"))) == 1
    expected = "error: loss is nan at step 3\nAUTOSEG_TRACEBACK=1 shows where it was raised.\n"
    assert capsys.readouterr().err == expected


def test_the_traceback_on_request(capsys, monkeypatch):
    monkeypatch.setenv("AUTOSEG_TRACEBACK", "1")
    assert run(fail(UsageError("no"))) == 2
    error = capsys.readouterr().err
    assert error.startswith("Traceback (most recent call last)")
    assert error.endswith("error: no\n")


def test_an_unexpected_error_keeps_its_traceback(capsys):
    assert run(fail(KeyError("alpha"))) == 1
    error = capsys.readouterr().err
    assert error.startswith("Traceback (most recent call last)")
    assert error.endswith(
        "error: KeyError: 'alpha'\n"
        "This is a mistake in autoseg, not in its use; please report it.\n"
    )


def test_notes_are_shown(capsys):
    error = UsageError("first")
    error.add_note("second")
    assert run(fail(error)) == 2
    assert capsys.readouterr().err == "error: first\nsecond\n"


def test_ctrl_c(capsys):
    assert run(fail(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted.\n"


def test_sigterm_ends_a_command_as_ctrl_c_does(capsys):
    before = signal.getsignal(signal.SIGTERM)
    closed = []

    def action():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            closed.append(True)

    assert run(action) == 130
    assert (closed, capsys.readouterr().err) == ([True], "interrupted.\n")
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_sigterm_ends_what_a_command_forked_off_without_a_word():
    def action():
        if (pid := os.fork()) == 0:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM

    assert run(action) == 0


def test_help_passes_through():
    assert run(fail(SystemExit(0))) == 0


def test_own_warnings_are_sentences_and_others_keep_their_place(capsys):
    inside = str(Path("/x/autoseg/runs/checkpoint.py"))

    def action():
        warnings.showwarning(UserWarning("resuming."), UserWarning, inside, 3)
        warnings.showwarning(UserWarning("odd."), UserWarning, "/x/other/a.py", 3)

    assert run(action) == 0
    own, *other = capsys.readouterr().err.splitlines()
    assert own == "warning: resuming."
    assert other[0] == "/x/other/a.py:3: UserWarning: odd."


@pytest.mark.parametrize("name", NAMES)
def test_terminals_obey_no_name(name, capsys):
    def action():
        print(f"saved {name}")
        print("a\tb", file=sys.stderr)
        warnings.showwarning(UserWarning(name), UserWarning, "/x/autoseg/a.py", 3)
        raise UsageError(name)

    assert run(action) == 2
    captured = capsys.readouterr()
    shown = printable(name, keep="\n\r\t")
    assert captured.out == f"saved {shown}\n"
    assert captured.err == f"a\tb\nwarning: {shown}\nerror: {shown}\n"
    assert not set(captured.out + captured.err) & set("\x00\x07\x08\x1b\u202e\udce9")


def test_the_streams_come_back():
    before = sys.stdout, sys.stderr
    assert run(lambda: None) == 0
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_without_the_letters_shows_escapes(encoding):
    script = f"""
import runpy, sys
def main(argv):
    print("caf\\xe9 \\u9053 \\udce9")
    print("\\u9053", file=sys.stderr)
    raise ValueError("caf\\xe9 \\u9053")
runpy.run_path({str(Path(main_module.__file__))!r})["run_command"](main)
"""
    root = str(Path(main_module.__file__).parents[2])
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict", "PYTHONPATH": root}
    process = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, check=False
    )

    def shown(text):
        return text.encode(encoding, "backslashreplace")

    assert process.returncode == 1
    assert process.stdout.splitlines() == [shown("caf\xe9 \u9053 ") + b"\\udce9"]
    first, error, _ = process.stderr.splitlines()
    assert (first, error) == (shown("\u9053"), shown("error: caf\xe9 \u9053"))


def test_a_reader_that_leaves_causes_no_noise():
    # The module by its path: the package would import torch in a second process.
    script = f"""
import runpy, sys
def main(argv):
    print("first", flush=True)
    sys.stdin.read()
    print("nobody reads this")
runpy.run_path({str(Path(main_module.__file__))!r})["run_command"](main)
"""
    # Buffered as in a user's pipe: the text that is left would be flushed once more at exit.
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", script], env=environment, **pipes) as process:
        assert process.stdin and process.stdout and process.stderr
        assert process.stdout.readline() == b"first\n"
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 1


@pytest.mark.parametrize(("rank", "said"), [("0", True), ("1", False)])
def test_several_processes_are_refused_by_the_first_in_one_line(monkeypatch, capsys, rank, said):
    for name, value in {"WORLD_SIZE": "2", "RANK": rank, "LOCAL_RANK": rank}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "29500")

    def work():
        raise AssertionError("the work was begun")

    assert run(work) == 2
    error = capsys.readouterr().err
    if said:
        assert error.startswith("error: this is one of 2 processes (WORLD_SIZE, as torchrun")
        assert "of all commands search, retrain and evaluate can share their work" in error
        assert error.count("\n") == 1
    else:
        assert error == ""


@pytest.mark.parametrize("size", ["1", "", "many"])
def test_one_process_is_what_is_wanted(monkeypatch, size):
    monkeypatch.setenv("WORLD_SIZE", size)
    assert run(lambda: 0) == 0
