"""The search for parameters: stock first, seeded, and the same however often it is stopped."""

import json
import math
import warnings
from contextlib import ExitStack
from dataclasses import asdict

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import create_trial

from autoseg.crf import STOCK
from autoseg.errors import FileError
from autoseg.tuning.study import RANGES, CRFStudy
from tests.fuzzing import as_json_lines, damaged_bytes, damaged_json, require_clean_refusals


@pytest.fixture
def open_study(tmp_path):
    """Open studies as new processes do."""
    with ExitStack() as opened:

        def open_study(name="a", *, seed=3):
            study = CRFStudy(tmp_path / "trials", name=name, seed=seed, mode="fast")
            return opened.enter_context(study)

        yield open_study


def planted(parameters):
    """A score whose optimum is known: bilateral_weight 1, spatial_weight 0.5."""
    first = math.log(parameters.bilateral_weight)
    second = math.log(parameters.spatial_weight / 0.5)
    return 1 - 0.05 * (first**2 + second**2)


class Killed(Exception):
    pass


def killed(parameters):
    raise Killed


def test_stock_parameters_come_first_and_lie_in_the_ranges(tmp_path, open_study):
    study = open_study()
    for _ in range(3):
        study.step(planted, STOCK)
    trials = study.trials
    assert [trial.name for trial in trials] == [*STOCK, ""]
    assert [trial.parameters for trial in trials[:2]] == list(STOCK.values())
    assert [trial.mean_iou for trial in trials] == [planted(t.parameters) for t in trials]
    for trial in trials:
        for name, each in RANGES.items():
            assert each.low <= asdict(trial.parameters)[name] <= each.high


def test_a_study_that_is_killed_goes_on_as_if_it_had_not_been(tmp_path, open_study):
    whole = open_study("whole")
    for _ in range(16):
        whole.step(planted, STOCK)
    for number in range(16):
        study = open_study("stopped")  # as a new process opens it
        if number % 3 == 1:
            with pytest.raises(Killed):
                study.step(killed, STOCK)
        if number % 5 == 2:
            study._study.ask(dict(RANGES))  # a kill leaves a trial that runs for ever
            study = open_study("stopped")
        study.step(planted, STOCK)
    assert open_study("stopped").trials == whole.trials


def test_a_planted_optimum_is_approached(tmp_path, open_study):
    study = open_study()
    for _ in range(50):
        study.step(planted, STOCK)
    best = max(trial.mean_iou for trial in study.trials)
    assert best > 0.99
    assert best > max(planted(parameters) for parameters in STOCK.values()) + 0.05


def test_seeds_differ(tmp_path, open_study):
    values = []
    for seed in (1, 2):
        study = open_study(f"seed {seed}", seed=seed)
        values.append([study.step(planted, {}).parameters.bilateral_weight for _ in range(2)])
    assert values[0] != values[1]
    assert values[0][0] != values[0][1]


def test_a_lock_that_a_kill_left_does_not_stop_the_next_process(tmp_path, open_study):
    (tmp_path / "trials.lock").symlink_to(tmp_path / "trials")
    study = open_study()
    assert study.step(planted, STOCK).name == "DeepLab"


def run(open_study, num_trials):
    """Run trials in one go, and return them."""
    study = open_study()
    for _ in range(num_trials):
        study.step(planted, STOCK)
    return study.trials


def test_the_file_is_one_that_optuna_reads(tmp_path, open_study):
    trials = run(open_study, 4)
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "trials")))
    loaded = optuna.load_study(study_name="a", storage=storage)
    assert [trial.value for trial in loaded.trials] == [trial.mean_iou for trial in trials]


def test_a_file_that_optuna_wrote_is_gone_on_with(tmp_path, open_study):
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "trials")))
    earlier = optuna.create_study(study_name="a", storage=storage, direction="maximize")
    for parameters in STOCK.values():
        values = {name: asdict(parameters)[name] for name in RANGES}
        trial = create_trial(params=values, distributions=dict(RANGES), value=0.5)
        earlier.add_trial(trial)
    assert [trial.mean_iou for trial in open_study().trials] == [0.5, 0.5]


def test_a_last_line_cut_at_any_byte_costs_one_trial_at_most(tmp_path, open_study):
    path = tmp_path / "trials"
    expected = run(open_study, 5)
    content = path.read_bytes()
    start = content.rindex(b"\n", 0, -1) + 1
    for end in range(start, len(content)):
        path.write_bytes(content[:end])
        if end in (start, len(content) - 1):  # nothing of it, and all but its end
            study = open_study()
        else:
            with pytest.warns(UserWarning, match=r"the last line of .*trials was cut off"):
                study = open_study()
        assert study.trials == expected[: len(study.trials)]
        assert len(study.trials) >= 4
    # As if it had never been stopped: the last one is tried again, with the same parameters.
    path.write_bytes(content[: start + 9])
    with pytest.warns(UserWarning, match="was cut off"):
        study = open_study()
    assert study.step(planted, STOCK) == expected[4]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (b"\xff", "line 2, is not as it was written: .*utf-8"),
        (b"{", "line 2, is not as it was written: Expecting"),
        (b"{}", "line 2, .* it has no field 'op_code'"),
        (b'{"op_code": 99, "worker_id": "x"}', "is not a journal of trials"),
        (b'{"op_code": 4, "worker_id": "x"}', "is not a journal of trials"),
    ],
)
def test_a_bad_line_is_named_with_what_to_do(tmp_path, open_study, damage, reason):
    path = tmp_path / "trials"
    run(open_study, 3)
    lines = path.read_bytes().splitlines()
    lines[1] = damage
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(
        FileError, match=rf"trials.*{reason}.*delete it, and the tuning begins again"
    ):
        open_study()


def test_scores_and_parameters_that_cannot_be_are_refused(tmp_path, open_study):
    path = tmp_path / "trials"
    run(open_study, 3)
    lines = path.read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if '"op_code":5' in line.replace(" ", ""))
    values = json.loads(lines[place])
    for field, value in (("param_value_internal", 1e6), ("param_name", "other")):
        changed = [*lines]
        changed[place] = json.dumps({**values, field: value})
        path.write_text("\n".join(changed) + "\n")
        with pytest.raises(FileError, match=r"is not a journal of trials: .* of trial \d is"):
            open_study()


@pytest.mark.fuzz
def test_damage_of_any_kind_is_refused_with_the_files_name(tmp_path, memory_folder, open_study):
    run(open_study, 3)
    content = (tmp_path / "trials").read_bytes()
    lines = [json.loads(line) for line in content.splitlines()]

    def read(path):
        with (
            warnings.catch_warnings(action="ignore"),  # of a last line that was cut
            CRFStudy(path, name="a", seed=3, mode="fast") as study,
        ):
            return study.trials

    damaged = damaged_bytes(content) | damaged_json(lines).map(as_json_lines)
    require_clean_refusals(read, memory_folder / "trials", damaged)


@pytest.mark.parametrize("seed", [5000, 2**63 - 1])
def test_a_large_seed_is_one(open_study, seed):
    assert open_study(seed=seed).step(planted, {}).name == ""
