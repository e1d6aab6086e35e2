"""`python -m autoseg.predict` on folders with something wrong in them."""

import pytest
from PIL import Image

from autoseg import predict
from autoseg.crf import DenseCRF
from autoseg.errors import FileError, UsageError
from tests.trained.random_run import make_run


def test_an_image_that_the_crf_refuses_is_one_fault(tmp_path, monkeypatch):
    def refuse_the_wide(self, logits, images):
        if images.shape[-1] == 32:
            raise UsageError("DenseCRF: it needs 90 GiB.")
        return logits

    monkeypatch.setattr(DenseCRF, "forward", refuse_the_wide)
    folder, photos, out = make_run(tmp_path / "run"), tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name, width in (("a", 32), ("b", 16)):
        Image.new("RGB", (width, 16)).save(photos / f"{name}.png")
    arguments = [str(folder), "--crf", "--out", str(out)]
    with pytest.raises(FileError, match=r"1 of 2 .*\n  .*a\.png: DenseCRF: it needs 90 GiB\."):
        predict.main([*arguments, str(photos)])
    assert sorted(path.name for path in out.iterdir()) == ["b.png", "classes.txt"]
    with pytest.raises(UsageError, match=r"^DenseCRF: it needs 90 GiB\.$"):
        predict.main([*arguments, str(photos / "a.png")])
