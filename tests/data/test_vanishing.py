"""Files that go while a training reads them."""

from itertools import islice

import pytest

from autoseg.data import Augmentation, build_dataset, training_batches
from tests.data.folder.drawing import binary_folder


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize("folder", ["images", "masks"])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_file_that_goes_in_the_middle_of_an_epoch_is_named(tmp_path, folder, num_workers):
    dataset = build_dataset("folder", split="train", data_root=binary_folder(tmp_path))
    batches = training_batches(
        dataset,
        augmentation=Augmentation(crop_size=(8, 8)),
        batch_size=1,
        seed=0,
        num_workers=num_workers,
    )
    next(batches)
    for path in (tmp_path / folder).iterdir():
        path.unlink()
    message = rf"{folder}/cell_\d\.png cannot be read: No such file or directory\.$"
    with pytest.raises(FileNotFoundError, match=message):
        list(islice(batches, 8))
