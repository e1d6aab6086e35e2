"""What a user can say to `python -m autoseg.search`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from autoseg.config import DataConfig, Request, SearchConfig

Preset = Literal["auto", "tiny", "paper"]
"""Name of a set of sizes and settings."""


@dataclass(frozen=True, kw_only=True)
class SearchRequest(Request, SearchConfig, DataConfig):
    """A search, and the run folder that it goes to."""

    space: str = "autodeeplab"
    """Search space: the name of a shipped one (autodeeplab, autodeeplab_depthwise; darts_cells and
    robust_s1 to robust_s4 search cells alone), or the path of a TOML file."""
    strategy: str = "auto"
    """How the space is explored. auto: predictor, and darts in the sizes of --preset paper, in a
    space of cells, for several processes, or where an option is given that it alone reads. By a
    supernet's alpha and beta (darts: first order, darts2: second
    order, gumbel: by sampled paths, robust: until the curvature rises, pc: by a part of the
    channels, drnas: by weights that are drawn), or by architectures that are scored one after the
    other (--estimator): random (drawn at random), evolution (mutants of good ones), tpe (drawn by
    what good ones have in common), predictor (called best by a linear model of the scores), nsga2
    (bred for mIoU against MACs or latency)."""
    preset: Preset = "auto"
    """Sizes and settings to start from: paper (as published), tiny (minutes on two CPU cores), auto
    (a plan from the images, the device and --budget, which is said before the search starts; tiny
    for the synthetic dataset, which that was made for)."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    tensorboard: bool = False
    """Write what is logged for TensorBoard as well, the trellis of each epoch, and in the end the
    run's pictures, into tensorboard/ of the run folder; needs the package tensorboard, as
    autoseg-nas[tensorboard]."""
    out: Path | None = None
    """Run folder; none: a new one under runs/."""
    resume: bool = False
    """Go on with the run in --out, or with the newest unfinished search under runs/."""
