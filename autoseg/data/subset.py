"""Some samples of a dataset, as a dataset of their own."""

from collections.abc import Iterator, Sequence

from autoseg.contract import Sample, SegmentationDataset


class Subset(SegmentationDataset):
    """Chosen samples of a split, in the order given; classes, colours and sizes stay the same."""

    def __init__(self, dataset: SegmentationDataset, indices: Sequence[int]) -> None:
        """Choose the samples; none is read yet.

        Args:
            dataset: Where they come from.
            indices: Their indices there; sample `i` of the subset is sample `indices[i]`.

        Raises:
            IndexError: If the dataset has no such sample.
        """
        for index in indices:
            dataset.check_index(index)
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
        self._indices = tuple(indices)

    def check_labels(self) -> None:
        """Check the labels of the whole split that the samples are from."""
        self._dataset.check_labels()

    def __len__(self) -> int:
        return len(self._indices)

    def _contents(self) -> Iterator[str]:
        yield self._dataset.fingerprint()
        yield " ".join(map(str, self._indices))

    def __getitem__(self, index: int) -> Sample:
        """Return a sample, under the name that it has in its dataset."""
        self.check_index(index)
        return self._dataset[self._indices[index]]
