"""What a comparison of networks holds: a row a network and a setting, in groups of like with like.

Numbers of different datasets, numbers of classes or sizes say nothing about each other, so every
group gets a table, a figure and a file of its own.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.comparison.evidence import Evidence, TrueScene
from autoseg.comparison.group_key import GroupKey
from autoseg.comparison.receptive_fields import ReceptiveField
from autoseg.comparison.searches import SearchHistory
from autoseg.metrics import BorderScore, CalibrationResult, Confused

DOUBTFUL = "doubtful: "
"""How the note begins that says why a score is no achievement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonRow:
    """One network under one setting. None means not measured, or without meaning here."""

    label: str
    """Name in tables and figures; the same for a network's two rows, and its own in its group."""
    network: str
    """What was built: a fixed network's name, or "searched" and the like."""
    has_crf: bool
    """Whether the dense CRF refines the network's scores."""

    miou: float | None
    """Mean IoU, a fraction; of several seeds the mean, as the other scores are."""
    miou_deviation: float | None = None
    """Standard deviation of the mean IoU over several seeds (n - 1), a fraction."""
    num_seeds: int | None
    """Trainings behind the row; None for a network without one."""
    miou_change: float | None
    """Mean IoU with the CRF less the network's own; None in the row without it."""
    num_averaged: int | None
    """Classes in the mean IoU."""
    mean_accuracy: float | None
    """Mean accuracy over the classes that occur, a fraction."""
    pixel_accuracy: float | None
    """A fraction."""
    frequency_weighted_iou: float | None
    """IoU averaged by the classes' shares of the true pixels, a fraction."""

    num_params: int
    """Values of all parameters."""
    macs: int
    """Multiply-accumulates of one image, counted by torch operator."""
    macs_fvcore: int | None
    """fvcore's count, in its own convention."""
    macs_thop: int | None
    """thop's count, in its own convention."""

    upload_latency_median_ms: float | None = None
    """Images from the host's memory to the device; None on a CPU, which has no such stage."""
    forward_latency_median_ms: float
    """The network itself for the images of a call, from what it sees to its logits."""
    finish_latency_median_ms: float
    """What comes beside it: resizing the image and the logits, and argmax."""
    latency_median_ms: float
    """Network for the images of a call, resizing to the label's size and argmax included."""
    latency_p90_ms: float
    """Nine of ten runs were at least as fast."""
    is_latency_settled: bool
    """False if the times had not settled when taken, or the machine's speed changed meanwhile."""
    crf_latency_median_ms: float | None
    """The CRF alone, argmax included."""
    crf_latency_p90_ms: float | None
    """Nine of ten runs were at least as fast."""
    is_crf_latency_settled: bool | None
    """Whether the CRF's times had settled before they were taken."""
    total_latency_median_ms: float
    """From image to classes: the network, and the CRF where there is one, timed together."""
    total_latency_low_ms: float
    """Lower end of the 95 % interval of that median."""
    total_latency_high_ms: float
    """Upper end of that interval."""
    total_latency_p90_ms: float
    """Nine of ten runs were at least as fast."""
    total_latency_p99_ms: float
    """99 of 100 runs were at least as fast."""
    num_timed_runs: int
    """Runs behind the times from image to classes."""
    total_latency_quantiles_ms: tuple[float, ...] = ()
    """How those spread: `QUANTILES` of the runs; empty where an earlier comparison kept none."""
    latency_drift: str | None
    """How the machine's speed changed meanwhile; None if it did not."""
    is_total_latency_settled: bool
    """Whether the times of both together had settled before they were taken."""
    memory_mib: float | None
    """Peak beyond weights and image: of torch's allocator, or of a process that has its own."""

    width: float
    """Factor on the channels; 1 is the published network."""
    filter_multiplier: int | None
    """F of an architecture's cells."""
    dataset: str
    """Name of the dataset."""
    split: str
    """Images that were scored."""
    num_classes: int
    """K."""
    num_images: int | None
    """Images that were scored."""
    image_height: int
    """Height that no image of the split exceeds, nor its label, in pixels."""
    image_width: int
    """Width that none exceeds, in pixels."""
    input_height: int
    """Height of what the network sees of an image of that size, in pixels."""
    input_width: int
    """Width of what it sees, in pixels."""
    device: str
    """Where everything was measured."""
    processor: str
    """Model of the GPU or, where there is none at work, of the CPU."""
    torch_version: str
    """Version of torch that was measured."""
    dtype: str
    """Number format of weights and images."""
    num_threads: int
    """Threads that torch may use inside an operator on the CPU."""
    seed: int | None
    """Seed of the training; None of several."""
    seeds: tuple[int, ...] = ()
    """Seeds of several trainings."""
    seed_mious: tuple[float, ...] = ()
    """Mean IoU of each of them."""
    training_sha256: str | None = None
    """Checksum of network, recipe and images of the training: of one checksum are trainings that
    differ by their seed alone."""
    num_steps: int | None
    """Steps of the training."""
    best_step: int | None
    """Step whose weights were scored."""
    weights: str | None = None
    """"best": those of the best validation during the training, on images of val; or "last". None
    without a training."""
    is_chosen_on_split: bool | None = None
    """Whether images of the split that is scored have chosen the weights, so that the score is
    optimistic; None without a training."""
    run: str | None
    """Run folder; None for a network without a run, and for several."""
    weights_sha256: str | None
    """Checksum of the weights that were scored."""
    crf: str | None
    """Parameters of the CRF."""

    views: str | None = None
    """Views of each image whose probabilities were averaged, in words; None: the image itself."""
    backend: str = "eager"
    """What ran the network."""
    memory_format: str = "contiguous"
    """Order of its maps in memory."""
    is_folded: bool = False
    """Whether batch norm was folded into the convolutions."""
    cold_start_ms: float | None = None
    """Loading, compiling and the first prediction; exporting is not in it."""
    logits_error: float | None = None
    """How far its logits are from plain torch's, as a share of their norm."""
    logits_tolerance: float | None = None
    """How far they may be."""
    equal_labels: float | None = None
    """Share of the compared pixels that get the class that plain torch gives them."""
    form_fault: str | None = None
    """Why its form counts for nothing: it gives something else."""

    energy_j: float | None = None
    """Energy that the GPU took for one image, from image to classes; None where nothing counts."""

    offline_batch: int | None = None
    """Images a call in the offline scenario, the largest batch by its rule; None if nobody asked
    or it cannot run."""
    offline_latency_median_ms: float | None = None
    """A call with so many, from images to classes, the CRF included where there is one."""
    offline_images_per_second: float | None = None
    """That batch by that time."""
    offline_memory_mib: float | None = None
    """Peak of such a call, beyond weights and images."""
    is_offline_latency_settled: bool | None = None
    """False if the times had not settled when taken, or the machine's speed changed meanwhile."""

    theoretical_field: str | None = None
    """Height x width of the pixels that the logits in the centre can depend on, or "whole image";
    None if nobody asked."""
    effective_field_px: float | None = None
    """Side of a square as large as what they do depend on, in pixels of what the network sees; of
    several seeds the mean."""

    batch_size: int = 1
    """Images a call: times and memory are those of so many at once."""
    image_heights: tuple[int, ...] = ()
    """Least and largest height of the images that it was scored on, without a score of the one
    that it was timed on; empty in records of before they were kept."""
    image_widths: tuple[int, ...] = ()
    """Least and largest width of those images, in pixels."""
    timed_height: int | None = None
    """Height of the images that times, MACs, memory and energy are of; None: of the largest."""
    timed_width: int | None = None
    """Width of those images, in pixels."""

    timed_seed: int | None = None
    """Seed of the training whose times, memory and energy these are, as its network is the same but
    for the weights; None: its own."""

    measured_elsewhere: bool = False
    """Whether it was measured on another machine than most of its table, so that its times and
    memory say nothing beside theirs."""

    @property
    def machine(self) -> str:
        """What its times and memory depend on, in words: rows of one machine compare."""
        threads = f"{self.num_threads} thread{'' if self.num_threads == 1 else 's'}"
        return f"{self.processor} ({self.device}, {threads}, torch {self.torch_version})"

    @property
    def timed_size(self) -> tuple[int, int]:
        """Height and width of the images that its costs are measured on, in pixels."""
        return self.timed_height or self.image_height, self.timed_width or self.image_width

    @property
    def form(self) -> tuple[str, str, str, bool]:
        """What ran it, in which numbers and order, and whether batch norm was folded."""
        return self.backend, self.dtype, self.memory_format, self.is_folded

    @property
    def has_time_here(self) -> bool:
        """Whether its time says anything beside the others in its table."""
        return not self.measured_elsewhere and self.form_fault is None

    @property
    def is_timed_here(self) -> bool:
        """Whether its time may be ranked: it has settled as well."""
        return self.is_total_latency_settled and self.has_time_here

    @property
    def key(self) -> GroupKey:
        """The group that the row belongs to."""
        image_size = self.image_height, self.image_width
        return GroupKey(
            dataset=self.dataset,
            split=self.split,
            num_classes=self.num_classes,
            image_size=image_size,
            input_size=(self.input_height, self.input_width),
            batch_size=self.batch_size,
            timed_size=None if self.timed_size == image_size else self.timed_size,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BorderResult:
    """One score of a row's borders."""

    key: str
    """Name of the score, with its unit."""
    heading: str
    """Name of the score in tables."""
    mean: float | None
    """Over the classes that have such a border, a fraction; None if none has."""
    by_class: tuple[float, ...]
    """The score of each class, nan for one without such a border."""

    @classmethod
    def read(cls, score: BorderScore) -> "BorderResult":
        """Read a score when all images are counted."""
        by_class = tuple(score.by_class().tolist())
        return cls(key=score.key, heading=score.heading, mean=score.mean(), by_class=by_class)


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkComparison:
    """A network's rows, and what does not fit into a row."""

    rows: tuple[ComparisonRow, ...]
    """The row without the CRF, and the one with it where there is one."""
    class_names: tuple[str, ...]
    """Names of the K classes."""
    class_iou: tuple[tuple[float, ...] | None, ...]
    """For each row the IoU of each class, nan for one that does not occur; None if not scored."""
    notes: tuple[str, ...]
    """What the reader must know: why counters of MACs differ, or that a timing was not stable."""
    borders: tuple[tuple[BorderResult, ...], ...] = ()
    """For each row the scores of borders that were asked for; empty if nothing was scored."""
    calibration: tuple[CalibrationResult, ...] = ()
    """For each row how sure and how right it is; empty if nobody asked."""
    confusions: tuple[tuple[Confused, ...], ...] = ()
    """For each row what is taken for what most often; empty if nobody asked."""
    evidence: tuple[Evidence, ...] = ()
    """What stands behind the score of each row; empty if nothing was scored."""
    scenes: tuple[TrueScene, ...] = ()
    """The images whose predictions the evidence holds."""
    graded_scenes: tuple[TrueScene, ...] = ()
    """The best, the median and the worst image, whose predictions it holds as well."""
    receptive_field: ReceptiveField | None = None
    """What its logits see of an image, for a picture; None if nobody asked."""
    search: SearchHistory | None = None
    """The search that found the network's architecture; None if it was not found or looked for."""
    is_earlier: bool = False
    """Whether an earlier comparison measured it, by a protocol of its own."""
    members: "tuple[NetworkComparison, ...]" = ()
    """The trainings of several seeds, by seed, whose means the rows are; empty for one training."""

    @property
    def trainings(self) -> "tuple[NetworkComparison, ...]":
        """The trainings of all seeds, or the network itself."""
        return self.members or (self,)

    def image_overlaps(self, number: int) -> list[NDArray[np.int64]]:
        """Return for each training the `overlaps` of each image, of one row; empty if unscored."""
        return [each.evidence[number].image_overlaps for each in self.trainings if each.evidence]

    def __post_init__(self) -> None:
        assert len(self.rows) == len(self.class_iou) >= 1
        assert len(self.evidence) in (0, len(self.rows))
        assert len(self.borders) in (0, len(self.rows))


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonGroup:
    """Networks that may be compared with each other."""

    key: GroupKey
    """What they agree on."""
    networks: tuple[NetworkComparison, ...]
    """The most accurate first; those without a score last, the cheapest first."""

    @property
    def heading(self) -> str:
        """What the networks agree on, and between which sizes their images lie."""
        rows = [training.rows[0] for network in self.networks for training in network.trainings]
        is_known = all(row.image_heights and row.image_widths for row in rows)
        return self.key.heading(
            [height for row in rows for height in row.image_heights if is_known],
            [width for row in rows for width in row.image_widths if is_known],
        )

    @property
    def machine(self) -> str:
        """What most networks were measured on, and so what the table's times are of."""
        rows = [network.rows[0] for network in self.networks]
        return next(row.machine for row in rows if not row.measured_elsewhere)

    @property
    def records(self) -> list[dict[str, Any]]:
        """All rows as dictionaries; a network's rows follow each other.

        What was measured on another machine has no times and no memory there, for whoever sorts
        such a table would rank machines; nor has a form that gives something else than its
        network. `stage_tables` has them.
        """
        return [
            {**asdict(row), **dict.fromkeys(() if row.has_time_here else _OF_A_MACHINE)}
            for network in self.networks
            for row in network.rows
        ]


_OF_A_MACHINE = tuple(
    name
    for name in ComparisonRow.__dataclass_fields__
    if "latency" in name
    or "offline" in name
    or name in ("memory_mib", "energy_j", "num_timed_runs", "cold_start_ms")
)
"""Fields of a row that depend on the machine."""
