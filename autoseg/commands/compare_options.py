"""Options of a comparison that nothing would read."""

from collections.abc import Sequence
from dataclasses import fields

from autoseg.comparison import Subject
from autoseg.config.borders import BorderConfig
from autoseg.config.crf import CRF_FIELDS
from autoseg.config.diagnosis import DiagnosisConfig
from autoseg.requests import CompareRequest

_OF_SCORES = (
    *("weights", "limit"),
    *(field.name for config in (BorderConfig, DiagnosisConfig) for field in fields(config)),
)
"""Options that say what is scored, and how: without a run nothing is."""


def require_read(request: CompareRequest, subjects: Sequence[Subject]) -> None:
    """Refuse options that nothing reads of the networks that were found.

    Raises:
        UsageError: If one was given.
    """
    if not request.crf:
        request.refuse(CRF_FIELDS, "--no-crf measures no CRF; leave one or the other out.")
    if "int8" not in request.dtype:
        request.refuse(
            ("calibration_images",),
            "only int8 has ranges to find; add --dtype int8 with --backend openvino or "
            "onnxruntime, or leave it out.",
        )
    if all(subject.trained is None for subject in subjects):
        request.refuse(
            _OF_SCORES,
            "no run is compared, and networks without one have random weights, which are not "
            "scored; leave it out, or name a retrained network's run.",
        )
    if all(subject.dataset.name == "synthetic" for subject in subjects):
        request.refuse(
            ("data_root",),
            "nothing is read from files, as all scenes of the synthetic dataset are drawn; leave "
            "it out, or name a --dataset.",
        )
