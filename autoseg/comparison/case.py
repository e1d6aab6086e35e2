"""What one row, or the two rows with and without a CRF, of a comparison are measured of."""

from dataclasses import dataclass, replace

from autoseg.comparison.receptive_fields import ReceptiveField
from autoseg.comparison.searches import SearchHistory
from autoseg.comparison.subject import Subject
from autoseg.crf import DenseCRF
from autoseg.evaluation import Views
from autoseg.export import PLAIN, Form


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A network that is to be measured, and the CRF that refines it."""

    subject: Subject
    """The network; it is moved to the device."""
    form: Form = PLAIN
    """What runs it."""
    views: Views | None = None
    """Views of each image that it sees; None: the image itself."""
    crf: DenseCRF | None = None
    """The CRF, on the device; None leaves its row out."""
    crf_text: str = ""
    """The CRF's parameters in words, for its row."""
    crf_notes: tuple[str, ...] = ()
    """What a reader should know of the CRF's parameters."""
    receptive_field: ReceptiveField | None = None
    """What the network sees of one view of an image; None if nobody asked, or it has several."""
    search: SearchHistory | None = None
    """The search that found the network's architecture; None if it was not found."""

    @property
    def label(self) -> str:
        """Name of the network, of its weights where they are the last ones, of its form where that
        is not plain torch, and of its views."""
        trained = self.subject.trained
        settings = [
            *(["last weights"] if trained is not None and trained.weights == "last" else []),
            *([] if self.form.is_plain else [str(self.form)]),
            *([] if self.views is None else [str(self.views)]),
        ]
        return f"{self.subject.label} ({'; '.join(settings)})" if settings else self.subject.label

    def seen(self, subject: Subject) -> Subject:
        """Let a subject's network see the case's views of the whole image, which it scales itself.

        Args:
            subject: The case's own, or the same in its form.
        """
        if self.views is None:
            return subject
        network = self.views.seen_by(subject.network, image_scale=subject.image_scale)
        return replace(subject, network=network, image_scale=1.0)
