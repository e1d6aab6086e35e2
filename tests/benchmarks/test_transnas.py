"""Searches in tables of results, on a table small enough to enumerate."""

import itertools
import json
from statistics import fmean

import numpy as np
import pandas as pd
import pytest
import torch

from autoseg.errors import UsageError
from benchmarks import transnas

ACCURACIES = {"1-1": 90.0, "1-2": 91.0, "1-2-1": 94.0, "2-1": 92.0, "2-2": 93.0, "3-3": 95.0}


def test_random_search_has_the_expectation_of_all_subsets():
    for budget in range(1, 7):
        regrets = [
            95.0 - max(drawn) for drawn in itertools.combinations(ACCURACIES.values(), budget)
        ]
        assert transnas.exact_random_regret(ACCURACIES, budget) == pytest.approx(fmean(regrets))


def test_a_network_is_read_from_its_digits_and_any_others_as_the_nearest():
    domain = transnas.TableDomain(list(ACCURACIES))
    assert domain.options == {
        "digit0": ("1", "2", "3"), "digit1": ("1", "2", "3"), "digit2": ("", "1")
    }  # fmt: skip
    assert all(domain.decode(domain.encode(encoding)) == encoding for encoding in ACCURACIES)
    assert domain.decode({"digit0": "3", "digit1": "3", "digit2": "1"}) == "3-3"


def test_a_mutant_is_a_neighbour():
    domain = transnas.TableDomain([f"{a}-{b}" for a in range(4) for b in range(4)])
    generator = torch.Generator().manual_seed(0)
    mutants = {domain.mutate("1-1", generator) for _ in range(100)}
    assert mutants == {"0-1", "2-1", "3-1", "1-0", "1-2", "1-3"}


def test_gains_of_random_signs_by_enumeration():
    gains = np.array([1.0, 2.0, -0.5, 3.0])
    signed = np.array(list(itertools.product([-1, 1], repeat=4))) @ gains
    expected = (np.abs(signed) >= abs(gains.sum())).mean()
    assert transnas.sign_flip_p_value(gains) == pytest.approx(expected, abs=0.01)


def test_a_row_for_each_strategy_and_budget(tmp_path, monkeypatch, capsys):
    table = pd.DataFrame(ACCURACIES.items(), columns=["arch", "pixel_accuracy"])
    for name in transnas.FILES.values():
        table.to_csv(tmp_path / name, index=False)
    monkeypatch.setattr(transnas, "BUDGETS", (2, 6))
    monkeypatch.setenv(transnas.VARIABLE, str(tmp_path))
    transnas.main(["--num-seeds", "2", "--population-size", "2", "--out", str(tmp_path / "out")])
    rows = pd.read_csv(tmp_path / "out" / "transnas.csv")
    assert len(rows) == 2 * 4 * 2
    # All that there is was tried, and the first ones are random's.
    assert (rows[rows.budget == 6].regret == 0).all()
    assert (rows[rows.budget == 2].gain == 0).all()
    record = json.loads((tmp_path / "out" / "transnas.json").read_text(encoding="utf-8"))
    assert str(tmp_path) not in json.dumps(record["config"]["tables"])


def test_without_tables_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(transnas.VARIABLE, raising=False)
    transnas.main(["--out", str(tmp_path / "out")])
    assert "skipped: no tables" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match=r"segmentsemantic_micro.csv does not exist; give"):
        transnas.main(["--tables", str(tmp_path), "--out", str(tmp_path / "out")])
