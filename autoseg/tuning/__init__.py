"""Choosing a dense CRF's parameters for a trained network, on images that no score is of."""

from autoseg.tuning.choice import ChosenCRF, choose_crf, choose_crf_behind, notes_on_network
from autoseg.tuning.logits_cache import LogitsCache
from autoseg.tuning.record import TUNING_NAME, TuningRecord
from autoseg.tuning.result import TuningResult, TuningSubject
from autoseg.tuning.scoring import CRFScorer, TuningStopped, fill_cache, logits_mib
from autoseg.tuning.study import CRFStudy, CRFTrial

__all__ = [
    "TUNING_NAME",
    "CRFScorer",
    "CRFStudy",
    "CRFTrial",
    "ChosenCRF",
    "LogitsCache",
    "TuningRecord",
    "TuningResult",
    "TuningStopped",
    "TuningSubject",
    "choose_crf",
    "choose_crf_behind",
    "fill_cache",
    "logits_mib",
    "notes_on_network",
]
