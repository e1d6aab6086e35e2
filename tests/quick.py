"""`--quick`: the tests that a change can wait for, chosen by what they were measured to take.

Tests of a function stand or fall together: the list names functions whose tests take more than
`LIMIT_SECONDS` on average, with what they share set up. `--measure-quick` writes it anew.
"""

from collections import defaultdict
from pathlib import Path

import pytest

LIST = Path(__file__).with_name("quick_leaves_out.txt")
LIMIT_SECONDS = 0.05


def add_options(parser):
    """Add the options to pytest's."""
    group = parser.getgroup("autoseg")
    group.addoption("--quick", action="store_true", help="leave out what takes long")
    group.addoption(
        "--measure-quick",
        action="store_true",
        help=f"write the list of what --quick leaves out, {LIST.name}, by the times of this run",
    )


def function_of(node_id):
    """Return the name of a test without its case."""
    return node_id.partition("[")[0]


def leave_out(config, items):
    """Deselect what the list names."""
    listed = set(LIST.read_text().split())
    kept, left_out = [], []
    for item in items:
        (left_out if function_of(item.nodeid) in listed else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


class Stopwatch:
    """Adds up what the tests of each function take."""

    def __init__(self):
        self._seconds = defaultdict(float)
        self._cases = defaultdict(set)

    def pytest_runtest_logreport(self, report):
        """Count a test's set-up, call or tear-down in."""
        function = function_of(report.nodeid)
        self._seconds[function] += report.duration
        self._cases[function].add(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self):
        """Write the list."""
        slow = [
            function
            for function, seconds in self._seconds.items()
            if seconds / len(self._cases[function]) > LIMIT_SECONDS
        ]
        LIST.write_text("".join(f"{function}\n" for function in sorted(slow)))
