"""Rows of other forms: scored and timed as such, held against plain torch, or not ranked."""

import io
from dataclasses import replace

import pytest
import torch

from autoseg.comparison import Case, group_networks, measure_networks, measuring, verdict
from autoseg.comparison import forms as forms_module
from autoseg.comparison.documents import form_table, group_table_markdown
from autoseg.data import build_dataset, normalise
from autoseg.evaluation import predict_logits
from autoseg.export import Form, FormError, running
from autoseg.runs import Progress
from tests.comparison.test_measuring import ONCE, subject

FOLDED, COMPILED = Form(is_folded=True), Form(backend="compile")
TIRING = Form(memory_format="channels-last")
UNTIMED = Form(is_folded=True, memory_format="channels-last")
UNGRADED = Form(is_folded=True, dtype="bfloat16")
FORMS = (Form(), COMPILED, TIRING, UNTIMED, Form(dtype="bfloat16"), UNGRADED, FOLDED)
PLAIN, OTHER, WRONG = range(3)


class Another(torch.nn.Module):
    """A graph that is not the network's: it gives its logits of the mirrored image."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images.flip(-1))


class Refused(torch.nn.Module):
    """What a compiler refuses at the first prediction."""

    def forward(self, images):
        raise NotImplementedError("no kernel\nfor this operator")


class Tiring(torch.nn.Module):
    """What fails when the second image is scored, after four predictions."""

    def __init__(self, network):
        super().__init__()
        self.network, self.num_left = network, 4

    def forward(self, images):
        self.num_left -= 1
        if self.num_left < 0:
            raise FormError("no memory left")
        return self.network(images)


class FailingWhen(torch.nn.Module):
    """What fails in one phase of a comparison, by an error that nobody expects."""

    def __init__(self, network, is_now):
        super().__init__()
        self.network, self.is_now = network, is_now

    def forward(self, images):
        if self.is_now():
            raise LookupError("a kernel")
        return self.network(images)


@pytest.fixture(scope="module")
def group():
    """Measure one network by itself, in half precision, and as a form that is another graph."""
    given, real = subject(num_images=2, image_scale=0.5), forms_module.run_in_form
    phases = []

    def noting(phase):
        function = getattr(measuring, phase)

        def noted(*args, **settings):
            phases.append(phase)
            return function(*args, **settings)

        return noted

    def failing(network, form, phase):
        failing = FailingWhen(network, lambda: phases[-1:] == [phase])
        return running._Guarded(failing, form).eval(), 0.0

    def run_in_form(network, form, **settings):
        if form == FOLDED:
            return Another(network).eval(), 7.0  # seconds of loading
        if form == COMPILED:
            return Refused().eval(), 0.0
        if form == TIRING:
            return Tiring(network).eval(), 0.0
        if form == UNTIMED:
            return failing(network, form, "time_networks")
        if form == UNGRADED:
            return failing(network, form, "grade")
        return real(network, form, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms_module, "run_in_form", run_in_form)
        for phase in ("count_all_macs", "time_networks", "grade"):
            patch.setattr(measuring, phase, noting(phase))
        progress = Progress(3 * len(FORMS), description="x", stream=io.StringIO())
        measured, left_out = measure_networks(
            [Case(subject=given, form=form) for form in FORMS],
            device=torch.device("cpu"),
            timing=ONCE,
            progress=progress,
        )
    assert progress.num_done == progress.total
    assert phases.count("count_all_macs") == 1  # of seven forms
    # The others are measured, though forms between them cannot be had, or fail later.
    assert left_out == [
        "icnet_resnet50 x0.125 (compile): cannot run as compile: NotImplementedError: no kernel "
        "for this operator",
        "icnet_resnet50 x0.125 (eager, channels-last): no memory left",
        "icnet_resnet50 x0.125 (eager, channels-last, folded): cannot run as eager, channels-last, "
        "folded: LookupError: a kernel",
        "icnet_resnet50 x0.125 (eager, bfloat16, folded): cannot run as eager, bfloat16, folded: "
        "LookupError: a kernel",
    ]
    (group,) = group_networks(measured)
    return group, [network.rows[0] for network in measured], measured


def test_rows_say_their_form_and_how_it_agrees(group):
    _, rows, measured = group
    assert [row.label for row in rows] == [
        f"icnet_resnet50 x0.125{form}" for form in ("", " (eager, bfloat16)", " (eager, folded)")
    ]
    assert rows[OTHER].form == ("eager", "bfloat16", "contiguous", False)
    assert (rows[PLAIN].logits_error, rows[PLAIN].form_fault) == (None, None)
    assert 0 < rows[OTHER].logits_error <= rows[OTHER].logits_tolerance == 0.05
    assert 0.5 < rows[OTHER].equal_labels <= 1
    assert rows[OTHER].form_fault is None
    assert len({row.macs for row in rows}) == len({row.num_params for row in rows}) == 1
    assert rows[WRONG].cold_start_ms > 7000 > rows[PLAIN].cold_start_ms > 0
    # Each form's own predictions are scored.
    plain, _, wrong = (network.evidence[0].shown[0] for network in measured)
    assert (plain != wrong).any()


def test_what_fails_late_has_no_part_in_the_choice_of_images(group):
    _, _, measured = group
    for network in measured:
        assert [scene.remark.split(",")[0] for scene in network.graded_scenes] == [
            "best of 2 images",
            "worst of 2 images",
        ]
        assert network.graded_scenes[0].remark.endswith("on average over 3 trainings")
        assert len(network.evidence[0].graded) == 2  # not twice, since they were chosen twice


def test_another_graph_is_flagged_and_ranked_nowhere(group):
    group, rows, measured = group
    fault = rows[WRONG].form_fault
    assert fault.startswith("as eager, folded it gives other logits than by plain torch: they")
    assert fault.endswith("of their norm, and 0.0001 is allowed")
    assert measured[WRONG].notes[0] == f"doubtful: {fault}."
    times = {record["label"]: record["total_latency_median_ms"] for record in group.records}
    assert [times[row.label] is None for row in rows] == [False, False, True]
    ranked = [sentence for sentence in verdict(group) if "doubtful" not in sentence]
    assert ranked and not any("folded" in sentence for sentence in ranked)
    assert rows[PLAIN].has_time_here and not rows[WRONG].has_time_here


def test_a_table_holds_the_forms_where_there_are_several(group):
    group, rows, measured = group
    records, columns = form_table(group)
    assert [record["label"] for record in records].count(rows[OTHER].label) == 1
    assert {"cold_start_ms", "logits_tolerance", "form_fault"} <= {c.key for c in columns}
    assert rows[OTHER].label in group_table_markdown(group)
    (alone,) = group_networks(measured[:1])
    assert form_table(alone)[0] == []


def test_no_logits_at_all_are_a_fault():
    logits = torch.rand(1, 2, 3, 3)
    error, _ = forms_module._differences([logits, logits], [logits * float("nan"), logits])
    formed = forms_module.Formed(
        form=FOLDED,
        running=subject(),
        cold_start_ms=0.0,
        logits_error=error,
        tolerance=1e-4,
        equal_labels=0.0,
    )
    assert "differ by nan of their norm" in formed.fault


def test_int8_is_calibrated_on_the_training_split_as_the_network_sees_it(monkeypatch):
    sizes = {"image_size": (32, 48), "num_classes": 4}
    train = build_dataset("synthetic", split="train", **sizes)
    given = replace(subject(image_scale=0.5), training_split=lambda: train)
    given.network.forward = lambda images: (
        seen.append(images) or images.new_zeros(len(images), 4, *images.shape[2:])
    )
    taken, seen = [], []

    def run_in_form(network, form, *, calibration, **_):
        taken.extend(calibration)
        return network, 0.0

    monkeypatch.setattr(forms_module, "run_in_form", run_in_form)
    form = Form(backend="openvino", dtype="int8", calibration_images=3)
    formed = forms_module.bring_into_form(given, form, device=torch.device("cpu"))
    assert (formed.form.dtype, formed.tolerance) == ("int8", 0.2)
    seen.clear()
    expected = [train[index] for index in (0, len(train) // 3, 2 * len(train) // 3)]
    for sample in expected:
        pixels = normalise(sample.image[None], train.normalisation)
        predict_logits(given.network, pixels, scales=(0.5,))
    assert [tuple(each.shape) for each in taken] == [(1, 3, 16, 24)] * 3
    assert all(map(torch.equal, taken, seen))
