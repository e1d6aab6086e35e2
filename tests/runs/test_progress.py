import fcntl
import io
import math
import os
import pty
import re
import struct
import termios
import threading

import pytest

from autoseg.runs import progress as progress_module
from autoseg.runs.progress import Progress
from autoseg.runs.progress_line import ProgressState, plain_line


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress_module, "monotonic", clock)
    return clock


class Terminal(io.StringIO):
    """A terminal that does not tell its size."""

    def isatty(self):
        return True


class WideTerminal(Terminal):
    """A terminal of so many columns."""

    def __init__(self, width, monkeypatch):
        super().__init__()
        size = os.terminal_size((width, 24))
        monkeypatch.setattr(progress_module.os, "get_terminal_size", lambda _: size)

    def fileno(self):
        return -1


def screen(text, width):
    """Show what a terminal of so many columns shows: its rows, without blanks at their ends."""
    rows, column = [[]], 0
    for letter in text:
        if letter == "\r":
            column = 0
        elif letter == "\n":
            rows.append([])
            column = 0
        else:
            if column == width:
                rows.append([])
                column = 0
            rows[-1][column : column + 1] = letter
            column += 1
    return ["".join(row).rstrip() for row in rows]


FIELDS = {
    "percent": r" 34%",
    "count": r" 136/400",
    "rate": r", 2\.00 steps/s",
    "left": r", 02:12 left",
    "loss": r", loss=1\.235",
    "epoch": r", epoch=3",
    "val_miou": r", val_miou=0\.4123",
}


def drawn(width, clock, monkeypatch, description="[1/4] deeplabv3plus_resnet101"):
    """Draw 136 of 400 steps at 2 steps/s; return the one row that is there."""
    stream = WideTerminal(width, monkeypatch)
    progress = Progress(400, description=description, stream=stream)
    for count, loss in ((100, 9.87), (35, 0.5), (1, 1.23456)):
        clock.now_s += count / 2
        progress.update(count, loss=loss, epoch=3, val_miou=0.41234)
    (row,) = screen(stream.getvalue(), width or 80)
    return row


def test_plain_lines(clock):
    stream = io.StringIO()
    with Progress(100, description="search", stream=stream, interval_s=10) as progress:
        for step in range(100):
            clock.now_s += 0.5
            progress.update(loss=1.0 / (step + 1), epoch=step // 50)
            if step == 99:
                progress.update(0, val_miou=math.nan)
    # The first step, then every 10 s = 20 steps, and the last step. 2 steps/s throughout.
    assert stream.getvalue().splitlines() == [
        "search: 1/100 steps, 2.00 steps/s, 00:00 elapsed, 00:49 left, loss=1, epoch=0",
        "search: 21/100 steps, 2.00 steps/s, 00:10 elapsed, 00:39 left, loss=0.04762, epoch=0",
        "search: 41/100 steps, 2.00 steps/s, 00:20 elapsed, 00:29 left, loss=0.02439, epoch=0",
        "search: 61/100 steps, 2.00 steps/s, 00:30 elapsed, 00:19 left, loss=0.01639, epoch=1",
        "search: 81/100 steps, 2.00 steps/s, 00:40 elapsed, 00:09 left, loss=0.01235, epoch=1",
        "search: 100/100 steps, 2.00 steps/s, 00:50 elapsed, 00:00 left, loss=0.01, epoch=1, "
        "val_miou=undefined",
    ]


def test_the_rate_leaves_out_what_an_earlier_process_did(clock):
    stream = io.StringIO()
    progress = Progress(10, description="retrain", initial=6, stream=stream)
    clock.now_s += 3.0
    progress.update()
    progress.close()
    progress.close()
    # One step in 3 s, three to go.
    assert stream.getvalue() == "retrain: 7/10 steps, 3.00 s/step, 00:03 elapsed, 00:09 left\n"


def test_a_last_line_even_after_an_error(clock):
    stream = io.StringIO()
    with (
        pytest.raises(KeyError),
        Progress(10, description="x", unit="image", stream=stream) as progress,
    ):
        clock.now_s += 1.0
        progress.update(2)
        progress.update(3)
        raise KeyError
    assert stream.getvalue().splitlines()[-1].startswith("x: 5/10 images, 5.00 images/s")


def test_write_is_a_line_of_its_own():
    stream = io.StringIO()
    progress = Progress(1, description="x", stream=stream)
    progress.write("epoch 1: mIoU 0.5")
    assert stream.getvalue() == "epoch 1: mIoU 0.5\n"


def test_a_bar_on_a_terminal():
    stream = Terminal()
    num_threads = threading.active_count()
    with Progress(4, description="search", stream=stream, initial=1) as progress:
        progress.update(loss=0.5)
        progress.write("hello")
        assert threading.active_count() == num_threads  # forking data loaders stay safe
        progress.update(2, loss=0.25)
    text = stream.getvalue()
    assert "\r" in text
    assert "hello\n" in text
    last = text.rstrip().rpartition("\r")[2]
    assert last.startswith("search: 100%|") and "4/4" in last and "loss=0.25" in last


@pytest.mark.parametrize(
    ("width", "row"),
    [
        (0, "[1/4] deeplabv3plus_resnet101:  34% 136/400, 2.00 steps/s, 02:12 left"),
        (20, "[1/4] deepl..:  34%"),
        (40, "[1/4] deepl..:  34% 136/400, 02:12 left"),
        (80, "[1/4] deeplabv3plus_resnet101:  34% 136/400, 2.00 steps/s, 02:12 left"),
        (
            120,
            "[1/4] deeplabv3plus_resnet101:  34% 136/400, 2.00 steps/s, 02:12 left, loss=1.235, "
            "epoch=3, val_miou=0.4123",
        ),
        (
            140,
            "[1/4] deeplabv3plus_resnet101:  34%|#########                    | 136/400, "
            "2.00 steps/s, 02:12 left, loss=1.235, epoch=3, val_miou=0.4123",
        ),
    ],
)
def test_every_terminal_shows_a_line_that_can_be_read(width, row, clock, monkeypatch):
    assert drawn(width, clock, monkeypatch) == row


def test_what_matters_least_goes_first(clock, monkeypatch):
    """At no width does the line wrap, and none lacks a field that a narrower one has."""
    before = []
    for width in range(1, 150):
        row = drawn(width, clock, monkeypatch)
        fields = [name for name, pattern in FIELDS.items() if re.search(pattern, row)]
        assert set(before) <= set(fields)
        before = fields
    assert before == list(FIELDS)


def test_letters_of_two_columns_are_counted(clock, monkeypatch):
    row = drawn(30, clock, monkeypatch, description="\u641c\u7d22\u7f51\u7edc\u7ed3\u6784")
    assert row == "\u641c\u7d22\u7f51\u7edc\u7ed3\u6784:  34% 136/400"  # 12 + 13 columns


@pytest.mark.parametrize(("size", "expected"), [(120, 120), (0, 80)])
def test_a_real_terminals_size_is_asked_for(size, expected):
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, size, 0, 0))
        with open(theirs, "w", closefd=False) as stream:
            progress = Progress(4, description="search", stream=stream)
            progress.update(2, **{f"value_{i}": i for i in range(30)})
            progress.close()
        text = ""
        while not text.endswith("\n"):  # closing ends the line
            text += os.read(ours, 1 << 16).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert expected - 20 < max(map(len, re.split("[\r\n]+", text))) < expected


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with Progress(1, description="x", stream=stream) as progress:
        progress.update()
    assert "\r" not in stream.getvalue() and stream.getvalue().startswith("x: 1/1 steps")


def test_plain_lines_come_less_often_in_a_long_run(clock):
    stream = io.StringIO()
    with Progress(3600, description="x", stream=stream, interval_s=10) as progress:
        for _ in range(3600):
            clock.now_s += 1.0
            progress.update()
    # The first step; every 10 s up to 591 s; then every 60 s; and the last one.
    numbers = [int(line.split("/")[0].removeprefix("x: ")) for line in lines_of(stream)]
    assert numbers[:3] == [1, 11, 21] and numbers[-3:] == [3531, 3591, 3600]
    assert len(numbers) == 60 + 50 + 1


def lines_of(stream):
    return stream.getvalue().splitlines()


def test_a_long_phase_says_what_it_does(clock):
    stream = io.StringIO()
    progress = Progress(10, description="retrain", stream=stream, interval_s=10)
    clock.now_s += 1.0
    progress.update()
    with progress.phase("validating") as on_image:
        for number in range(1, 31):
            clock.now_s += 0.9
            on_image(number, 30)
    lines = lines_of(stream)
    # After more than 3 s for the first time, then every 10 s.
    assert [re.search(r"validating (\d+)/30", line).group(1) for line in lines[1:]] == [
        "4",
        "16",
        "28",
    ]
    assert lines[1].startswith("retrain: 1/10 steps, validating 4/30, ")
    clock.now_s += 10.0
    progress.update()
    assert "validating" not in lines_of(stream)[-1]


def test_a_short_phase_is_not_worth_a_plain_line(clock):
    stream = io.StringIO()
    progress = Progress(10, description="retrain", stream=stream)
    progress.update()
    with progress.phase("validating") as on_image:
        clock.now_s += 2.0
        on_image(1, 1)
    assert len(lines_of(stream)) == 1


def test_a_terminal_shows_a_phase_at_once(clock, monkeypatch):
    stream = WideTerminal(100, monkeypatch)
    progress = Progress(10, description="retrain", stream=stream, starting="compiling kernels")
    assert screen(stream.getvalue(), 100)[0].endswith(" 0/10, compiling kernels")
    clock.now_s += 1.0
    progress.update()
    with progress.phase("validating") as on_image:
        assert "1/10, validating, 1.00 steps/s" in screen(stream.getvalue(), 100)[0]
        clock.now_s += 1.0
        on_image(5, 8)
        assert "1/10, validating 5/8, 2.00 s/step" in screen(stream.getvalue(), 100)[0]
    clock.now_s += 1.0
    progress.update()
    assert "2/10, 1.50 s/step" in screen(stream.getvalue(), 100)[0]


def test_a_log_says_at_once_what_the_first_step_waits_for():
    stream = io.StringIO()
    progress = Progress(10, description="retrain", stream=stream, starting="compiling kernels")
    assert lines_of(stream) == ["retrain: 0/10 steps, compiling kernels, 00:00 elapsed"]
    progress.update()
    assert lines_of(stream)[1].startswith("retrain: 1/10 steps, ")


def test_names_stay_in_their_line():
    stream = io.StringIO()
    with Progress(1, description="a\nb\x1b[31m", stream=stream) as progress:
        progress.update(**{"x\n": "y\r"})
    (line,) = stream.getvalue().splitlines()
    assert r"a\nb\x1b[31m" in line and r"x\n=y\r" in line


def test_standard_error_by_default(capsys):
    with Progress(1, description="x") as progress:
        progress.update()
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("x: 1/1 steps")


def test_seconds_have_no_rate_and_what_is_left_is_known():
    # A search by the clock: the first step took 7 of the 60 seconds.
    state = ProgressState(
        description="search", unit="second", num_done=7, num_here=7, total=60, elapsed_s=9.0
    )
    assert plain_line(state) == "search: 7/60 seconds, 00:09 elapsed, 00:53 left"


@pytest.mark.parametrize(("num_done", "left"), [(9, ", 00:10 left"), (10, "")])
def test_what_follows_the_last_step_is_not_said_to_take_no_time(num_done, left):
    state = ProgressState(
        description="compare", unit="step", num_done=num_done, num_here=num_done, total=10,
        elapsed_s=10.0 * num_done, phase="timing 3/9",
    )  # fmt: skip
    elapsed = {9: "01:30", 10: "01:40"}[num_done]
    line = f"compare: {num_done}/10 steps, timing 3/9, 10.00 s/step, {elapsed} elapsed{left}"
    assert plain_line(state) == line
