"""Trained networks in forms that run elsewhere, each held against the network that it is of."""

from typing import TYPE_CHECKING

from autoseg.deferred import deferred_names

if TYPE_CHECKING:
    from autoseg.export.agreement import (
        TOLERANCE,
        Agreement,
        DisagreementError,
        UnpoolingWatch,
    )
    from autoseg.export.form import PLAIN, Form, forms_of, require_packages
    from autoseg.export.graph import SegmentationGraph, export_graph
    from autoseg.export.model_card import model_card, origin_of
    from autoseg.export.onnx_form import export_onnx, export_onnx_int8
    from autoseg.export.running import FormError, forget_recordings, forming, run_in_form
    from autoseg.export.torch_forms import export_pt2, export_torchscript
else:
    # Deferred, since `python -m autoseg.export --help` imports this package first.
    __getattr__, __dir__ = deferred_names(
        __name__, "agreement", "form", "graph", "running", "onnx_form", "torch_forms", "model_card"
    )

__all__ = [
    "PLAIN",
    "TOLERANCE",
    "Agreement",
    "DisagreementError",
    "Form",
    "FormError",
    "SegmentationGraph",
    "UnpoolingWatch",
    "export_graph",
    "export_onnx",
    "export_onnx_int8",
    "export_pt2",
    "export_torchscript",
    "forget_recordings",
    "forming",
    "forms_of",
    "model_card",
    "origin_of",
    "require_packages",
    "run_in_form",
]
