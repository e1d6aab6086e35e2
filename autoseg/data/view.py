"""A dataset that is made of another: the same classes, colours and sizes."""

from autoseg.contract import SegmentationDataset


class DatasetView(SegmentationDataset):
    """Base of datasets that give another's samples, chosen or moved; it says what that one says."""

    def __init__(self, dataset: SegmentationDataset) -> None:
        """Describe itself as the dataset does; no sample is read."""
        super().__init__(
            name=dataset.name,
            split=dataset.split,
            class_names=dataset.class_names,
            palette=dataset.palette,
            ignore_index=dataset.ignore_index,
            largest_size=dataset.largest_size,
            attribution=dataset.attribution,
            normalisation=dataset.normalisation,
            notes=dataset.notes,
        )
        self._dataset = dataset

    def check_labels(self) -> None:
        """Check the labels of the whole split that the samples are from."""
        self._dataset.check_labels()
