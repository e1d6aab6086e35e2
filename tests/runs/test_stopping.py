import os
import signal
import threading
from pathlib import Path

import pytest

from autoseg.runs import stopping
from autoseg.runs.stopping import StopRequest
from tests.fresh_process import printed_by


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_becomes_a_flag(number, capfd):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        assert signal.getsignal(number) != before
    assert signal.getsignal(number) == before
    assert f"{number.name}: stopping after this step" in capfd.readouterr().err


def test_a_second_ctrl_c_stops_at_once(capfd):
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # SIGTERM twice stays a flag
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before
    assert capfd.readouterr().err.count("stopping after this step") == 1


def test_outside_the_main_thread_nothing_is_installed():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with StopRequest() as stop:
            seen.append((signal.getsignal(signal.SIGINT), stop.requested))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, False)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_worker_ignores_ctrl_c_and_obeys_sigterm():
    script = f"""
import os, runpy, signal, time
StopRequest = runpy.run_path({str(Path(stopping.__file__))!r})["StopRequest"]
with StopRequest() as stop:
    pid = os.fork()
    if pid == 0:
        for _ in range(600):
            time.sleep(0.1)
        os._exit(0)
    time.sleep(0.2)
    os.kill(pid, signal.SIGINT)
    time.sleep(0.2)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0), "the worker died of Ctrl-C"
    os.kill(pid, signal.SIGTERM)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM, status
    assert not stop.requested
"""
    assert printed_by(script) == ""
