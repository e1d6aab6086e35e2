"""The page that tells how to add a dataset: its code runs from top to bottom."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.data import DATASETS, build_dataset
from autoseg.errors import FileError, UsageError
from autoseg.runs import load_record
from tests.one_pixel import one_pixel_figures

PAGE = Path(__file__).parents[2] / "docs" / "adding_datasets.md"


@one_pixel_figures()
def test_the_pages_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = dict(DATASETS)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    names: dict = {}
    try:
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
        check_the_added_dataset()
        config = load_record(tmp_path / "run" / "unet")["config"]
        assert (config["dataset"], config["class_names"]) == ("cells", list(names["CLASSES"]))
    finally:
        # What the page adds is taken out again.
        for name in set(DATASETS) - set(known):
            del DATASETS[name]


def check_the_added_dataset() -> None:
    """Samples are the file's, the fingerprint its content's, and what is wrong has a place."""
    dataset = build_dataset("cells", split="val", data_root=".")
    arrays = dict(np.load("val.npz"))
    for index, sample in enumerate(dataset):
        assert torch.equal(sample.image.permute(1, 2, 0), torch.from_numpy(arrays["images"][index]))
        assert np.array_equal(sample.target, arrays["labels"][index])
    before = dataset.fingerprint()
    assert build_dataset("cells", split="val", data_root=Path.cwd()).fingerprint() == before
    dataset.check_labels()
    arrays["labels"][2, 5, 7] = 3
    np.savez("val.npz", images=arrays["images"][:3], labels=arrays["labels"][:3])
    damaged = build_dataset("cells", split="val", data_root=".")
    assert damaged.fingerprint() != before
    with pytest.raises(FileError, match=r"val\.npz: label 3 in image 2, row 5, column 7; it must"):
        damaged.check_labels()
    Path("val.npz").write_bytes(b"nothing")
    with pytest.raises(FileError, match=r"val\.npz is not an archive of images and labels"):
        build_dataset("cells", split="val", data_root=".")
    with pytest.raises(UsageError, match=r"cells: length 5 cannot be chosen, the files decide it"):
        build_dataset("cells", split="val", length=5)
