"""`python -m autoseg.crf` against the CRF called directly, and its refusals."""

import importlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoseg.crf import CRFConfig, DenseCRF
from autoseg.errors import FileError, UsageError
from autoseg.tuning.record import TUNING_FORMAT, TUNING_FORMAT_VERSION
from tests.one_pixel import one_pixel_figures

command = importlib.import_module("autoseg.crf.__main__")
SIZE = (14, 19)
MILD = ["--bilateral-weight", "2", "--bilateral-xy-std", "8", "--bilateral-rgb-std", "30"]
MILD_CRF = {"bilateral_weight": 2.0, "bilateral_xy_std": 8.0, "bilateral_rgb_std": 30.0}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """An image of two halves, labels of it with a wrong pixel, and probabilities."""
    monkeypatch.chdir(tmp_path)
    pixels = np.full((*SIZE, 3), 40, dtype=np.uint8)
    pixels[:, 9:] = 200
    Image.fromarray(pixels).save("photo.png")
    labels = np.zeros(SIZE, dtype=np.uint8)
    labels[:, 9:] = 1
    labels[5, 3] = 1
    image = Image.fromarray(labels)
    image.putpalette([10, 20, 30, 200, 100, 50])
    (tmp_path / "labels").mkdir()
    image.save("labels/photo.png")
    logits = np.random.default_rng(0).normal(size=(3, *SIZE)).astype(np.float32)
    np.save("logits.npy", logits)
    np.save("probabilities.npy", torch.from_numpy(logits).softmax(0).numpy())
    return tmp_path


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_wrong_pixel_is_put_right_in_the_files_own_colours(files, capsys):
    assert command.main(["photo.png", "labels/photo.png", "--out", "out", *MILD]) == 0
    refined = pixels_of("out/photo.png")
    expected = np.zeros(SIZE)
    expected[:, 9:] = 1
    np.testing.assert_array_equal(refined, expected)
    with Image.open("out/photo.png") as image:
        assert image.getpalette("RGB")[:6] == [10, 20, 30, 200, 100, 50]
    captured = capsys.readouterr()
    assert "out/photo.png: 0.38% of pixels changed" in captured.out  # 1 of 266
    assert captured.out.splitlines()[-1] == f"open {(files / 'out').as_uri()}"
    assert "bilateral_weight 2, bilateral_xy_std 8" in captured.err
    assert pixels_of("out/photo_picture.png").shape[0] > 500
    assert not list(files.glob("out/*.npy"))


@pytest.mark.parametrize("arguments", [["probabilities.npy"], ["logits.npy", "--logits"]])
def test_marginals_are_the_crfs(files, arguments):
    more = ["--save-marginals", "--no-picture", *MILD]
    assert command.main(["photo.png", *arguments, *more]) == 0
    images = torch.from_numpy(pixels_of("photo.png").copy()).permute(2, 0, 1)[None]
    logits = torch.from_numpy(np.load("logits.npy"))[None]
    with torch.inference_mode():
        expected = DenseCRF(**MILD_CRF)(logits, images)[0].numpy()
    marginals = np.load("crf/photo.npy")
    assert marginals.dtype == np.float32
    np.testing.assert_allclose(marginals, expected, atol=2e-5)
    np.testing.assert_array_equal(pixels_of("crf/photo.png"), marginals.argmax(axis=0))
    assert not list(files.glob("crf/*_picture.png"))


@one_pixel_figures()
def test_unsure_pixels_get_a_class_and_the_numbers_stay(files):
    labels = pixels_of("labels/photo.png") + 1
    labels[5:8, 2:6] = 0
    Image.fromarray(labels).save("unsure.png")
    assert command.main(["photo.png", "unsure.png", "--zero-unsure", "--out", "out", *MILD]) == 0
    expected = np.ones(SIZE)
    expected[:, 9:] = 2
    np.testing.assert_array_equal(pixels_of("out/photo.png"), expected)


@one_pixel_figures()
def test_folders_go_file_by_file(files):
    (files / "photos").mkdir()
    for name in ("a", "b"):
        Image.fromarray(pixels_of("photo.png")).save(f"photos/{name}.png")
        Image.fromarray(pixels_of("labels/photo.png")).save(f"labels/{name}.png")
    assert command.main(["photos", "labels", "--out", "out", "--num-classes", "4", *MILD]) == 0
    assert sorted(path.name for path in files.glob("out/*")) == [
        "a.png",
        "a_picture.png",
        "b.png",
        "b_picture.png",
    ]


@one_pixel_figures()
def test_parameters_of_a_tuning_record(files, capsys):
    record = {
        "format": TUNING_FORMAT,
        "format_version": TUNING_FORMAT_VERSION,
        "parameters": asdict(CRFConfig(bilateral_weight=1.125, num_iterations=2)),
        "use_crf": True,
        "mean_iou_change": 0.01,
        "split": "train",
        "num_images": 7,
        "num_trials": 30,
        "num_trials_asked": 30,
        "finished": True,
        "weights_sha256": "abc",
    }
    (files / "crf.json").write_text(json.dumps(record))
    arguments = ["photo.png", "probabilities.npy", "--out", "out", "--tuned"]
    for where in (".", "crf.json"):
        assert command.main([*arguments, where]) == 0
        assert "bilateral_weight 1.125" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"labels/crf\.json does not exist; .*autoseg\.tune"):
        command.main([*arguments, "labels"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photo.png", "turned.npy"], r"turned.npy is 19 x 14 .*image is 14 x 19; height and widt"),
        (["photo.png", "small.npy"], r"is 7 x 9 .* is 14 x 19; resize the segmentation to 14 x 19"),
        (["photo.png", "last.npy", "--logits"], r"last\.npy .*looks like \(H, W, K\); it must be"),
        (
            ["photo.png", "labels/photo.png", "--logits"],
            r"is a label image by its name; --logits is for",
        ),
        (["photo.png", "logits.npy"], r"does not hold probabilities.*give --logits"),
        (
            ["photo.png", "logits.npy", "--num-classes", "3"],
            r"--num-classes, --confidence, --void and --zero",
        ),
        (["photo.png", "many.npy", "--logits"], r"257 classes; .* an 8-bit PNG"),
        (["photo.png", "labels"], r"must both be files, or both be folders"),
        (["photo.png"], r"SEGMENTATION is missing"),
        (
            ["photo.png", "probabilities.npy", "--out", "."],
            r"photo\.png would replace the input photo",
        ),
    ],
)
def test_bad_requests_are_told_what_to_do(files, arguments, message):
    np.save("turned.npy", np.full((2, *SIZE[::-1]), 0.5))
    np.save("small.npy", np.full((2, 7, 9), 0.5))
    np.save("many.npy", np.zeros((257, *SIZE), dtype=np.float32))
    np.save("last.npy", np.zeros((*SIZE, 3), dtype=np.float32))
    before = pixels_of("photo.png")
    with pytest.raises((UsageError, FileError), match=message):
        command.main(arguments)
    np.testing.assert_array_equal(pixels_of("photo.png"), before)


@one_pixel_figures()
def test_a_mask_of_0_and_255_is_refined_as_one_of_0_and_1(files):
    labels = pixels_of("labels/photo.png")
    Image.fromarray(labels * 255).save("mask.png")
    for path, out in (("labels/photo.png", "one"), ("mask.png", "byte")):
        assert command.main(["photo.png", path, "--out", out, *MILD]) == 0
    np.testing.assert_array_equal(
        pixels_of("byte/photo.png"), pixels_of("one/photo.png").astype(int) * 255
    )


@one_pixel_figures()
def test_the_border_of_pascal_is_void_and_gets_a_class(files, capsys):
    labels = pixels_of("labels/photo.png").copy()
    labels[:, 8:10] = 255
    Image.fromarray(labels).save("border.png")
    assert command.main(["photo.png", "border.png", "--out", "out", *MILD]) == 0
    expected = np.zeros(SIZE)
    expected[:, 9:] = 1
    np.testing.assert_array_equal(pixels_of("out/photo.png"), expected)
    assert "0.38% of pixels changed, 10.53% had no class and got one" in capsys.readouterr().out


@one_pixel_figures()
@pytest.mark.parametrize(("dtype", "value", "mode"), [(bool, 1, "1"), (np.uint16, 300, "I;16")])
def test_labels_are_written_as_they_were_stored(files, dtype, value, mode):
    labels = (pixels_of("labels/photo.png") * np.uint16(value)).astype(dtype)
    Image.fromarray(labels).save("stored.png")
    assert command.main(["photo.png", "stored.png", "--out", "out", *MILD]) == 0
    with Image.open("out/photo.png") as image:
        assert image.mode == mode
        refined = np.asarray(image).astype(int)
    expected = np.zeros(SIZE)
    expected[:, 9:] = value
    np.testing.assert_array_equal(refined, expected)


@one_pixel_figures()
def test_one_broken_file_does_not_end_a_folder(files, capsys):
    (files / "photos").mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(pixels_of("photo.png")).save(f"photos/{name}.png")
        Image.fromarray(pixels_of("labels/photo.png")).save(f"labels/{name}.png")
    (files / "photos" / "a.png").write_bytes((files / "photo.png").read_bytes()[:60])
    np.save("labels/b.npy", np.zeros(3))
    (files / "labels" / "b.png").unlink()
    (files / "photos" / "notes.txt").write_text("not an image")
    (files / "photos" / "._c.png").write_bytes(b"\0\5\x16\7")
    with pytest.raises(FileError, match=r"2 of 3 images could not be done") as caught:
        command.main(["photos", "labels", "--out", "out", *MILD])
    assert "photos/a.png is not an image" in str(caught.value)
    assert "labels/b.npy has shape (3,)" in str(caught.value)
    captured = capsys.readouterr()
    assert captured.out.startswith("out/c.png: ")
    assert "left out, no images by their names: 1 file (notes.txt)" in captured.err
    assert sorted(path.name for path in files.glob("out/*")) == ["c.png", "c_picture.png"]


def write_folders(labels_by_name):
    """Write a folder of photographs, and one of their labels or scores."""
    for folder in ("photos", "segmentations"):
        (Path.cwd() / folder).mkdir()
    for name, labels in labels_by_name.items():
        Image.fromarray(pixels_of("photo.png")).save(f"photos/{name}.png")
        if labels.ndim == 2:
            Image.fromarray(labels.astype(np.uint8)).save(f"segmentations/{name}.png")
        else:
            np.save(f"segmentations/{name}.npy", labels)


def halves(left, right):
    labels = np.full(SIZE, left)
    labels[:, 9:] = right
    return labels


FOLDERS = ["photos", "segmentations", "--no-picture", *MILD]


@pytest.mark.parametrize(
    ("void", "numbers"),
    [
        ([], {"a": {0}, "b": {0, 7}}),  # 255, 0 and 7 occur: in b alone 255 would not decide
        (["--void", "auto"], {"a": {0}, "b": {0, 7}}),
        (["--void", "none"], {"a": {0, 255}, "b": {0, 7}}),
        (["--void", "7"], {"a": {0, 255}, "b": {0}}),
    ],
)
def test_void_is_decided_once_for_a_folder(files, capsys, void, numbers):
    write_folders({"a": halves(0, 255), "b": halves(0, 7)})
    assert command.main([*FOLDERS, *void]) == 0
    assert {name: {*np.unique(pixels_of(f"crf/{name}.png"))} for name in "ab"} == numbers
    is_auto = void in ([], ["--void", "auto"])
    assert capsys.readouterr().err.count("label 255 is void, that is no class") == is_auto


def test_an_option_that_does_not_fit_one_file_is_that_files_fault(files):
    scores = np.load("probabilities.npy")
    write_folders({"a": halves(0, 1), "b": scores, "c": halves(0, 1)})
    cases = [
        (["--void", "none"], "b", r"1 of 3 .*\n  segmentations/b\.npy is an array, which says"),
        (
            ["--logits"],
            "ac",
            r"2 of 3 .*\n  segmentations/a\.png is a label image by its name; --logits is",
        ),
    ]
    for options, refused, message in cases:
        with pytest.raises(FileError, match=message):
            command.main([*FOLDERS, *options, "--out", options[0][2:]])
        done = {path.stem for path in (files / options[0][2:]).iterdir()}
        assert done == {*"abc"} - {*refused}


def test_a_confidence_too_low_for_one_file_is_that_files_fault(files):
    three = halves(0, 1)
    three[0] = 2
    write_folders({"a": halves(0, 1), "b": three})
    message = (
        r"1 of 2 .*\n  segmentations/a\.png has 2 classes; --confidence 0\.4 is not above 1 / 2"
    )
    with pytest.raises(FileError, match=message):
        command.main([*FOLDERS, "--confidence", "0.4"])
    assert [path.name for path in files.glob("crf/*")] == ["b.png"]


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ("ab", ["--confidence", "0.3"], r"--confidence 0\.3 is not above 1 / 2, and no label im"),
        ("ab", ["--num-classes", "3", "--confidence", "0.3"], r"0\.3 is not above 1 / 3, and no"),
        ("ab", ["--logits"], "all are label images; --logits is for arrays"),
        (
            "b",
            ["--logits"],
            r"segmentations/b\.png is a label image by its name; --logits is for arrays",
        ),
        ("xy", ["--void", "255"], "arrays say how many classes there are and .* all segmentations"),
        (
            "x",
            ["--confidence", "0.7"],
            r"x\.npy is an array, which says .* how sure each is; --num",
        ),
        ("x", ["--zero-unsure"], r"x\.npy is an array, which says how many classes there are"),
    ],
)
def test_an_option_that_fits_no_file_is_refused_first(files, names, options, message):
    scores = np.load("probabilities.npy")
    write_folders({name: halves(0, 1) if name in "ab" else scores for name in names})
    with pytest.raises(UsageError, match=message):
        command.main([*FOLDERS, *options])
    assert not (files / "crf").exists()


def test_an_image_that_the_crf_refuses_is_one_fault(files, monkeypatch):
    write_folders({"a": halves(0, 1), "b": halves(0, 1)})
    refine = importlib.import_module("autoseg.commands.refine")
    calls = []

    def refuse_the_first(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise UsageError("DenseCRF: it needs 90 GiB.")
        return refine_really(*arguments)

    refine_really = refine._refine
    monkeypatch.setattr(refine, "_refine", refuse_the_first)
    message = r"1 of 2 .*\n  photos/a\.png: DenseCRF: it needs 90 GiB\."
    with pytest.raises(FileError, match=message):
        command.main(FOLDERS)
    assert [path.name for path in files.glob("crf/*")] == ["b.png"]


def test_two_results_of_one_name_are_refused(files):
    (files / "photos").mkdir()
    for name in ("a", "a_picture"):
        Image.fromarray(pixels_of("photo.png")).save(f"photos/{name}.png")
        Image.fromarray(pixels_of("labels/photo.png")).save(f"labels/{name}.png")
    message = r"photos/a\.png and photos/a_picture\.png would both write out/a_picture\.png"
    with pytest.raises(UsageError, match=message):
        command.main(["photos", "labels", "--out", "out"])
    assert not (files / "out").exists()
