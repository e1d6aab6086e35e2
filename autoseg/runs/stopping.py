"""Stop a loop between two steps, so that what was done is saved."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

from autoseg.distributed import any_process, num_processes

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class PhaseStoppedError(Exception):
    """A signal came while something long was done between two steps, and it was given up."""


class StopRequest:
    """Turn Ctrl-C and SIGTERM into a flag while the block runs.

    The loop asks `requested` between steps, saves and leaves. A second Ctrl-C raises
    KeyboardInterrupt at once. Outside the main thread Python delivers no signals, and the block
    changes nothing. Where several processes do one job, a signal to one of them stops all: they
    tell each other when they ask, and must ask equally often.
    """

    def __init__(self) -> None:
        """Prepare; nothing is installed before the block is entered."""
        self._is_asked = False
        self._owner: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come, to this process or to another of the job."""
        return any_process(self._is_asked)

    def leaving(
        self, phase: Callable[[str], contextlib.AbstractContextManager[Callable[[int, int], None]]]
    ) -> Callable[[str], contextlib.AbstractContextManager[Callable[[int, int], None]]]:
        """Let what takes long between two steps be given up after any of its items.

        Where several processes do one job, none leaves early: they have different numbers of items,
        and the others would wait for it.

        Args:
            phase: Such as `Progress.phase`.

        Returns:
            The same, whose function raises PhaseStoppedError once a signal has come, but not for
            the last item.
        """

        @contextlib.contextmanager
        def left(what: str) -> Iterator[Callable[[int, int], None]]:
            with phase(what) as on_item:

                def on_item_or_leave(num_done: int, num_items: int) -> None:
                    on_item(num_done, num_items)
                    if self._is_asked and num_done < num_items and num_processes() == 1:
                        raise PhaseStoppedError(what)

                yield on_item_or_leave

        return left

    def __enter__(self) -> Self:
        """Install the handlers."""
        if threading.current_thread() is threading.main_thread():
            self._owner = os.getpid()
            self._previous = {name: signal.signal(name, self._on_signal) for name in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put the handlers back that were there before."""
        for name, handler in self._previous.items():
            # None: the handler was not installed from Python and cannot be put back.
            signal.signal(name, signal.SIG_DFL if handler is None else handler)
        self._previous = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number)
        if os.getpid() != self._owner:
            # A data loader's worker, forked inside the block. Ctrl-C reaches the whole group: the
            # parent decides. SIGTERM is how the parent ends it.
            if name is signal.SIGTERM:
                signal.signal(name, signal.SIG_DFL)
                os.kill(os.getpid(), name)
            return
        if self._is_asked and name is signal.SIGINT:
            raise KeyboardInterrupt
        if not self._is_asked:
            # os.write: print may be called while the interrupted code is inside print.
            with contextlib.suppress(OSError):
                text = f"\n{name.name}: stopping after this step; Ctrl-C again stops at once.\n"
                os.write(2, text.encode())
        self._is_asked = True
