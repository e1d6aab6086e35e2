"""Whose parameters a CRF takes: the user's, those of a tuning, or DeepLab's."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from autoseg.config import values_of
from autoseg.config.crf import PartialCRFConfig
from autoseg.crf import CRFConfig
from autoseg.trained import RetrainedNetwork
from autoseg.tuning.record import TUNING_NAME, TuningRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenCRF:
    """Parameters, and why these."""

    parameters: CRFConfig
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


_PARAMETERS = {field.name for field in fields(PartialCRFConfig)} - {"crf_mode"}


def choose_crf(
    choice: PartialCRFConfig, record_path: Path | None, *, weights_sha256: str | None = None
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
    tuning = TuningRecord.load(record_path) if record_path and record_path.exists() else None
    if given or tuning is None:
        notes = ()
        if tuning is not None:
            notes = (
                f"CRF: parameters of the command line, the others DeepLab's; {record_path} is "
                "not used.",
            )
        chosen = ChosenCRF(
            parameters=replace(CRFConfig(), **given),
            source="given" if given else "stock",
            notes=notes,
        )
    else:
        chosen = ChosenCRF(
            parameters=tuning.parameters,
            source="tuned",
            notes=tuning.notes(weights_sha256),
            tuned_on=tuning.split,
        )
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
    trained: RetrainedNetwork, choice: PartialCRFConfig, *, weights: Literal["best", "last"]
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
