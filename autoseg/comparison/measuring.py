"""Measure one network for a comparison: what is scored is what is counted and timed."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from autoseg.comparison.case import Case
from autoseg.comparison.evidence import EvidenceOf, TrueScene, scene_indices, true_scenes
from autoseg.comparison.forms import Formed, bring_into_form
from autoseg.comparison.grading import Graded, grade
from autoseg.comparison.mac_counts import Macs, count_all_macs
from autoseg.comparison.measured_rows import crf_row, plain_row
from autoseg.comparison.offline import Offline, measure_offline
from autoseg.comparison.rows import DOUBTFUL, BorderResult, NetworkComparison
from autoseg.comparison.seeds import middle
from autoseg.comparison.timing import Costs, Stages, TimingConfig, time_networks
from autoseg.config.diagnosis import DiagnosisConfig
from autoseg.data import SegmentationDataset
from autoseg.evaluation import Evaluation, evaluate
from autoseg.export import FormError
from autoseg.metrics import (
    BorderScore,
    Calibration,
    ConfusionMatrix,
    border_scores,
    doubt_about,
    worst_confusions,
)
from autoseg.runs import Progress

_NO_DIAGNOSIS = DiagnosisConfig()
_NUM_CONFUSIONS = 5  # of a row, that its table shows


_Scenes = dict[SegmentationDataset, dict[tuple[int, ...], tuple[TrueScene, ...]]]
"""Images that the report shows, by the dataset that networks share, and by their indices."""
_Counts = dict[tuple[nn.Module, str, tuple[int, int]], Macs]
"""Counts by network, the views of an image that it sees, and the size of the image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scored:
    """What is known of a network before it is timed."""

    case: Case
    formed: Formed
    scores: Evaluation | None
    evidence: tuple[EvidenceOf, ...]
    scenes: tuple[TrueScene, ...]
    counts: Macs
    image_sizes: Sequence[tuple[int, int]]
    """Height and width of each scored image; of the timed one if none was scored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Timed:
    """What a network costs."""

    costs: Costs
    offline: Sequence[Offline | str]
    seed: int | None
    """Seed of the training that was timed in its place; None: it was itself."""


def measure_networks(
    cases: Sequence[Case],
    *,
    device: torch.device,
    timing: TimingConfig,
    progress: Progress,
    new_borders: Callable[[int, int], Sequence[BorderScore]] = border_scores,
    diagnosis: DiagnosisConfig = _NO_DIAGNOSIS,
) -> tuple[list[NetworkComparison], list[str]]:
    """Score and count networks one by one, then time them in turn, without the CRF and with it.

    Of trainings that differ by their seed alone one is timed for all, the one in the middle of
    their scores: networks that differ by the values of their weights take the same time.

    Args:
        cases: The networks.
        device: Where everything is measured.
        timing: How long each timing lasts.
        progress: Counts each scored image and each network, and says what else takes time.
        new_borders: Begins scores of borders for a number of classes and an ignored label; as it
            is, none.
        diagnosis: Whether calibration and confusions are told.

    Returns:
        What was measured, in the order of the cases, and a sentence for each case that is left out
        since the network cannot run in its form, or failed in it before all was measured.

    Raises:
        RuntimeError: If a network gives another result when it is timed than when it was scored.
    """
    scored: list[tuple[_Scored, Stages]] = []
    left_out: list[str] = []
    known_counts: _Counts = {}
    known_scenes: _Scenes = {}

    def leave_out(case: Case, error: FormError) -> None:
        left_out.append(f"{case.label}: {error}")
        progress.write(f"left out: {left_out[-1]}")

    for number, case in enumerate(cases, start=1):
        progress.write(f"[{number}/{len(cases)}] {case.label}")
        for note in case.crf_notes:
            progress.write(note)
        num_done = progress.num_done + len(case.subject.indices) + 1  # when the case is done
        try:
            each = _score(
                case,
                device=device,
                progress=progress,
                new_borders=new_borders,
                has_calibration=diagnosis.calibration,
                image_size=timing.image_size,
                known_counts=known_counts,
                known_scenes=known_scenes,
            )
            timed = Stages(
                each.formed.running,
                crf=case.crf,
                device=device,
                form=case.form,
                batch_size=timing.batch_size,
                image_size=timing.image_size,
            )
            _require_scored(each, timed)
        except FormError as error:
            leave_out(case, error)
        else:
            scored.append((each, timed))
        progress.update(num_done - progress.num_done)
    timed_as = _timed_as([each for each, _ in scored])
    to_time = sorted(set(timed_as))
    with progress.phase("timing all networks in turn") as on_timing:
        times = time_networks(
            [scored[i][1] for i in to_time], device=device, timing=timing, on_timing=on_timing
        )
    costs = {
        i: cost
        if isinstance(cost, FormError)
        else (cost, _offline(*scored[i], device, timing, progress))
        for i, cost in zip(to_time, times, strict=True)
    }
    lasting: list[tuple[_Scored, _Timed]] = []
    for (each, _), i in zip(scored, timed_as, strict=True):
        found = costs[i]
        if isinstance(found, FormError):
            leave_out(each.case, found)
        else:
            lasting.append(
                (
                    each,
                    _Timed(
                        costs=found[0], offline=found[1], seed=_seed_of(scored[i][0], unless=each)
                    ),
                )
            )
    measured = []  # graded after the timing: what failed there has no part in the choice of images
    graded = _grade([each for each, _ in lasting], device=device, progress=progress)
    for (each, timed), scenes in zip(lasting, graded, strict=True):
        if isinstance(scenes, FormError):
            leave_out(each.case, scenes)
        else:
            network = _assemble(each, scenes, timed, device=device, timing=timing)
            measured.append(_diagnosed(network, each, diagnosis))
    return measured, left_out


def _timed_as(scored: Sequence[_Scored]) -> list[int]:
    """Choose, for each network, the number of the one whose times are its own as well."""
    groups: defaultdict[object, list[int]] = defaultdict(list)
    for number, each in enumerate(scored):
        case, trained = each.case, each.case.subject.trained
        setting = number if trained is None else (trained.training_sha256, trained.weights)
        groups[setting, case.form, str(case.views), case.crf_text].append(number)
    chosen = {}
    for members in groups.values():
        chosen |= dict.fromkeys(members, middle(members, lambda number: _miou(scored[number])))
    return [chosen[number] for number in range(len(scored))]


def _miou(scored: _Scored) -> float:
    return scored.scores.plain.mean_iou() if scored.scores else 0.0


def _seed_of(timed: _Scored, *, unless: _Scored) -> int | None:
    trained = timed.case.subject.trained
    return None if timed is unless or trained is None else trained.seed


def _diagnosed(
    network: NetworkComparison, scored: _Scored, diagnosis: DiagnosisConfig
) -> NetworkComparison:
    """Add what was asked beside the scores."""
    counted = [] if scored.scores is None else [scored.scores.plain, scored.scores.with_crf]
    results = [
        each.calibration.result() for each in scored.evidence if each.calibration is not None
    ]
    confusions = [
        worst_confusions(confusion.counts.cpu().numpy(), limit=_NUM_CONFUSIONS)
        for confusion in counted
        if confusion is not None and diagnosis.confusions
    ]
    return replace(network, calibration=tuple(results), confusions=tuple(confusions))


def _grade(
    scored: Sequence[_Scored], *, device: torch.device, progress: Progress
) -> list[tuple[TrueScene, ...] | FormError]:
    """Predict the best, median and worst image once more, by all; none of what was not scored."""
    networks = [
        Graded(subject=each.formed.running, crf=each.case.crf, evidence=each.evidence)
        for each in scored
        if each.evidence
    ]
    with progress.phase("predicting the best, median and worst image"):
        scenes = iter(grade(networks, device=device, on_image=lambda: None))
    return [next(scenes) if each.evidence else () for each in scored]


def _score(
    case: Case,
    *,
    device: torch.device,
    progress: Progress,
    new_borders: Callable[[int, int], Sequence[BorderScore]],
    has_calibration: bool,
    image_size: tuple[int, int] | None,
    known_counts: _Counts,
    known_scenes: _Scenes,
) -> _Scored:
    subject, dataset = case.subject, case.subject.dataset
    subject.network.to(device)
    with progress.phase(f"running it by {case.form}"):
        formed = bring_into_form(subject, case.form, device=device)
    counted, formed = case.seen(subject), replace(formed, running=case.seen(formed.running))
    scores = None
    image_sizes: list[tuple[int, int]] = []
    shown = scene_indices(subject.indices) if subject.indices else []
    evidence = tuple(
        EvidenceOf(
            dataset,
            shown,
            len(subject.indices),
            new_borders(dataset.num_classes, dataset.ignore_index),
            Calibration(dataset.ignore_index) if has_calibration else None,
        )
        for _ in range(1 if case.crf is None else 2)
    )

    def on_prediction(index: int, target: Tensor, *preds: Tensor) -> None:
        image_sizes.append((target.shape[0], target.shape[1]))
        for collected, pred in zip(evidence, preds, strict=True):
            collected.add(index, pred, target)

    def on_confidence(target: Tensor, *pairs: tuple[Tensor, Tensor]) -> None:
        for collected, pair in zip(evidence, pairs, strict=True):
            assert collected.calibration is not None
            collected.calibration.update(*pair, target)

    if subject.indices:
        scores = evaluate(
            formed.running.network,
            dataset,
            device=device,
            indices=subject.indices,
            crf=case.crf,
            scales=(formed.running.image_scale,),
            on_image=lambda *_: progress.update(),
            on_prediction=on_prediction,
            on_confidence=on_confidence if has_calibration else None,
        )
    with progress.phase("counting MACs"):
        input_size = counted.input_size_for(image_size or counted.first_size)
        # Another form, or a CRF behind it, changes nothing in the network that is counted.
        key = (subject.network, str(case.views), input_size)
        if key not in known_counts:
            known_counts[key] = count_all_macs(counted.network, input_size, device=device)
    its_scenes = known_scenes.setdefault(dataset, {})
    scenes = its_scenes.get(tuple(shown)) or true_scenes(dataset, shown)
    its_scenes[tuple(shown)] = scenes
    return _Scored(
        case=case,
        formed=formed,
        scores=scores,
        evidence=evidence if scores else (),
        scenes=scenes,
        counts=known_counts[key],
        image_sizes=image_sizes or [subject.first_size],
    )


def _require_scored(scored: _Scored, stages: Stages) -> None:
    """Compare the timed image, which is the dataset's first, where it was scored and kept."""
    indices = scored.case.subject.indices
    if scored.evidence and indices[0] == 0:
        stages.require_scored(torch.from_numpy(scored.evidence[0].result().shown[0]))


def _offline(
    scored: _Scored, stages: Stages, device: torch.device, timing: TimingConfig, progress: Progress
) -> list[Offline | str]:
    """Measure the largest batches of a network's rows; none if nobody asked."""
    if not timing.has_offline:
        return []
    with progress.phase(f"the largest batch of {scored.case.label}"):
        return [
            measure_offline(stages, has_crf=has_crf, device=device, timing=timing)
            for has_crf in ((False,) if scored.case.crf is None else (False, True))
        ]


def _assemble(
    scored: _Scored,
    graded: tuple[TrueScene, ...],
    timed: _Timed,
    *,
    device: torch.device,
    timing: TimingConfig,
) -> NetworkComparison:
    case, scores, costs, offline = scored.case, scored.scores, timed.costs, timed.offline
    subject = case.subject
    plain_counts = scores.plain if scores else None
    plain = plain_row(
        case,
        scored.formed,
        scored.counts,
        plain_counts,
        costs,
        image_sizes=scored.image_sizes,
        device=device,
        timing=timing,
    )
    rows, class_iou = [plain], [_class_iou(plain_counts)]
    if case.crf is not None:
        refined = scores.with_crf if scores else None
        rows.append(crf_row(plain, refined, costs, crf_text=case.crf_text))
        class_iou.append(_class_iou(refined))
    for number, found in enumerate(offline):
        if isinstance(found, Offline):
            rows[number] = replace(rows[number], **found.fields)
    return NetworkComparison(
        rows=tuple(replace(row, timed_seed=timed.seed) for row in rows),
        class_names=subject.dataset.class_names,
        class_iou=tuple(class_iou),
        notes=(
            *_doubts(scored, plain_counts),
            *subject.notes,
            *scored.counts.notes,
            *costs.notes,
            *_offline_notes(offline),
            *(case.receptive_field.notes if case.receptive_field else ()),
            *case.crf_notes,
        ),
        borders=tuple(
            tuple(BorderResult.read(score) for score in collected.borders)
            for collected in scored.evidence
        ),
        evidence=tuple(collected.result() for collected in scored.evidence),
        scenes=scored.scenes,
        graded_scenes=graded,
        receptive_field=case.receptive_field,
        search=case.search,
    )


def _offline_notes(offline: Sequence[Offline | str]) -> list[str]:
    """Say why a row has no largest batch, or how its time was disturbed."""
    notes = []
    for found, name in zip(offline, ("offline", "offline with the CRF"), strict=False):
        reason = found if isinstance(found, str) else found.latency.drift
        if reason:
            notes.append(f"{name}: {reason.removesuffix('.')}.")
    return notes


def _doubts(scored: _Scored, confusion: ConfusionMatrix | None) -> tuple[str, ...]:
    """Say why a score is no achievement, where it is none."""
    subject = scored.case.subject
    if scored.formed.fault is not None:
        return (f"{DOUBTFUL}{scored.formed.fault}.",)
    if confusion is None or subject.trained is None:
        return ()
    dataset = subject.dataset
    colour_miou = subject.trained.colour_miou if dataset.split == "val" else None
    doubt = doubt_about(confusion, dataset.class_names, colour_miou=colour_miou)
    return () if doubt is None else (f"{DOUBTFUL}{doubt}.",)


def _class_iou(confusion: ConfusionMatrix | None) -> tuple[float, ...] | None:
    return None if confusion is None else tuple(confusion.iou().tolist())
