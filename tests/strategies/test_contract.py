"""Every strategy through the checks of `contract.py`, and the two that draw their own budgets."""

import pytest

from autoseg.errors import UsageError
from autoseg.strategies import STRATEGIES
from tests.strategies import contract

# Each has the state of another one: the estimator by other weights, the step by another gradient.
NIGHTLY = {"random by shared", "random by finetuned", "darts2", "pc", "drnas"}
OF_THE_LOOP = {contract.check_the_seed_decides_it, contract.check_it_keeps_to_a_time}
"""Checks of what the two loops do, by steps and by samples: one of each passes them daily."""


def is_nightly(name, check):
    return name in NIGHTLY or (check in OF_THE_LOOP and name not in ("darts", "random"))


STRATEGIES_AND_CHECKS = [
    pytest.param(
        name,
        check,
        marks=[pytest.mark.nightly] if is_nightly(name, check) else [],
        id=f"{name}-{check.__name__[6:]}",
    )
    for name in sorted(contract.SETTINGS)
    for check in contract.CHECKS
]


@pytest.fixture(scope="module")
def whole(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / request.param
    return request.param, contract.run_whole(request.param, folder)


def test_every_strategy_is_in_the_suite():
    assert {name.split()[0] for name in contract.SETTINGS} == set(STRATEGIES)


@pytest.mark.parametrize(
    ("whole", "check"), STRATEGIES_AND_CHECKS, indirect=["whole"], scope="module"
)
def test_a_strategy(whole, check, tmp_path):
    name, search = whole
    check(name, search, tmp_path)


@pytest.mark.parametrize(
    ("name", "changes", "num_steps"),
    [
        # The warm-up comes on top, in the proportion of the epochs.
        ("darts", {"arch_steps": 3}, 6),
        ("darts", {"arch_steps": 5, "num_epochs": 5, "arch_start_epoch": 3}, 5 + 8),
        ("darts", {"arch_steps": 5, "arch_start_epoch": 0}, 5),
        # Whole samples alone.
        ("random", {"arch_steps": 6}, 6),
        ("random", {"arch_steps": 7}, 6),
        # The supernet's training, by epochs or by steps, and one for each sample.
        ("random by supernet", {}, 2 * 2 + 3),
        ("random by supernet", {"arch_steps": 7, "num_samples": 1}, 7 + 1),
        ("random by finetuned", {"arch_steps": 7}, 7 + 3 * 2),
    ],
)
def test_a_budget_of_steps(name, changes, num_steps):
    assert contract.strategy_of(name)(contract.task_of(name, **changes)).num_steps == num_steps


def test_a_budget_below_one_sample_is_refused():
    rule = r"arch_steps = 1, but each sample takes sample_steps = 2; use --arch-steps 2 or more"
    with pytest.raises(UsageError, match=rule):
        STRATEGIES["random"].check(contract.task_of("random", arch_steps=1))
