"""A dataset with images whose labels say nothing."""

import torch

from autoseg.data import Sample, Subset


class Unlabelled(Subset):
    """Samples of a dataset, all pixels void but in those that are named."""

    labelled: tuple[int, ...] = ()

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        if index in self.labelled:
            return sample
        return sample._replace(target=torch.full_like(sample.target, self.ignore_index))
