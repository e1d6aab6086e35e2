"""Settings of a search, and their presets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from autoseg.backends import BackendName
from autoseg.config.durations import nanoseconds_of
from autoseg.config.quantities import number_of
from autoseg.config.ranges import Count, CountOrNone, Range, Rate, Weight
from autoseg.config.recipe import CropSize, RecipeConfig, ScaleRange
from autoseg.errors import UsageError

BetaNorm = Literal["paper", "two-thirds"]
"""How the weights of the edges that leave a node are normalised; see `normalise_beta`."""

PathRule = Literal["paper", "unbiased"]
"""How the edges of a path are scored when it is decoded; see `edge_scores`."""

SelectionName = Literal["argmax", "perturbation"]
"""How an architecture is taken from a trained supernet."""

StopRuleName = Literal["paper", "code"]
"""Which rise of the curvature ends a search; see `autoseg.strategies.stopping`."""

RiseName = Literal["stop", "regularise"]
"""What a rise of the curvature leads to."""

EstimatorName = Literal[
    "short",
    "speed",
    "supernet",
    "shared",
    "finetuned",
    "parameters",
    "macs",
    "jacov",
    "nwot",
    "snip",
    "zico",
]
"""How an architecture that was drawn is scored."""

PrunerName = Literal["halving", "hyperband"]
"""What stops the training of samples that do worse than others."""

FrontCostName = Literal["macs", "latency"]
"""What the score is weighed against where both decide what is tried."""

PathSamplerName = Literal["uniform", "fair"]
"""Which architectures one step of a supernet's training by sampled paths trains."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig(RecipeConfig):
    """Settings of a search; the defaults are the paper's for first-order DARTS.

    A strategy reads some of them and refuses the others.

    Source: Auto-DeepLab, arXiv 1901.02985, section 5.1.
    """

    arch_steps: CountOrNone = 0
    """Steps that choose the architecture: those that move alpha and beta (the warm-up comes on top,
    in the proportion of the epochs), or the training steps of all samples together. 0: what
    --num-epochs, or --num-samples and --sample-steps, come to."""
    estimator: EstimatorName = "short"
    """How architectures that are drawn are scored: short (each is trained for --sample-steps),
    speed (the same, scored by its training losses: fewer steps will do, and no image is scored), or
    by weights that they inherit, trained before by one sampled path at a time: supernet (those of
    the paper's supernet), shared (those of the networks that are retrained, which share what they
    have in common) or finetuned (those of shared, and --sample-steps of its own); or without
    training: parameters, macs, jacov, nwot, snip, zico."""
    num_samples: Count = 20
    """Architectures that are drawn and scored."""
    sample_steps: Count = 1500
    """Training steps of each architecture that is drawn, before it is scored (short; speed, for
    which half as many will do, and finetuned, for which a few dozen will)."""
    pruner: PrunerName | None = None
    """What stops samples before their last step (short): halving (a sample is scored at rungs, and
    goes on while it is among the best of all that were scored there, one of --reduction-factor), or
    hyperband (several of these at once, which begin at later rungs, for scores that mislead early).
    --arch-steps are then spent on more samples. none: all are trained to the end."""
    min_steps: CountOrNone = 0
    """Training steps at which a sample is first scored, with --pruner; each next rung is at
    --reduction-factor times as many, up to --sample-steps. 0: so many that it takes three rungs."""
    reduction_factor: Annotated[int, Range(low=2)] = 3
    """One of so many samples goes on at a rung, for so many times the steps (--pruner)."""
    path_sampler: PathSamplerName = "uniform"
    """Which paths of the supernet a step trains: uniform (one architecture), or fair (as many as
    there are operations, each of which occurs once on every edge; as many times the cost)."""
    storage: str | None = None
    """Database for the trials of searches on many processes or machines, such as
    sqlite:////shared/trials.db or postgresql://user@host/database: searches of the same settings
    see each other's. none: a journal in the run folder."""
    worker: CountOrNone = 0
    """Number of this search among those that share --storage: each proposes something else."""
    population_size: Count = 10
    """Architectures of a population (evolution); so many are drawn at random before evolution, tpe
    or predictor learn from them."""
    tournament_size: Count = 5
    """Architectures of the population that are drawn to choose the parent of the next one
    (evolution): more are greedier."""
    front_cost: FrontCostName = "macs"
    """What nsga2 weighs the score against: macs, the same that --max-macs limits, or latency, as
    predicted by --latency-table."""
    num_epochs: Count = 40
    """Epochs over trainA, the half of the training images that trains the weights; with --budget or
    --arch-steps the search has so many equal parts instead, each with a validation at its end."""
    arch_start_epoch: CountOrNone = 20
    """Epoch from which alpha and beta are trained as well, on the other half, trainB; with
    --num-epochs alone it is half of that, as in the paper."""
    batch_size: Count = 2
    """Images a half-step; with 1, image pooling uses running statistics."""
    crop_size: CropSize = (321, 321)
    weight_lr: Rate = 0.025
    """Initial learning rate of the weights (SGD); cosine decay."""
    weight_lr_final: Weight = 0.001
    """Learning rate of the weights at the end."""
    weight_decay: Weight = 3e-4
    arch_lr: Rate = 3e-3
    """Learning rate of alpha and beta (Adam, betas 0.9 and 0.999)."""
    arch_weight_decay: Weight = 1e-3
    """L2 penalty of alpha and beta."""
    selection: SelectionName = "argmax"
    """How the architecture is taken from the supernet: argmax (what alpha and beta lead to), or
    perturbation (one choice after the other, that without which the loss on trainB is highest, with
    training of the weights in between; some 20 % more passes)."""
    stop_rule: StopRuleName = "paper"
    """When robust stops, by the largest eigenvalue of the Hessian, smoothed over 5 epochs: paper
    (above 1 / 0.75 of what it was 5 epochs before) or code (above 1.3 of what it was 4 before)."""
    partial_channels: Count = 4
    """One of so many channels of a state goes through the operations, the others past them (pc); 1:
    all. It divides the channels at the finest stride, F of the space."""
    edge_normalisation: bool = True
    """Weigh the edges that lead to a node of the cell against each other (pc)."""
    on_rise: RiseName = "stop"
    """What a rise of the curvature leads to (robust): stop, or regularise (alpha and beta go back
    to before it, --weight-decay becomes ten times as large, up to 0.03, and the search goes on)."""
    gradient_clip: Weight = 5.0
    """Largest norm of the weights' gradient (DARTS, section A.1.2); 0 switches clipping off."""
    scale_range: ScaleRange = (1.0, 1.0)
    """Smallest and largest random scale of the augmentation, on top of image_scale; the paper names
    random crops alone, and halves Cityscapes by image_scale."""
    beta_norm: BetaNorm = "paper"
    """Normalisation of beta: softmax over the edges that leave a node (paper), or the same times
    a third of their number, as public re-implementations do (two-thirds)."""
    path_rule: PathRule = "paper"
    """How the path is decoded: by its probability (paper), which without a search is highest along
    the finest stride, or by each edge's lead over the mean of its node's edges (unbiased), under
    which all paths tie without a search."""
    backend: BackendName = "auto"
    """What evaluates the supernet: torch (plain operators), fused (kernels compiled for the
    device: C++ on the CPU, Triton on an NVIDIA GPU), or auto, the fastest that is at hand."""
    max_macs: str | None = None
    """Most multiply-accumulates (MACs) that what is found may cost, such as 250M or 1.5G. They are
    those of the network that retrain builds at this preset, for one image as large as the largest;
    none: no limit."""
    macs_weight: Weight = 0.0
    """Weight of the penalty on expected MACs: alpha and beta follow the loss plus this weight times
    max(0, expected MACs / --macs-target - 1). 0: no penalty."""
    macs_target: str | None = None
    """Expected MACs, such as 1.5G, up to which --macs-weight asks for nothing."""
    max_latency: str | None = None
    """Highest predicted latency of what is found, such as 30ms: that of one image as large as the
    largest, by --latency-table; none: no limit. A search keeps one limit, this or --max-macs."""
    latency_weight: Weight = 0.0
    """Weight of the penalty on expected latency; as --macs-weight, with --latency-target."""
    latency_target: str | None = None
    """Expected latency, such as 30ms, up to which --latency-weight asks for nothing."""
    latency_table: Path | None = None
    """Times of the networks' parts on the machine that they are meant for, which python -m
    autoseg.latency measures there; none: latency plays no part."""
    recompute_cells: bool = False
    """Evaluate cells again in the backward pass: less memory, more time."""
    cuda_graph: bool = False
    """Record the step once and replay it as one CUDA graph, so that a GPU need not wait for the
    launch of each kernel; for GPUs only. It keeps the memory of a step for itself."""

    def __post_init__(self) -> None:
        RecipeConfig.__post_init__(self)
        if self.seconds is not None and self.arch_steps:
            raise UsageError(
                f"budget = {self.budget} and arch_steps = {self.arch_steps}: a search ends by the "
                "clock or by its steps; leave --budget or --arch-steps out."
            )
        self._check_costs()
        if self.arch_start_epoch >= self.num_epochs:
            raise UsageError(
                f"arch_start_epoch = {self.arch_start_epoch}, but there are only {self.num_epochs} "
                "epochs, so that alpha and beta would never be trained; use --arch-start-epoch "
                f"{self.num_epochs // 2}."
            )

    def _check_costs(self) -> None:
        penalties = (
            ("macs", self.macs_weight, self.macs_target),
            ("latency", self.latency_weight, self.latency_target),
        )
        for name, weight, target in penalties:
            if (weight > 0) != (target is not None):
                raise UsageError(
                    f"{name}_weight = {weight:g} and {name}_target = {target or 'none'}: the "
                    f"penalty needs both; give --{name}-weight and --{name}-target, or neither."
                )
        if self.max_macs is not None and self.max_latency is not None:
            raise UsageError(
                f"max_macs = {self.max_macs} and max_latency = {self.max_latency}: a search keeps "
                "one limit; leave --max-macs or --max-latency out. A penalty may stand beside it."
            )
        quantities = (
            ("max_macs", self.max_macs, number_of),
            ("macs_target", self.macs_target, number_of),
            ("max_latency", self.max_latency, nanoseconds_of),
            ("latency_target", self.latency_target, nanoseconds_of),
        )
        for name, quantity, read in quantities:
            if quantity is not None:
                read(quantity, name=name)


SEARCH_PRESETS: dict[str, SearchConfig] = {
    "paper": SearchConfig(),
    "tiny": SearchConfig(
        num_samples=8,
        population_size=4,
        tournament_size=2,
        sample_steps=100,
        num_epochs=8,
        arch_start_epoch=4,
        partial_channels=2,
        batch_size=8,
        crop_size=(64, 64),
        scale_range=(0.75, 1.5),
        val_images=16,
        weight_lr=0.1,
    ),
}
"""Settings by name: "paper" as published, "tiny" for minutes on two CPU cores."""

PREDICTOR_SETTINGS: dict[str, Any] = {
    "estimator": "speed",
    "sample_steps": 75,
    "num_samples": 34,
    "population_size": 16,
}
"""What `predictor` has in the preset "tiny": the setting in which it was compared
(docs/strategies.md), about as long as a retraining."""

PRESET_ARCH_STEPS = {"paper": 14_860, "tiny": 128}
"""Steps that move alpha and beta in each preset on the images it was made for: 20 epochs of half of
Cityscapes' 2,975 training images at batch 2, and 4 of half of the embedded dataset's 512 at 8."""
