"""Searches that several processes cannot share are refused, with what they can do."""

import pytest

from autoseg.commands import sharing
from autoseg.errors import UsageError
from autoseg.requests import SearchRequest

ALONE = "start it with python -m, without torchrun"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"strategy": "darts2"}, rf"^--strategy darts2: 2 processes .*{ALONE}, or .*darts\.$"),
        ({"strategy": "random"}, rf"^--strategy random: 2 processes .*{ALONE}, or .*darts\.$"),
        (
            {"strategy": "darts", "selection": "perturbation"},
            rf"^--selection perturbation: .*{ALONE}, or .* argmax\.$",
        ),
        ({"strategy": "darts", "cuda_graph": True}, r"^--cuda-graph: .* leave it out\.$"),
    ],
)
def test_a_search_that_cannot_be_shared_is_refused(monkeypatch, asked, message):
    request = SearchRequest(**asked)
    sharing.require_shareable(request)  # alone, it can be anything
    monkeypatch.setattr(sharing, "num_processes", lambda: 2)
    with pytest.raises(UsageError, match=message):
        sharing.require_shareable(request)
    sharing.require_shareable(SearchRequest(strategy="darts", cuda_graph=False))
