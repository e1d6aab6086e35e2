"""The curvature against dense Hessians, the stopping rule against its code, and the way back."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from autoseg.errors import UsageError
from autoseg.strategies import robust
from autoseg.strategies.curvature import largest_eigenvalue
from autoseg.strategies.stopping import STOPPING_RULES, find_rises, regularised_decay
from tests.strategies.contract import run_search, strategy_of, task_of
from tests.strategies.test_second_order import Reference
from tests.training.test_loop import Flag, metrics

PAPER, CODE = STOPPING_RULES["paper"], STOPPING_RULES["code"]


def first_stop(rule, eigenvalues, **settings):
    """The measurement after which the rule stops, and the one that it returns to."""
    for number in range(len(eigenvalues)):
        returned = rule.returned(eigenvalues[: number + 1], **settings)
        if returned is not None:
            return number, returned
    return None


def test_the_two_rules_are_not_equivalent():
    def growing(rate):
        return [0.1 * rate**number for number in range(40)]

    # In the middle of a geometric history the means grow like the values.
    assert first_stop(CODE, growing(1.0), first=5) is None
    assert first_stop(PAPER, growing(1.05), first=5) is None  # 1.05^5 = 1.276
    assert first_stop(CODE, growing(1.06), first=5) is None  # 1.06^4 = 1.262
    assert first_stop(PAPER, growing(1.06), first=5) == (12, 5)  # 1.06^5 = 1.338 > 1.333
    assert first_stop(CODE, growing(1.07), first=5) == (11, 5)  # 1.07^4 = 1.311
    # A measurement every 2 epochs: returns to epoch 10, decided in epoch 22, as runs of theirs.
    assert CODE.num_needed == 7
    assert first_stop(CODE, [1, 1, 1, 1, 9, 9, 9]) == (6, 0)


def test_the_code_s_rule_is_its_sliding_window():
    generator = np.random.default_rng(0)
    stops = []
    for _ in range(200):
        eigenvalues = np.exp(generator.normal(size=25).cumsum() * 0.15).tolist()
        window, means, expected = [], [], None
        for number, value in enumerate(eigenvalues):
            window = [*window, value][-5:]
            if number < 2:
                continue
            means.append(np.mean(window))  # of the measurement two before
            centre = number - 2
            if centre - 4 >= 5 and means[-1] / means[-5] > 1.3:
                expected = (number, centre - 4)
                break
        assert first_stop(CODE, eigenvalues, first=5) == expected
        stops.append(expected)
    assert None in stops
    assert len(set(stops)) > 5


@pytest.mark.parametrize("shift", [-30.0, 0.0])  # all negative; of both signs
def test_the_largest_eigenvalue_is_that_of_the_dense_matrix(shift):
    generator = torch.Generator().manual_seed(2)
    root = torch.randn(60, 60, generator=generator, dtype=torch.float64)
    matrix = root + root.T + shift * torch.eye(60, dtype=torch.float64)
    start = torch.randn(60, generator=generator, dtype=torch.float64)
    exact = float(torch.linalg.eigvalsh(matrix)[-1])
    found = largest_eigenvalue(matrix.mv, start, tolerance=1e-9, max_products=60)
    assert found == pytest.approx(exact, rel=1e-9)
    by_few = largest_eigenvalue(matrix.mv, start, max_products=20)
    assert exact - 0.05 * abs(exact) < by_few <= exact
    # Of rank 1: over after two products, and no division by the norm of nothing.
    vector = torch.randn(60, generator=generator, dtype=torch.float64)
    found = largest_eigenvalue(lambda v: vector * (vector @ v), start)
    assert found == pytest.approx(float(vector @ vector), rel=1e-9)


def test_lambda_max_is_that_of_the_dense_hessian(monkeypatch):
    monkeypatch.setattr(
        robust, "segmentation_loss", lambda logits, target, **_: F.cross_entropy(logits, target)
    )
    monkeypatch.setattr(robust, "RADIUS", 1e-5)  # between a supernet's kinks
    torch.manual_seed(0)
    task = task_of("robust", arch_weight_decay=0.125)
    search = strategy_of("robust")(task)
    net = search.supernet.double()
    with torch.no_grad():
        net.alpha.normal_()
        net.beta.normal_()
    images, target = next(task.batches("b"))
    images, target = images.double(), target.clamp_max(net.num_classes - 1)
    state = [value.clone() for value in net.state_dict().values()]
    found = search.lambda_max((images, target))
    assert all(map(torch.equal, state, net.state_dict().values()))
    assert search.num_evaluations > 0
    network = Reference(net)

    def loss(alpha, beta):
        moved = {"net.alpha": alpha, "net.beta": beta}
        return F.cross_entropy(functional_call(network, moved, (images,)), target)

    arch = (net.alpha.detach(), net.beta.detach())
    blocks = torch.autograd.functional.hessian(loss, arch)
    sizes = [values.numel() for values in arch]
    dense = torch.cat(
        [
            torch.cat([block.reshape(size, -1) for block in row], dim=1)
            for size, row in zip(sizes, blocks, strict=True)
        ]
    )
    exact = float(torch.linalg.eigvalsh(dense)[-1])
    assert exact > 1e-6
    assert found - 0.125 == pytest.approx(exact, rel=2e-3)


def test_rises_are_found_as_the_authors_code_starts_again_from_what_it_kept():
    generator = np.random.default_rng(1)
    counts = set()
    for _ in range(100):
        eigenvalues = np.exp(generator.normal(0.05, size=40).cumsum() * 0.2).tolist()
        # Their loop: a history that is cut at each rise, and then goes on.
        history, kept, count = [], [], 0
        for number, value in enumerate(eigenvalues):
            history, kept = [*history, value], [*kept, number]
            later, earlier = len(history) - 3, len(history) - 7
            if earlier >= 0 and np.mean(history[max(0, later - 2) : later + 3]) > 1.3 * np.mean(
                history[max(0, earlier - 2) : earlier + 3]
            ):
                history, kept, count = history[: earlier + 1], kept[: earlier + 1], count + 1
        assert find_rises(CODE, eigenvalues) == (count, tuple(kept))
        counts.add(count)
    assert {0, 1, 2} <= counts


def test_the_weight_decay_grows_tenfold_up_to_its_most():
    decays = [regularised_decay(3e-4, num_rises) for num_rises in range(4)]
    assert decays == [3e-4, pytest.approx(3e-3), pytest.approx(3e-2), None]
    assert regularised_decay(0.01, 1) == 0.03
    assert regularised_decay(0.03, 1) is None


@pytest.fixture
def rising(monkeypatch):
    """Curvatures that rise at once, measured without any cost."""
    values = [1.0, 1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0, 9.0]

    def measure(self, batch, *, on_product):
        return values[len(self._eigenvalues)]

    monkeypatch.setattr(robust.RobustSearch, "lambda_max", measure)


WITH_A_RISE = {"num_epochs": 9, "arch_start_epoch": 1, "stop_rule": "code", "arch_lr": 1.0}


def test_a_rise_ends_the_search_with_the_architecture_before_it(rising, tmp_path):
    settings = WITH_A_RISE
    whole = run_search("robust", tmp_path / "whole", **settings)
    lines = metrics(tmp_path / "whole")
    assert whole.is_finished
    assert whole.rounds == 8  # of 9; one of them warm-up
    assert [line.get("lambda_max") for line in lines] == [None, 1, 1, 1, 1, 9, 9, 9]
    sentence = "Stopped after epoch 8, where the curvature had risen; alpha and beta are those of"
    assert f"{sentence} epoch 2." in whole.report.text
    assert whole.architecture.to_dict() == lines[1]["architecture"]
    assert whole.architecture.to_dict() != lines[-1]["architecture"]
    # A search that was killed before it could say that it is over goes on with nothing.
    assert run_search("robust", tmp_path / "whole", **settings) == whole
    assert metrics(tmp_path / "whole") == lines
    # Cut in the middle, it ends the same.
    run_search("robust", tmp_path / "cut", stop=Flag(11), **settings)
    assert run_search("robust", tmp_path / "cut", **settings) == whole
    assert metrics(tmp_path / "cut") == lines


def test_a_rise_can_be_answered_by_more_weight_decay(rising, tmp_path):
    settings = {
        **WITH_A_RISE,
        "on_rise": "regularise",
        "weight_decay": 0.001,
    }
    whole = run_search("robust", tmp_path / "whole", **settings)
    lines = metrics(tmp_path / "whole")
    assert whole.rounds == 9
    assert "Weight decay after 1 rise(s) of the curvature: 0.01." in whole.report.text
    assert "Stopped" not in whole.report.text
    # Cut before the rise and after it, it ends the same: the decay is in force again.
    for stop in (Flag(11), Flag(2)):
        run_search("robust", tmp_path / "cut", stop=stop, **settings)
    assert run_search("robust", tmp_path / "cut", **settings) == whole
    assert metrics(tmp_path / "cut") == lines


def test_a_weight_decay_that_cannot_grow_is_refused():
    for decay in (0.0, 0.03):
        task = task_of("robust", on_rise="regularise", weight_decay=decay)
        with pytest.raises(UsageError, match=rf"weight_decay = {decay:g} by 10, up to 0\.03; use"):
            strategy_of("robust").check(task)


def test_a_search_too_short_to_be_stopped_says_so(rising, tmp_path):
    result = run_search("robust", tmp_path / "run", num_epochs=3, arch_start_epoch=1)
    doubt = (
        "Measurements of the curvature: 2; --stop-rule paper needs 8: nothing could have "
        "stopped this search; use --num-epochs and --arch-start-epoch that lie 8 apart."
    )
    assert doubt in result.report.doubts
