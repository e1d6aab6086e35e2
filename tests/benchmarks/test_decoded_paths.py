"""Where decoded paths lie, against counting by hand and by listing every path."""

import json

import pandas as pd
import pytest
import torch

from autoseg.architecture import SearchSpace
from autoseg.architecture.best_paths import best_paths
from autoseg.architecture.path_rule import edge_scores
from benchmarks import decoded_paths

SPACE = SearchSpace.load("autodeeplab")


def test_the_share_among_all_paths_is_that_of_a_list() -> None:
    space = SearchSpace.load("autodeeplab", preset="tiny")
    scores = edge_scores(space, torch.zeros(space.num_layers, space.num_levels, 3))
    listed = [ranked.path for ranked in best_paths(space, scores)]
    at_border = sum(stride in (4, 32) for path in listed for stride in path)
    share = at_border / (len(listed) * space.num_layers)
    assert decoded_paths.border_share_of_all_paths(space) == pytest.approx(share, rel=1e-12)


def test_the_rule_over_the_start_ties_where_nothing_was_learnt() -> None:
    beta = torch.zeros(SPACE.num_layers, SPACE.num_levels, 3)
    scores = decoded_paths.over_its_start(SPACE, beta)
    live = scores > -torch.inf
    assert scores[live].abs().max() < 1e-12
    assert torch.equal(live, edge_scores(SPACE, beta) > -torch.inf)


def test_a_row_for_each_deviation_and_rule(tmp_path, capsys) -> None:
    decoded_paths.main(["--num-draws", "3", "--out", str(tmp_path)])
    table = pd.read_csv(tmp_path / "decoded_paths.csv")
    assert len(table) == len(decoded_paths.DEVIATIONS) * len(decoded_paths.RULES)
    assert (table.num_paths <= 3).all()
    record = json.loads((tmp_path / "decoded_paths.json").read_text(encoding="utf-8"))
    assert record["config"]["num_draws"] == 3
    # The unbiased rule decides alike however large the noise is.
    paths = {row["most_frequent"] for row in record["rows"] if row["rule"] == "unbiased"}
    assert len(paths) == 1
    assert "3 draws a row" in capsys.readouterr().out
