"""crf.json in a retrained network's folder: what a tuning of its CRF found, to be read again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.crf import CRFConfig
from autoseg.errors import FileError, UsageError, reading
from autoseg.json_file import read_json
from autoseg.runs import schema

TUNING_NAME = "crf.json"
"""The tuning record in the folder of a retrained network."""
TUNING_FORMAT = "autoseg-crf-tuning"
TUNING_FORMAT_VERSION = 1

_FIELDS: dict[str, schema.Check] = {
    "parameters": schema.mapping,
    "use_crf": schema.flag,
    "mean_iou_change": schema.number(-1, 1),
    "split": schema.one_of("train", "val"),
    "num_images": schema.whole(),
    "num_trials": schema.whole(),
    "num_trials_asked": schema.whole(),
    "finished": schema.flag,
    "weights_sha256": schema.text,
}
_RECORD = schema.fields(
    required={
        "format": schema.one_of(TUNING_FORMAT),
        "format_version": schema.one_of(TUNING_FORMAT_VERSION),
        **_FIELDS,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TuningRecord:
    """What is read of a tuning's record; the file holds more, for people."""

    path: Path
    """The file."""
    parameters: CRFConfig
    """The best of all trials."""
    use_crf: bool
    """Whether they beat the network without a CRF."""
    mean_iou_change: float
    """Mean IoU with them less that without a CRF, in [-1, 1]."""
    split: str
    """Split of the images that decided, "train" or "val"."""
    num_images: int
    """Images that decided."""
    num_trials: int
    """Parameters that were tried."""
    num_trials_asked: int
    """Parameters that were to be tried."""
    finished: bool
    """Whether all of them were."""
    weights_sha256: str
    """Checksum of the network's weights."""

    @classmethod
    def load(cls, path: Path) -> "TuningRecord":
        """Read a tuning record.

        Raises:
            UsageError: If the file cannot be read or is no tuning record.
        """
        what = "a tuning record of the CRF that this autoseg can read"
        remedy = "write it again with `python -m autoseg.tune crf RUN`, or give parameters yourself"
        try:
            record: Any = read_json(path, what, remedy=remedy)
            with reading(path, what, remedy=remedy):
                _RECORD(record, "")
                values = {name: record[name] for name in _FIELDS}
                try:
                    values["parameters"] = CRFConfig.from_dict(values["parameters"])
                except UsageError as error:  # of the file, not of a request
                    raise ValueError(str(error)) from error
                return cls(path=path, **values)
        except (FileError, OSError) as error:
            raise UsageError(str(error)) from error

    def notes(self, weights_sha256: str | None) -> tuple[str, ...]:
        """Return what to know of these parameters before they are used, a sentence each.

        Args:
            weights_sha256: Checksum of the weights that they are used behind; None if unknown.
        """
        where = f"{self.num_images} images of {self.split}"
        notes = [f"CRF: parameters tuned on {where}, from {self.path}."]
        if not self.use_crf:
            notes.append(
                f"CRF: on {where} none of {self.num_trials} trials beat the network without a "
                f"CRF; the best of them changes mIoU by {self.mean_iou_change:+z.4f}. Consider "
                "leaving the CRF out."
            )
        if not self.finished:
            notes.append(
                f"CRF: the tuning was stopped after {self.num_trials} of "
                f"{self.num_trials_asked} trials; the same command goes on with it."
            )
        if weights_sha256 is not None and weights_sha256 != self.weights_sha256:
            notes.append("CRF: tuned for other weights than those used here; tune again.")
        return tuple(notes)
