"""What is measured is what is scored, and every difference between counters is accounted for."""

import io
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from autoseg.comparison import Case, Subject, TimingConfig, Trained, measure_networks
from autoseg.comparison import measuring as measuring_module
from autoseg.comparison import timing as timing_module
from autoseg.comparison.mac_counts import explain_count
from autoseg.comparison.seeds import join_seeds
from autoseg.config.diagnosis import DiagnosisConfig
from autoseg.cost import MacPrediction, MacTerm, ToolCount, count_macs
from autoseg.crf import DenseCRF
from autoseg.data import IMAGENET_MEAN, IMAGENET_STD, build_dataset
from autoseg.evaluation import evaluate
from autoseg.metrics import border_scores, overlaps
from autoseg.networks import CRF_RNN, build_network, crf_rnn
from autoseg.runs import Progress
from autoseg.runs import progress as progress_module
from autoseg.trained import ModelDescription, RetrainedNetwork

SIZE = (32, 48)
# A machine that tests share is never steady.
ONCE = TimingConfig(min_runs=1, min_seconds=0.0, max_warm_up_seconds=0.0, max_drift=1e9)


def measure(subject, *, crf, crf_text, **settings):
    """Measure one network."""
    case = Case(subject=subject, crf=crf, crf_text=crf_text)
    (measured,), left_out = measure_networks([case], **settings)
    assert not left_out
    return measured


SHALLOW = "segnet_basic"  # whose work three tools count ten times as fast


def subject(name="icnet_resnet50", *, num_images=2, image_scale=1.0):
    torch.manual_seed(0)
    return Subject(
        name=name,
        width=0.125,
        filter_multiplier=None,
        has_crf_layer=False,
        network=build_network(name, num_classes=4, width=0.125).eval(),
        dataset=build_dataset("synthetic", split="val", image_size=SIZE, num_classes=4),
        indices=tuple(range(num_images)),
        image_scale=image_scale,
        trained=None,
    )


def test_what_sets_a_training_apart_is_told():
    plain = subject(SHALLOW, num_images=1)
    description = ModelDescription.from_dict(
        {"network": {"label": "x", "name": "unet"}, "class_names": ["a"], "image_scale": 1.0}
    )
    run = RetrainedNetwork(
        folder=Path("r"), record={"seed": 5, "config": {}}, description=description
    )
    trained = Trained(run=run, num_steps=1, best_step=1, weights_sha256="0" * 64)
    told = replace(trained, loss="focal + dice", started_from="resnet50.pth")
    timing = ONCE
    common, apart = (
        measure(
            replace(plain, trained=given),
            device=torch.device("cpu"),
            crf=None,
            crf_text="",
            timing=timing,
            progress=Progress(1, description="x", stream=io.StringIO()),
        ).notes
        for given in (trained, told)
    )
    assert apart == (
        "trained with another loss than plain cross-entropy: focal + dice.",
        "started from the weights in resnet50.pth, not from random ones.",
        *common,
    )


def test_a_crf_in_the_network_is_named_and_explained():
    plain = subject(SHALLOW, num_images=1)
    torch.manual_seed(0)
    network = build_network(SHALLOW, num_classes=4, width=0.125)
    layered = replace(
        plain,
        name=f"{SHALLOW}+crf",
        has_crf_layer=True,
        network=crf_rnn(
            network, num_classes=4, mean=IMAGENET_MEAN, std=IMAGENET_STD, settings=CRF_RNN
        ).eval(),
    )
    timing = ONCE
    without, has_crf = (
        measure(
            given,
            device=torch.device("cpu"),
            crf=None,
            crf_text="",
            timing=timing,
            progress=Progress(1, description="x", stream=io.StringIO()),
        )
        for given in (plain, layered)
    )
    row = has_crf.rows[0]
    assert (row.label, row.network) == ("segnet_basic+crf x0.125", "segnet_basic+crf")
    # Two kernels' weights and the compatibility of 4 classes; no counter prices message passing.
    assert row.num_params - without.rows[0].num_params == 2 * 4 + 4 * 4
    counts = [(r.macs, r.macs_fvcore, r.macs_thop) for r in (row, without.rows[0])]
    assert counts[0] == counts[1]
    assert "its last layer is a dense CRF, which was trained with it" in has_crf.notes[0]
    assert not any("not explained" in note for note in has_crf.notes)
    assert "last layer" not in " ".join(without.notes)


def test_labels_say_what_is_not_of_published_size():
    plain = subject(num_images=0)
    for name, filter_multiplier, width, label in (
        ("icnet", None, 1.0, "icnet"),
        ("icnet", None, 0.125, "icnet x0.125"),
        ("searched", 20, 1.0, "searched F20"),
        ("searched", 8, 0.5, "searched F8 x0.5"),
    ):
        made = replace(plain, name=name, filter_multiplier=filter_multiplier, width=width)
        assert made.label == label


def test_rows_hold_what_evaluate_and_the_counter_say():
    """With and without CRF, at half the resolution, against direct calls on the same network."""
    given = subject(image_scale=0.5)
    crf = DenseCRF(num_iterations=2)
    progress = Progress(2, description="x", stream=io.StringIO())
    measured = measure(
        given,
        device=torch.device("cpu"),
        crf=crf,
        crf_text="num_iterations 2",
        timing=ONCE,
        progress=progress,
        new_borders=partial(border_scores, trimap=(2,), boundary_iou=True),
        diagnosis=DiagnosisConfig(calibration=True, confusions=True),
    )
    seen = []
    expected = evaluate(
        given.network,
        given.dataset,
        device="cpu",
        indices=(0, 1),
        crf=crf,
        scales=(0.5,),
        on_prediction=lambda *args: seen.append(args),
    )
    plain, refined = measured.rows
    assert progress.num_done == 3  # two images, and the network
    assert (plain.has_crf, refined.has_crf) == (False, True)
    assert plain.miou == expected.plain.mean_iou()
    assert refined.miou == expected.with_crf.mean_iou()
    assert refined.miou_change == refined.miou - plain.miou
    assert plain.pixel_accuracy == expected.plain.pixel_accuracy()
    assert refined.num_averaged == expected.with_crf.num_averaged
    assert (plain.crf, refined.crf) == (None, "num_iterations 2")
    assert plain.num_images == 2
    assert (plain.image_height, plain.image_width) == SIZE
    assert (plain.input_height, plain.input_width) == (16, 24)
    assert plain.macs == count_macs(given.network, (16, 24)).macs
    assert plain.total_latency_median_ms == plain.latency_median_ms == refined.latency_median_ms
    assert refined.crf_latency_median_ms > 0 and plain.crf_latency_median_ms is None
    assert measured.class_names == given.dataset.class_names
    assert torch.tensor(measured.class_iou[1]).equal(expected.with_crf.iou().float())
    check_what_was_seen(measured, seen, expected)
    for number, confusion in enumerate((expected.plain, expected.with_crf)):
        assert measured.calibration[number].accuracy == pytest.approx(confusion.pixel_accuracy())
        worst = measured.confusions[number][0]
        row = confusion.counts[worst.true]
        assert worst.share == pytest.approx(float(row[worst.predicted] / row.sum()))


def check_what_was_seen(measured, seen, expected):
    """Borders, counts of images and pictures come from the predictions that were scored."""
    assert [index for index, *_ in seen] == [0, 1]
    for number, confusion in enumerate((expected.plain, expected.with_crf)):
        borders = border_scores(4, confusion.ignore_index, trimap=(2,), boundary_iou=True)
        for _, target, *preds in seen:
            for score in borders:
                score.update(preds[number], target)
        found = {result.key: result.mean for result in measured.borders[number]}
        assert found == {score.key: score.mean() for score in borders}
        assert set(found) == {"trimap_iou_borders_2px", "trimap_iou_void_2px", "boundary_iou"}
        evidence = measured.evidence[number]
        assert evidence.image_overlaps.sum(0).tolist() == overlaps(confusion.counts).tolist()
        for shown, (_, _, *preds) in zip(evidence.shown, seen, strict=True):
            assert shown.tolist() == preds[number].tolist()
    assert [scene.target.tolist() for scene in measured.scenes] == [t.tolist() for _, t, *_ in seen]


def test_times_that_did_not_settle_are_marked_in_their_row(monkeypatch):
    """The network's do; the CRF's, and with them those of both, do not."""
    real = timing_module.measure_in_rounds
    stable = (True, True, True, False, False)
    drifts = (None, None, None, None, "it was warm")

    def measured_in_rounds(*args, **kwargs):
        given = zip(real(*args, **kwargs), stable, drifts, strict=True)
        return [replace(each, is_stable=settled, drift=drift) for each, settled, drift in given]

    monkeypatch.setattr(timing_module, "measure_in_rounds", measured_in_rounds)
    monkeypatch.setattr(progress_module, "_LONG_PHASE_S", 0.0)
    log = io.StringIO()
    measured = measure(
        subject(SHALLOW, num_images=0),
        device=torch.device("cpu"),
        crf=DenseCRF(num_iterations=1),
        crf_text="",
        timing=ONCE,
        progress=Progress(1, description="x", stream=log),
    )
    plain, refined = measured.rows
    flags = ("is_latency_settled", "is_crf_latency_settled", "is_total_latency_settled")
    assert [getattr(plain, flag) for flag in flags] == [True, None, True]
    assert [getattr(refined, flag) for flag in flags] == [True, False, False]
    assert measured.notes[-2] == "time of network and CRF: it was warm."
    assert "the times of CRF, network and CRF did not settle" in measured.notes[-1]
    assert (plain.latency_drift, refined.latency_drift) == (None, "it was warm")
    # Five stages, each warmed up and timed in one round; it is told before the images are graded.
    assert "x: 1/1 steps, timing all networks in turn 1/10, " in log.getvalue()


class Noisy(torch.nn.Module):
    """A network whose result is another one each time."""

    def forward(self, images):
        return torch.rand(len(images), 4, *images.shape[2:])


def test_a_network_that_is_timed_with_another_result_is_refused():
    with pytest.raises(
        RuntimeError, match=r"Noisy: what is timed is not what was scored: \d+\.\d% of"
    ):
        measure(
            replace(subject(SHALLOW, num_images=1), network=Noisy().eval()),
            device=torch.device("cpu"),
            crf=None,
            crf_text="",
            timing=ONCE,
            progress=Progress(2, description="x", stream=io.StringIO()),
        )


def test_the_timed_network_is_the_scored_one():
    """The very object runs for each scored image and each timed run, at the same size."""
    given = subject(SHALLOW, num_images=2, image_scale=0.5)
    sizes = []

    def note(module, args):
        if module is given.network:  # the counters of MACs run copies, hook included
            sizes.append(tuple(args[0].shape))

    given.network.register_forward_pre_hook(note)
    measure(
        given,
        device=torch.device("cpu"),
        crf=None,
        crf_text="",
        timing=replace(ONCE, min_runs=5),
        progress=Progress(1, description="x", stream=io.StringIO()),
    )
    assert len(sizes) >= 2 + 5
    assert set(sizes) == {(1, 3, 16, 24)}


def test_a_network_without_a_run_has_costs_and_no_score():
    measured = measure(
        subject(SHALLOW, num_images=0),
        device=torch.device("cpu"),
        crf=None,
        crf_text="",
        timing=ONCE,
        progress=Progress(1, description="x", stream=io.StringIO()),
    )
    (row,) = measured.rows
    assert (row.miou, row.num_averaged, row.num_images, row.seed, row.run) == (None,) * 5
    assert measured.class_iou == (None,)
    assert row.macs > 0 and row.latency_median_ms > 0 and row.memory_mib > 0


def test_parameters_of_training_alone_are_left_out():
    given = subject(num_images=0)
    measured = measure(
        given,
        device=torch.device("cpu"),
        crf=None,
        crf_text="",
        timing=ONCE,
        progress=Progress(1, description="x", stream=io.StringIO()),
    )
    # The oracle: parameters that get a gradient from the logits of eval mode.
    given.network(torch.randn(1, 3, *SIZE)).sum().backward()
    used = sum(p.numel() for p in given.network.parameters() if p.grad is not None)
    assert measured.rows[0].num_params == used


def prediction(*terms, canonical=1_000_000):
    return MacPrediction(
        tool="thop",
        canonical=canonical,
        terms=tuple(MacTerm(reason=reason, macs=macs) for reason, macs in terms),
        unmodelled=(),
    )


def count(macs, failure=None):
    return ToolCount(tool="thop", macs=macs, failure=failure, image_size=SIZE, batch_size=1)


@pytest.mark.parametrize(
    ("counted", "predicted", "text"),
    [
        (count(1_000_000), prediction(), "thop counts the same."),
        (count(None, "KeyError: x"), prediction(), "thop failed: KeyError: x."),
        (
            count(1_020_000),
            prediction(("norm", 30_000), ("pool", -10_000)),
            "thop differs by +20.00 k: norm (+30.00 k); pool (-10.00 k).",
        ),
        (
            count(1_020_007),
            prediction(("norm", 20_000)),
            "thop differs by +20.01 k: norm (+20.00 k); not explained (+7.000).",
        ),
        (
            count(1_000_110),
            prediction(("a", 50), ("b", 30), ("c", 20), ("d", 8), ("e", 2)),
            "thop differs by +110.0: a (+50.00); b (+30.00); c (+20.00); other reasons (+10.00).",
        ),
    ],
)
def test_explanations_by_hand(counted, predicted, text):
    assert explain_count(counted, predicted) == text


def test_of_trainings_that_differ_by_their_seed_the_middle_one_is_timed_for_all(monkeypatch):
    description = ModelDescription.from_dict(
        {"network": {"label": "x", "name": SHALLOW}, "class_names": ["a"], "image_scale": 1.0}
    )

    def training(seed, *, batch_size=8):
        run = RetrainedNetwork(
            folder=Path(f"seed-{seed}"),
            record={"seed": seed, "config": {"batch_size": batch_size, "seed": seed}},
            description=description,
        )
        network = build_network(SHALLOW, num_classes=4, width=0.125).eval()
        with torch.no_grad():  # each predicts a class of its own, and so has a score of its own
            list(network.parameters())[-1][seed] += 1e3
        return replace(
            subject(SHALLOW, num_images=1),
            network=network,
            trained=Trained(run=run, num_steps=1, best_step=1, weights_sha256="0" * 64),
        )

    timed = []
    real = timing_module.time_networks

    def time_networks(stages, **settings):
        timed.extend(each._network for each in stages)
        return real(stages, **settings)

    monkeypatch.setattr(measuring_module, "time_networks", time_networks)
    subjects = [training(1), training(2), training(3), training(3, batch_size=4)]
    measured, left_out = measure_networks(
        [Case(subject=each) for each in subjects],
        device=torch.device("cpu"),
        timing=ONCE,
        progress=Progress(len(subjects), description="x", stream=io.StringIO()),
    )
    assert not left_out
    rows = [network.rows[0] for network in measured]
    middle = sorted(range(3), key=lambda number: rows[number].miou)[1]
    assert len({row.miou for row in rows[:3]}) == 3
    assert timed == [subjects[middle].network, subjects[3].network]
    # Each keeps its own score, and says whose times it has.
    expected = [None if number == middle else middle + 1 for number in range(3)]
    assert [row.timed_seed for row in rows] == [*expected, None]
    assert len({row.total_latency_median_ms for row in rows[:3]}) == 1
    (joined,) = join_seeds(measured[:3])
    assert f"times are those of seed {middle + 1}, and" in joined.notes[-1]
