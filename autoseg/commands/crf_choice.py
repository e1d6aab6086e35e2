"""The CRF's parameters: as a user gives them, as a tuning found them, as a record keeps them."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from autoseg.config import values_of
from autoseg.config.crf import CRFChoice
from autoseg.crf import CRFSettings
from autoseg.errors import FileError, UsageError, reading
from autoseg.json_file import read_json
from autoseg.runs import schema
from autoseg.trained import RetrainedNetwork

TUNING_NAME = "crf.json"
"""The tuning record in the folder of a retrained network."""
TUNING_FORMAT = "autoseg-crf-tuning"
TUNING_FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenCRF:
    """Parameters, and why these."""

    parameters: CRFSettings
    """What is used."""
    source: Literal["given", "tuned", "stock"]
    """Given on the command line, from the run's tuning record, or DeepLab's."""
    notes: tuple[str, ...]
    """What the user should know about the choice, a sentence each."""
    tuned_on: str | None = None
    """The split that a tuning chose them on."""

    @property
    def text(self) -> str:
        """The parameters and their source in one line, as tables show them."""
        source = {
            "given": "given on the command line",
            "tuned": f"tuned on {self.tuned_on}",
            "stock": "DeepLab's, not tuned",
        }[self.source]
        return f"{self.parameters} ({source})"

    def record(self) -> dict[str, Any]:
        """Return parameters and source as they stand beside every result."""
        return {**asdict(self.parameters), "source": self.source, "tuned_on": self.tuned_on}


_PARAMETERS = {field.name for field in fields(CRFChoice)} - {"crf_mode"}


def choose_crf(
    choice: CRFChoice, record_path: Path | None, *, weights_sha256: str | None = None
) -> ChosenCRF:
    """Take the parameters given, else those of a tuning record, else DeepLab's.

    Args:
        choice: What the user gave.
        record_path: Tuning record; None, or a path where there is none, means no tuning.
        weights_sha256: Checksum of the network's weights, held against the record's.

    Raises:
        UsageError: If a number is out of its range, the mode is unknown or the record is
            damaged.
    """
    given = {
        name: value
        for name, value in values_of(choice).items()
        if name in _PARAMETERS and value is not None
    }
    tuning = load_tuning(record_path) if record_path and record_path.exists() else None
    if given or tuning is None:
        notes = ()
        if tuning is not None:
            notes = (
                f"CRF: parameters of the command line, the others DeepLab's; {record_path} is "
                "not used.",
            )
        chosen = ChosenCRF(
            parameters=replace(CRFSettings(), **given),
            source="given" if given else "stock",
            notes=notes,
        )
    else:
        chosen = _tuned(tuning, str(record_path), weights_sha256)
    if choice.crf_mode is not None and choice.crf_mode != chosen.parameters.mode:
        notes = chosen.notes
        if chosen.source == "tuned":
            notes += (
                f"CRF: tuned in mode {chosen.parameters.mode}, used in mode {choice.crf_mode}.",
            )
        parameters = replace(chosen.parameters, mode=choice.crf_mode)
        chosen = replace(chosen, parameters=parameters, notes=notes)
    chosen.parameters.build()  # refuses what cannot work before anything is computed
    return chosen


def choose_crf_behind(
    trained: RetrainedNetwork, choice: CRFChoice, *, weights: Literal["best", "last"]
) -> ChosenCRF:
    """Choose as `choose_crf` does, with the tuning record of a retrained network."""
    path = trained.folder / TUNING_NAME
    sha256 = trained.weights_sha256(weights) if path.exists() else None
    chosen = choose_crf(choice, path, weights_sha256=sha256)
    return replace(chosen, notes=(*notes_on_network(trained), *chosen.notes))


def notes_on_network(trained: RetrainedNetwork) -> tuple[str, ...]:
    """Return what to know of a CRF behind a retrained network, a sentence each."""
    if trained.choice.crf_layer is None:
        return ()
    return (
        "CRF: this network was trained with a CRF layer of its own (--crf-layer); what it predicts "
        "is now refined a second time, and counts as the result without CRF.",
    )


_TUNING = schema.fields(
    required={
        "format": schema.one_of(TUNING_FORMAT),
        "format_version": schema.one_of(TUNING_FORMAT_VERSION),
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
)
"""What is read of a tuning record again; it holds more."""


def load_tuning(path: Path) -> dict[str, Any]:
    """Read a tuning record.

    Raises:
        UsageError: If the file cannot be read or is no tuning record.
    """
    what = "a tuning record of the CRF that this autoseg can read"
    remedy = "write it again with `python -m autoseg.tune crf RUN`, or give parameters yourself"
    try:
        record = read_json(path, what, remedy=remedy)
        with reading(path, what, remedy=remedy):
            _TUNING(record, "")
            assert isinstance(record, dict)
            parameters = record["parameters"]
            assert isinstance(parameters, dict)
            try:
                CRFSettings.from_dict(parameters)
            except UsageError as error:  # of the file, not of a request
                raise ValueError(str(error)) from error
            return record
    except (FileError, OSError) as error:
        raise UsageError(str(error)) from error


def _tuned(tuning: dict[str, Any], path: str, weights_sha256: str | None) -> ChosenCRF:
    """Take the parameters of a tuning record, with its caveats."""
    where = f"{tuning['num_images']} images of {tuning['split']}"
    notes = [f"CRF: parameters tuned on {where}, from {path}."]
    if not tuning["use_crf"]:
        notes.append(
            f"CRF: on {where} none of {tuning['num_trials']} trials beat the network without a "
            f"CRF; the best of them changes mIoU by {tuning['mean_iou_change']:+.4f}. Consider "
            "leaving the CRF out."
        )
    if not tuning["finished"]:
        notes.append(
            f"CRF: the tuning was stopped after {tuning['num_trials']} of "
            f"{tuning['num_trials_asked']} trials; the same command goes on with it."
        )
    if weights_sha256 is not None and weights_sha256 != tuning["weights_sha256"]:
        notes.append("CRF: tuned for other weights than those used here; tune again.")
    return ChosenCRF(
        parameters=CRFSettings.from_dict(tuning["parameters"]),
        source="tuned",
        notes=tuple(notes),
        tuned_on=tuning["split"],
    )
