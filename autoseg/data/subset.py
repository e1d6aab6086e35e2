"""Some samples of a dataset, as a dataset of their own."""

from collections.abc import Iterator, Sequence

from autoseg.contract import Sample, SegmentationDataset
from autoseg.data.view import DatasetView


class Subset(DatasetView):
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
        super().__init__(dataset)
        self._indices = tuple(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def _contents(self) -> Iterator[str]:
        yield self._dataset.fingerprint()
        yield " ".join(map(str, self._indices))

    def __getitem__(self, index: int) -> Sample:
        """Return a sample, under the name that it has in its dataset."""
        self.check_index(index)
        return self._dataset[self._indices[index]]
