"""`--quick`: the tests that a change can wait for, chosen by what they were measured to take.

Tests of a function stand or fall together: the list names functions whose tests take more than
`LIMIT_SECONDS` on average, with what they share set up. `--measure-quick` writes it anew. With
`--quick` it adds to the list instead: what a fixture sets up for a whole module falls then to the
first test that is not left out, which in a whole run may have found it done.
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
        help=f"write the list of what --quick leaves out, {LIST.name}, by the times of this run; "
        "with --quick, add to it",
    )


def function_of(node_id):
    """Return the name of a test without its case."""
    return node_id.partition("[")[0]


def names():
    """Return the names of the functions in the list."""
    return set(LIST.read_text().split())


def leave_out(config, items):
    """Deselect what the list names."""
    listed = names()
    kept, left_out = [], []
    for item in items:
        (left_out if function_of(item.nodeid) in listed else kept).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


class Stopwatch:
    """Adds up what the tests of each function take.

    Args:
        listed: Names that stay in the list, whatever they take in this run.
    """

    def __init__(self, listed=()):
        self._listed = listed
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
        slow = {
            function
            for function, seconds in self._seconds.items()
            if seconds / len(self._cases[function]) > LIMIT_SECONDS
        }.union(self._listed)
        LIST.write_text("".join(f"{function}\n" for function in sorted(slow)))
