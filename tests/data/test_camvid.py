"""CamVid is read as it lies on disk, and every wrong file is named."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from autoseg.data import CamVid
from autoseg.data.spread import checked_indices
from autoseg.errors import FileError, UsageError

REAL = pytest.mark.skipif(
    "AUTOSEG_DATA" not in os.environ, reason="AUTOSEG_DATA names no CamVid folder"
)


def _write(
    folder: Path,
    *,
    image: NDArray[np.uint8] | None = None,
    label: NDArray[np.uint8] | None = None,
    suffix: str = ".png",
) -> tuple[Path, Path]:
    """Write a train split of one pair into an empty folder."""
    rng = np.random.default_rng(0)
    image = rng.integers(256, size=(24, 40, 3), dtype=np.uint8) if image is None else image
    label = rng.integers(12, size=(24, 40), dtype=np.uint8) if label is None else label
    (folder / "train").mkdir()
    (folder / "trainannot").mkdir()
    image_path, label_path = folder / f"train/a_1{suffix}", folder / "trainannot/a_1.png"
    Image.fromarray(image).save(image_path)
    Image.fromarray(label).save(label_path)
    (folder / "train.txt").write_text(f"train/a_1{suffix} trainannot/a_1.png\n")
    return image_path, label_path


def test_pixels_and_labels_are_those_of_the_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    image = rng.integers(256, size=(10, 14, 3), dtype=np.uint8)
    label = rng.integers(12, size=(10, 14), dtype=np.uint8)
    _write(tmp_path, image=image, label=label)
    dataset = CamVid(split="train", data_root=tmp_path)
    sample = dataset[0]
    np.testing.assert_array_equal(sample.image.permute(1, 2, 0).numpy(), image)
    np.testing.assert_array_equal(sample.target.numpy(), label)
    assert sample.name == "a_1"
    assert dataset.ignore_index == 11
    assert dataset.num_classes == 11
    assert "CC BY-NC 4.0" in dataset.attribution


def test_a_grey_image_becomes_rgb(tmp_path: Path) -> None:
    grey = np.arange(240, dtype=np.uint8).reshape(12, 20)
    _write(tmp_path, image=grey, label=np.zeros((12, 20), np.uint8))
    image = CamVid(split="train", data_root=tmp_path)[0].image
    np.testing.assert_array_equal(image.numpy(), np.stack([grey] * 3))


def test_a_palette_label_is_read_as_its_indices(tmp_path: Path) -> None:
    _, label_path = _write(tmp_path)
    classes = np.arange(12, dtype=np.uint8).repeat(80).reshape(24, 40)
    label = Image.fromarray(classes)
    label.putpalette([255 - value for value in range(36)])
    assert label.mode == "P"
    label.save(label_path)
    target = CamVid(split="train", data_root=tmp_path)[0].target
    np.testing.assert_array_equal(target.numpy(), classes)


def test_the_largest_size_covers_all_images(tmp_path: Path) -> None:
    _write(tmp_path)
    for name, size in (("b", (30, 20)), ("c", (10, 50))):
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / f"{name}.png")
        Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / f"{name}_label.png")
    with (tmp_path / "train.txt").open("a") as file:
        file.write("b.png b_label.png\n\nc.png c_label.png\n")
    assert CamVid(split="train", data_root=tmp_path).largest_size == (30, 50)


def test_the_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path)
    monkeypatch.setenv("AUTOSEG_DATA", str(tmp_path))
    assert len(CamVid(split="train")) == 1


def test_no_folder_at_all_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOSEG_DATA", raising=False)
    with pytest.raises(
        UsageError, match=r"no data folder was given; .*--data-root DIR .* variable AUTOSEG_DATA"
    ):
        CamVid(split="train")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere does not exist; .*--data-root DIR"):
        CamVid(split="train", data_root=tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file is not a folder; .*--data-root DIR"):
        CamVid(split="train", data_root=tmp_path / "file")


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"{tmp_path} is empty; .*AUTOSEG_DATA"):
        CamVid(split="train", data_root=tmp_path)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    _write(tmp_path)
    with pytest.raises(UsageError, match=rf"{tmp_path} has no list val.txt .*--data-root DIR"):
        CamVid(split="val", data_root=tmp_path)


def test_the_folder_below_is_proposed(tmp_path: Path) -> None:
    (tmp_path / "camvid").mkdir()
    _write(tmp_path / "camvid")
    with pytest.raises(UsageError, match=rf"has no list train.txt .*mean {tmp_path / 'camvid'}\?"):
        CamVid(split="train", data_root=tmp_path)


def test_an_empty_list_is_named(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "train.txt").write_text("\n")
    with pytest.raises(UsageError, match=r"the list .*train.txt is empty"):
        CamVid(split="train", data_root=tmp_path)


def test_a_malformed_line_is_named(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "train.txt").write_text("train/a_1.png trainannot/a_1.png\ntrain/a_2.png\n")
    with pytest.raises(FileError, match=r"train.txt, line 2: 'train/a_2.png' has 1 word\(s\)"):
        CamVid(split="train", data_root=tmp_path)


@pytest.mark.parametrize("which", [0, 1])
def test_a_file_missing_from_the_folder_is_named(which: int, tmp_path: Path) -> None:
    path = _write(tmp_path)[which]
    path.unlink()
    with pytest.raises(FileError, match=rf"{path}: the file is in the list, but does not exist"):
        CamVid(split="train", data_root=tmp_path)


def test_sizes_that_differ_are_named_when_the_dataset_is_built(tmp_path: Path) -> None:
    image, label = _write(tmp_path, label=np.zeros((24, 38), np.uint8))
    message = rf"{image} is 24 x 40 .* its label {label} is 24 x 38; they must be equal"
    with pytest.raises(FileError, match=message):
        CamVid(split="train", data_root=tmp_path)


@pytest.mark.parametrize("value", [12, 255])
def test_a_label_out_of_range_is_named_with_its_place(value: int, tmp_path: Path) -> None:
    label = np.zeros((24, 40), np.uint8)
    label[5, 17] = value
    path = _write(tmp_path, label=label)[1]
    dataset = CamVid(split="train", data_root=tmp_path)
    message = rf"{path}: label {value} at row 5, column 17; labels are 0 to 10, or 11 for unlab"
    with pytest.raises(FileError, match=message):
        dataset[0]


def test_a_colour_mask_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, label=np.zeros((24, 40, 3), np.uint8))[1]
    dataset = CamVid(split="train", data_root=tmp_path)
    with pytest.raises(FileError, match=rf"{path} has mode RGB, .* class numbers in one channel"):
        dataset[0]


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    path = _write(tmp_path)[0]
    path.write_text("<html>404 not found</html>")
    with pytest.raises(FileError, match=rf"{path} is not an image that can be read") as caught:
        CamVid(split="train", data_root=tmp_path)
    assert caught.value.__notes__ == [
        "Copy it again from its source, or take its line out of the list."
    ]


@pytest.mark.parametrize(("which", "suffix"), [(0, ".png"), (0, ".jpg"), (1, ".png")])
def test_a_truncated_file_is_named(which: int, suffix: str, tmp_path: Path) -> None:
    path = _write(tmp_path, suffix=suffix)[which]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    dataset = CamVid(split="train", data_root=tmp_path)
    with pytest.raises(FileError, match=rf"{path} is not an? .*image"):
        dataset[0]


def test_without_memory_every_read_goes_to_the_disk(tmp_path: Path) -> None:
    path = _write(tmp_path)[1]
    with_cache = CamVid(split="train", data_root=tmp_path)
    without = CamVid(split="train", data_root=tmp_path, cache_mib=0)
    before = with_cache[0].target
    assert torch.equal(without[0].target, before)
    Image.fromarray(np.full((24, 40), 3, np.uint8)).save(path)
    assert torch.equal(with_cache[0].target, before)
    assert without[0].target.unique().tolist() == [3]


def test_labels_are_checked_without_the_images(tmp_path: Path) -> None:
    label = np.zeros((24, 40), np.uint8)
    _write(tmp_path, label=label)
    CamVid(split="train", data_root=tmp_path).check_labels()
    label[3, 4] = 255
    (tmp_path / "other").mkdir()
    path = _write(tmp_path / "other", label=label)[1]
    with pytest.raises(FileError, match=rf"{path}: label 255 at row 3, column 4"):
        CamVid(split="train", data_root=tmp_path / "other").check_labels()


def test_the_labels_that_are_checked_are_those_of_the_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path)
    dataset = CamVid(split="train", data_root=tmp_path)
    ((image, _),) = dataset._files
    dataset._files = [(image, Path(str(number))) for number in range(500)]
    read: list[int] = []
    monkeypatch.setattr(CamVid, "_read_label", lambda self, path: read.append(int(path.name)))
    dataset.check_labels()
    assert read == checked_indices(500)


def test_a_turned_photograph_pairs_with_its_label_as_shown(tmp_path: Path) -> None:
    image_path, label_path = _write(tmp_path)
    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[:, :12] = 200  # bright on the left, as shown
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turn clockwise of what is stored
    stored = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
    stored.save(image_path, exif=exif)
    Image.fromarray((pixels[..., 0] > 0).astype(np.uint8)).save(label_path)
    image, target, _ = CamVid(split="train", data_root=tmp_path)[0]
    assert torch.equal(image[0] > 100, target == 1)


@REAL
@pytest.mark.parametrize(("split", "length"), [("train", 367), ("val", 101), ("test", 233)])
def test_the_real_split_has_its_published_size(split: str, length: int) -> None:
    dataset = CamVid(split=split)
    assert len(dataset) == length
    assert dataset.largest_size == (360, 480)
    stems = {dataset[index].name for index in range(0, length, 40)}
    assert len(stems) == len(range(0, length, 40))


@REAL
def test_real_classes_lie_where_they_lie_in_the_world() -> None:
    dataset = CamVid(split="val")
    rows: dict[str, list[float]] = {"sky": [], "road": []}
    for index in range(0, len(dataset), 10):
        target = dataset[index].target
        for name, heights in rows.items():
            found = (target == dataset.class_names.index(name)).nonzero()[:, 0]
            heights += (found / target.shape[0]).tolist()
    assert np.median(rows["sky"]) < 0.35
    assert np.median(rows["road"]) > 0.6
