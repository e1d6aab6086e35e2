"""What a user can say to `python -m autoseg.tune`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from autoseg.config import CountOrNone, Range, Request, Seed


@dataclass(frozen=True, kw_only=True)
class TuneRequest(Request):
    """What a user can say to `python -m autoseg.tune`."""

    what: Literal["crf"]
    """What is tuned."""
    run: Path
    """Run folder of a retrained network."""
    split: Literal["train", "val"] = "train"
    """Split whose images decide. Chosen on val, the score with the CRF is optimistic on val; the
    network knows train by heart, so that its errors there are not those on new images. The test
    split stays untouched."""
    num_images: CountOrNone = 24
    """Images that decide, evenly spread over the split; 0 for all."""
    num_trials: Annotated[int, Range(low=2)] = 100
    """Parameters that are tried; the first two are the stock ones."""
    seed: Seed = 0
    """Seed of the sampled parameters."""
    weights: Literal["best", "last"] = "best"
    """Weights of the best validation, or the last ones."""
    crf_mode: str = "fast"
    """How the CRF's sums are computed: fast, accurate, exact or local, see DenseCRF. The parameters
    are used in this mode later on."""
    cache_mib: Annotated[float, Range(low=0)] = 2048
    """The network's scores are kept in memory up to so many MiB, and beyond in the run folder while
    the command runs."""
    data_root: Path | None = None
    """Folder of the dataset; none: as in the training."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    tensorboard: bool = False
    """Write what is logged for TensorBoard as well, with the run's pictures in the end, into
    tensorboard/ of the run folder; needs the package tensorboard, as autoseg-nas[tensorboard]."""
