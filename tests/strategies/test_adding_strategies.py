"""The page that tells how to add a strategy: its code runs, and its strategy passes the suite."""

import re
from pathlib import Path

import pytest

from autoseg.strategies import STRATEGIES
from tests.strategies import contract

PAGE = Path(__file__).parents[2] / "docs" / "adding_strategies.md"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    known, names = dict(STRATEGIES), {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert set(STRATEGIES) - set(known) == {"largest"}
    contract.SETTINGS["largest"] = contract.COMMON
    yield contract.run_whole("largest", tmp_path_factory.mktemp("whole") / "run")
    del STRATEGIES["largest"], contract.SETTINGS["largest"]  # what the page adds


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__[6:])
def test_the_pages_strategy(whole, check, tmp_path):
    check("largest", whole, tmp_path)


def test_it_finds_the_largest_of_what_it_drew(whole):
    lines = contract.metrics(whole.folder)
    largest = max(lines, key=lambda line: line["num_params"])
    assert whole.result.architecture.to_dict() == largest["architecture"]
