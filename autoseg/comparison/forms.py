"""A network in another form than plain torch, held against it on the images that are scored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from autoseg.comparison.subject import Subject
from autoseg.cost import synchronised_clock
from autoseg.data import normalise, spread_indices
from autoseg.evaluation import best_class, predict_logits, scale_images
from autoseg.export import Form, UnpoolingWatch, forming, run_in_form

_NUM_COMPARED = 4  # images


@dataclass(frozen=True, kw_only=True, slots=True)
class Formed:
    """A network in a form, and how that agrees with plain torch."""

    form: Form
    """The form."""
    running: Subject
    """The subject with the network that runs in this form: it is scored and timed."""
    cold_start_ms: float
    """Loading, where there is something to load, and the first prediction."""
    logits_error: float | None
    """Norm of the logits' difference from plain torch's over the norm of those, the largest of the
    images; None for plain torch."""
    tolerance: float | None
    """How large that may be; None for plain torch."""
    equal_labels: float | None
    """Share of the pixels of those images that get the same class."""

    @property
    def fault(self) -> str | None:
        """Say why the form counts for nothing, if it gives something else."""
        error, tolerance = self.logits_error, self.tolerance
        if error is None or tolerance is None or error <= tolerance:  # NaN is a fault
            return None
        return (
            f"as {self.form} it gives other logits than by plain torch: they differ by "
            f"{error:.1e} of their norm, and {tolerance:g} is allowed"
        )

    @property
    def fields(self) -> dict[str, Any]:
        """Return the fields of a row that tell of the form."""
        return {
            "backend": self.form.backend,
            "dtype": self.form.dtype,
            "memory_format": self.form.memory_format,
            "is_folded": self.form.is_folded,
            "cold_start_ms": self.cold_start_ms,
            "logits_error": self.logits_error,
            "logits_tolerance": self.tolerance,
            "equal_labels": self.equal_labels,
            "form_fault": self.fault,
        }


def bring_into_form(subject: Subject, form: Form, *, device: torch.device) -> Formed:
    """Make a network run in a form, time its first prediction, and compare four predictions.

    Args:
        subject: The network, on the device; the first of the images that are scored are compared.
        form: The form.
        device: Where it runs.

    Raises:
        FormError: If the network cannot run in the form.
    """
    indices = (subject.indices or (0,))[:_NUM_COMPARED]
    images = [_normalised(subject, index, device) for index in indices]
    channels = images[0].shape[1]
    now = synchronised_clock(device)
    with forming(form):
        network, load_seconds = run_in_form(
            subject.network,
            form,
            num_channels=channels,
            device=device,
            calibration=_calibration(subject, form.calibration_images),
        )
        running = replace(subject, network=network)
        with torch.inference_mode():
            begin = now()
            best_class(_predict(running, images[0]))  # torch.compile compiles here
            seconds = load_seconds + now() - begin
    with torch.inference_mode():
        error = tolerance = equal = None
        if not form.is_plain:
            with UnpoolingWatch() as watch:
                expected = [_predict(subject, image) for image in images]
            given = [_predict(running, image) for image in images]
            error, equal = _differences(expected, given)
            tolerance = form.tolerance(has_unpooled=watch.has_unpooled)
    return Formed(
        form=form,
        running=running,
        cold_start_ms=1000 * seconds,
        logits_error=error,
        tolerance=tolerance,
        equal_labels=equal,
    )


def _calibration(subject: Subject, num_images: int) -> Iterator[Tensor]:
    """Yield what the network sees of images of its training split; without one, of those here."""
    if num_images:
        dataset = (subject.training_split or (lambda: subject.dataset))()
        for index in spread_indices(len(dataset), num_images):
            pixels = dataset[index].image.unsqueeze(0)
            yield scale_images(normalise(pixels, dataset.normalisation), subject.image_scale)


def _normalised(subject: Subject, index: int, device: torch.device) -> Tensor:
    pixels = subject.dataset[index].image.to(device).unsqueeze(0)
    return normalise(pixels, subject.dataset.normalisation)


def _predict(subject: Subject, images: Tensor) -> Tensor:
    return predict_logits(subject.network, images, scales=(subject.image_scale,))


def _differences(expected: Sequence[Tensor], given: Sequence[Tensor]) -> tuple[float, float]:
    """Return the largest relative difference, and the share of equal labels."""
    pairs = list(zip(expected, given, strict=True))
    errors = [(new - old).norm() / old.norm() for old, new in pairs]
    equal = [(best_class(new) == best_class(old)).float().mean() for old, new in pairs]
    # torch.max, since Python's passes over NaN.
    return float(torch.stack(errors).max()), float(torch.stack(equal).mean())
