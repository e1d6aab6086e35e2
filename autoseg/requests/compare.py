"""What a user can say to `python -m autoseg.compare`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from autoseg.config import Count, Factor, Range, Request
from autoseg.config.borders import BorderConfig
from autoseg.config.crf import PartialCRFConfig
from autoseg.config.diagnosis import DiagnosisConfig
from autoseg.config.forms import FormConfig
from autoseg.config.scenarios import ScenarioConfig
from autoseg.config.threads import ThreadConfig
from autoseg.config.views import ViewConfig
from autoseg.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class CompareRequest(
    Request,
    PartialCRFConfig,
    BorderConfig,
    DiagnosisConfig,
    FormConfig,
    ViewConfig,
    ScenarioConfig,
    ThreadConfig,
):
    """What a user can say to `python -m autoseg.compare`."""

    run: tuple[Path, ...] = ()
    """Run folders of retrained networks, or folders that hold some; none: all finished ones under
    --runs."""
    networks: tuple[str, ...] = ()
    """Networks without a run, compared by cost alone: fixed ones by name; families together with
    --encoder; architectures by name or as a file. They may be compared before anything is
    trained."""
    earlier: tuple[Path, ...] = ()
    """compare.json of earlier comparisons, of this machine or another: their rows stand beside
    without being measured again. Times of another machine get a table of their own."""
    encoder: tuple[str, ...] = ()
    """Encoders that each family in --networks is built over, by name."""
    out: Path = Path("results/compare")
    """Folder for tables, figures and the report."""
    runs: Path = Path("runs")
    """Where runs are looked for."""
    split: Literal["val", "test"] = "val"
    """Split to score. Choose on val, and look at test once, at the end. Networks without a run see
    the first image of it."""
    weights: Literal["best", "last"] = "best"
    """Weights of the runs: those of the best validation during the training, which val has chosen,
    so that their scores on val are optimistic; or the last ones, which nothing has chosen."""
    crf: bool = True
    """Measure each network with the dense CRF as well, with the parameters given here, else those
    that `python -m autoseg.tune` chose for its run, else DeepLab's."""
    limit: Count | None = None
    """Score so many images, evenly spread over the split; none: all."""
    data_root: Path | None = None
    """Folder of a dataset that is read from files; none: as in the training."""
    receptive_field: bool = False
    """Tell what the pixel in the centre sees of an image: its theoretical receptive field and the
    effective one (Luo et al. 2016), from gradients on 16 images; with a picture."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    min_runs: Count = 20
    """Runs behind each latency, at least."""
    min_seconds: Annotated[float, Range(low=0)] = 1.0
    """Seconds of timing behind each latency, at least."""
    width: Factor | None = None
    """For --networks: factor on the channels; none: 1, the published size."""
    filter_multiplier: Count | None = None
    """For --networks: F of an architecture's cells; none: 20."""
    dataset: str | None = None
    """For --networks: dataset whose classes and image size they are built for; none: that of the
    runs, or synthetic where there are none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if "single-stream" not in self.scenario:
            raise UsageError(
                "--scenario: single-stream is missing, by which networks are ranked; give "
                "--scenario single-stream offline."
            )
        if "offline" in self.scenario and self.batch > 1:
            raise UsageError(
                f"--batch {self.batch}: offline finds its own batch, and its images a second stand "
                "beside the time of one image; leave out --batch or --scenario."
            )
        for name in ("width", "filter_multiplier", "dataset", "encoder"):
            if getattr(self, name) not in (None, ()) and not self.networks:
                raise UsageError(
                    f"--{name.replace('_', '-')} is for networks without a run; name some with "
                    "--networks, or leave it out."
                )
