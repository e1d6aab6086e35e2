"""What a user can say to `python -m autoseg.retrain`."""

from dataclasses import dataclass
from pathlib import Path

from autoseg.config import DataConfig, NetworkSizes, Request, TrainingConfig
from autoseg.config.ranges import CountOrNone, Seed
from autoseg.requests.search import Preset


@dataclass(frozen=True, kw_only=True)
class RetrainRequest(Request, TrainingConfig, NetworkSizes, DataConfig):
    """Networks to train with one recipe, and the folder of their run folders."""

    network: tuple[str, ...] = ()
    """Networks to train: fixed ones by name, families together with --encoder; none together with
    no --architecture: the newest search's architecture, and the references
    deeplabv3plus_resnet101, duc_hdc_resnet101, icnet_resnet50."""
    encoder: tuple[str, ...] = ()
    """Encoders that each family in --network (fcn, pspnet, deeplabv3, deeplabv3plus) is trained
    over, by name; `python -m autoseg.networks` lists them."""
    architecture: Path | None = None
    """Architecture to train: a search's architecture.json, or the name of a shipped one."""
    random: CountOrNone = 0
    """Architectures to draw at random from the space of the search that --architecture lies in, and
    to train beside it, with about as many MACs: what a search has to beat."""
    preset: Preset = "auto"
    """Sizes and recipe to start from: paper (as published), tiny (minutes on two CPU cores, narrow
    networks), auto (paper for a real dataset on a GPU, with steps for the images at hand, and parts
    of a batch or crops that fit into its memory, otherwise tiny; it says beforehand what memory and
    time real images will take; docs/plan.md)."""
    weights: Path | None = None
    """File with the weights that the one network starts from, of torch.save or safetensors: an
    ImageNet classifier's for its encoder (torchvision's or timm's, which fit at --width 1), or a
    whole network's, also of other classes; docs/weights.md; none: random ones."""
    crf_layer: bool = False
    """Follow each network by a dense CRF and train both together (CRF-RNN); NAME is then called
    NAME+crf."""
    seeds: tuple[Seed, ...] = ()
    """Seeds to train each network with, one after the other, in place of the one of --seed; each
    training gets a run folder of its own, NAME-seed-SEED, and compare joins them in one row."""
    auto_batch: bool = False
    """Train with the largest batch that fits into the GPU's memory, found by trying steps before
    the training starts, instead of the preset's; the learning rate stays as it is."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    tensorboard: bool = False
    """Write what is logged for TensorBoard as well, what is predicted of three val images after
    each validation, and in the end the run's pictures, into tensorboard/ of each run folder; needs
    the package tensorboard, as autoseg-nas[tensorboard]."""
    out: Path | None = None
    """Folder for the run folders, one a network; none: a new one under runs/."""
    resume: bool = False
    """Go on with the retraining in --out, or with the newest unfinished one under runs/."""
