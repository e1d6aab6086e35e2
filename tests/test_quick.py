"""The list of what `--quick` leaves out, and how it is made."""

from pathlib import Path
from types import SimpleNamespace

from tests import quick

ROOT = Path(__file__).parents[1]


def test_every_name_is_that_of_a_test():
    for name in quick.LIST.read_text().split():
        file, _, function = name.partition("::")
        assert f"def {function.rpartition('::')[2]}(" in (ROOT / file).read_text(), name


def test_the_list_names_functions_whose_mean_is_above_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(quick, "LIST", tmp_path / "list.txt")
    stopwatch = quick.Stopwatch()
    for node_id, duration in [
        ("a.py::test_long[1]", quick.LIMIT_SECONDS),  # set-up
        ("a.py::test_long[1]", quick.LIMIT_SECONDS),
        ("a.py::test_long[2]", 0.1),
        ("a.py::test_short[1]", 1.9 * quick.LIMIT_SECONDS),
        ("a.py::test_short[2]", 0.0),
    ]:
        stopwatch.pytest_runtest_logreport(SimpleNamespace(nodeid=node_id, duration=duration))
    stopwatch.pytest_sessionfinish()
    assert quick.LIST.read_text() == "a.py::test_long\n"


def test_what_was_listed_stays_where_a_quick_run_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(quick, "LIST", tmp_path / "list.txt")
    quick.LIST.write_text("a.py::test_was_left_out\n")
    stopwatch = quick.Stopwatch(quick.names())
    for function, duration in (("test_pays_for_all", 9.0), ("test_short", 0.0)):
        report = SimpleNamespace(nodeid=f"a.py::{function}", duration=duration)
        stopwatch.pytest_runtest_logreport(report)
    stopwatch.pytest_sessionfinish()
    assert quick.LIST.read_text().split() == ["a.py::test_pays_for_all", "a.py::test_was_left_out"]


def test_what_is_left_out_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(quick, "LIST", tmp_path / "list.txt")
    quick.LIST.write_text("a.py::test_long\n")
    told = []
    config = SimpleNamespace(
        hook=SimpleNamespace(pytest_deselected=lambda items: told.extend(items))
    )
    items = [SimpleNamespace(nodeid=name) for name in ("a.py::test_long[1]", "a.py::test_longer")]
    kept = list(items)
    quick.leave_out(config, kept)
    assert (kept, told) == (items[1:], items[:1])
