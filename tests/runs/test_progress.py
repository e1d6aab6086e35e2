import io
import threading

import pytest

from autoseg.runs import progress as progress_module
from autoseg.runs.progress import Progress


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
    def isatty(self):
        return True


def test_plain_lines(clock):
    stream = io.StringIO()
    with Progress(100, description="search", stream=stream, interval_s=10) as progress:
        for step in range(100):
            clock.now_s += 0.5
            progress.update(loss=1.0 / (step + 1), epoch=step // 50)
    # The first step, then every 10 s = 20 steps, and the last step. 2 steps/s throughout.
    assert stream.getvalue().splitlines() == [
        "search: 1/100 steps, 2.00 steps/s, 00:00 elapsed, 00:49 left, loss=1, epoch=0",
        "search: 21/100 steps, 2.00 steps/s, 00:10 elapsed, 00:39 left, loss=0.04762, epoch=0",
        "search: 41/100 steps, 2.00 steps/s, 00:20 elapsed, 00:29 left, loss=0.02439, epoch=0",
        "search: 61/100 steps, 2.00 steps/s, 00:30 elapsed, 00:19 left, loss=0.01639, epoch=1",
        "search: 81/100 steps, 2.00 steps/s, 00:40 elapsed, 00:09 left, loss=0.01235, epoch=1",
        "search: 100/100 steps, 2.00 steps/s, 00:50 elapsed, 00:00 left, loss=0.01, epoch=1",
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


def test_standard_error_by_default(capsys):
    with Progress(1, description="x") as progress:
        progress.update()
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("x: 1/1 steps")
