"""`python -m autoseg.predict` on folders with something wrong in them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoseg import predict
from autoseg.commands import predict as command
from autoseg.crf import DenseCRF
from autoseg.data import Normalisation, normalise
from autoseg.data.labels import read_labels
from autoseg.errors import FileError, UsageError
from autoseg.evaluation import colour_mask, overlay, windows
from autoseg.trained import RetrainedNetwork
from tests.trained.random_run import make_run

ROOT = Path(__file__).parents[2]


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


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(32, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return pixels


def test_a_legend_names_the_classes_under_the_overlay(tmp_path, photo):
    folder, out = make_run(tmp_path / "run"), tmp_path / "out"
    arguments = [str(folder), str(tmp_path / "photo.png"), "--overlay", "--out", str(out)]
    predict.main(arguments)
    pred = read_labels(out / "photo.png").labels
    palette = np.array([[40 * number, 10, 20] for number in range(4)], np.uint8)
    expected = overlay(photo, colour_mask(pred, palette), 0.6)
    picture = np.array(Image.open(out / "photo_overlay.png"))
    np.testing.assert_array_equal(picture[:32], expected)
    strip = picture[32:]
    for number in np.unique(pred):  # the patches are the only such colours on white
        assert (strip == palette[number]).all(axis=2).any()
    assert (strip.max(axis=2) < 100).sum() > 50  # letters
    predict.main([*arguments, "--no-legend"])
    np.testing.assert_array_equal(np.array(Image.open(out / "photo_overlay.png")), expected)


def test_windows_are_said_and_cover_the_image(tmp_path, photo, capsys):
    folder, out = make_run(tmp_path / "run"), tmp_path / "out"
    arguments = [str(folder), str(tmp_path / "photo.png"), "--out", str(out), "--window", "64"]
    predict.main(arguments)
    line = "photo.png is seen at 32 x 96 pixels in 2 windows of at most 64 x 64 that overlap by 32 "
    captured = capsys.readouterr()
    assert line in captured.err and captured.err.endswith(f"open {out.as_uri()}\n")
    assert "open file:" not in captured.out  # a script reads the files' names there
    pred = read_labels(out / "photo.png").labels
    network = RetrainedNetwork.open(folder).network()
    for seen, kept in ((slice(0, 64), slice(0, 48)), (slice(32, 96), slice(48, 96))):
        images = normalise(torch.from_numpy(photo[:, seen].transpose(2, 0, 1).copy())[None])
        with torch.inference_mode():
            expected = network(images).argmax(dim=1)[0].numpy()
        kept_there = slice(kept.start - seen.start, kept.stop - seen.start)
        np.testing.assert_array_equal(pred[:, kept], expected[:, kept_there])
    predict.main([*arguments[:-1], "96"])  # one window is one piece
    assert " windows of" not in capsys.readouterr().err
    whole = read_labels(out / "photo.png").labels
    predict.main(arguments[:-2])
    np.testing.assert_array_equal(read_labels(out / "photo.png").labels, whole)


def test_a_large_image_goes_to_windows_by_itself_and_its_overlay_is_reduced(
    tmp_path, photo, capsys, monkeypatch
):
    monkeypatch.setattr(windows, "MAX_VIEW_PIXELS", 32 * 96 - 1)
    monkeypatch.setattr(command, "MAX_VIEW_PIXELS", 32 * 96 - 1)
    monkeypatch.setattr(command, "AUTO_SIZE", 64)
    monkeypatch.setattr(command, "_REDUCED_PIXELS", 32 * 96 // 16)
    folder, out = make_run(tmp_path / "run"), tmp_path / "out"
    arguments = [str(folder), str(tmp_path / "photo.png"), "--out", str(out), "--overlay"]
    predict.main([*arguments, "--no-legend"])
    said = capsys.readouterr().err
    assert "in 2 windows of at most 64 x 64" in said
    assert "the overlay of photo.png is reduced by 4, to 8 x 24 pixels; the mask is not" in said
    pred = read_labels(out / "photo.png").labels
    assert pred.shape == (32, 96)
    colours = np.rint(photo.reshape(8, 4, 24, 4, 3).mean(axis=(1, 3))).astype(np.uint8)
    palette = np.array([[40 * number, 10, 20] for number in range(4)], np.uint8)
    expected = overlay(colours, colour_mask(pred[2::4, 2::4], palette), 0.6)
    np.testing.assert_array_equal(np.array(Image.open(out / "photo_overlay.png")), expected)
    predict.main([*arguments, "--window", "none"])
    assert " windows of" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--crf", "--window", "64"], r"^--crf with --window: the CRF relates every pixel to ev"),
        (["--crf", "--overlap", "32"], r"^--crf with --overlap: "),
        (["--window", "none", "--overlap", "32"], r"^--overlap 32 with --window none: there are"),
        (["--window", "100"], r"^--window 100 must be a multiple of 32"),
        (["--overlap", "1024"], r"^--overlap 1024 must be smaller than --window 1024"),
    ],
)
def test_options_that_cannot_stand_together_are_refused(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        predict.main([str(tmp_path / "run"), str(tmp_path), *options])


def test_a_network_of_one_channel_sees_the_grey_of_a_photo(tmp_path, photo):
    normalisation = Normalisation(mean=(0.4,), std=(0.3,))
    folder, out = make_run(tmp_path / "run", normalisation=normalisation), tmp_path / "out"
    predict.main([str(folder), str(tmp_path / "photo.png"), "--out", str(out)])
    grey = np.rint(photo @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    images = normalise(torch.from_numpy(grey)[None, None], normalisation)
    with torch.inference_mode():
        expected = RetrainedNetwork.open(folder).network()(images).argmax(dim=1)[0].numpy()
    np.testing.assert_array_equal(read_labels(out / "photo.png").labels, expected)


def test_arrays_of_a_folder_go_to_a_network_of_their_channels(tmp_path):
    normalisation = Normalisation(mean=(0.4,) * 5, std=(0.3,) * 5)
    folder, out = make_run(tmp_path / "run", normalisation=normalisation), tmp_path / "out"
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in/a.npy", np.zeros((32, 40, 5), np.uint8))
    Image.new("RGB", (40, 32)).save(tmp_path / "in/b.png")
    predict.main([str(folder), str(tmp_path / "in"), "--out", str(out), "--overlay"])
    assert sorted(each.name for each in out.iterdir()) == [
        *("a.png", "a_overlay.png", "classes.txt")
    ]
    with pytest.raises(FileError, match=r"b.png is a picture, and the other images have 5 chann"):
        predict.main([str(folder), str(tmp_path / "in/b.png"), "--out", str(out)])


def test_more_classes_than_a_palette_has_are_numbers_of_16_bits(tmp_path, photo):
    folder, out = make_run(tmp_path / "run", num_classes=300), tmp_path / "out"
    predict.main([str(folder), str(tmp_path / "photo.png"), "--out", str(out)])
    file = read_labels(out / "photo.png")
    assert file.mode == "I;16"
    pixels = torch.from_numpy(photo.transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        expected = (
            RetrainedNetwork.open(folder).network()(normalise(pixels)).argmax(dim=1)[0].numpy()
        )
    np.testing.assert_array_equal(file.labels, expected)


PEAK = """
import re, sys
from pathlib import Path
from autoseg import predict
predict.main(sys.argv[1:])
print(int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**20)
"""


@pytest.mark.nightly
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's peak of memory")
def test_a_large_image_is_predicted_in_bounded_memory(tmp_path):
    squares = np.random.default_rng(0).integers(256, size=(60, 60, 3), dtype=np.uint8)
    Image.fromarray(squares.repeat(100, 0).repeat(100, 1)).save(tmp_path / "large.png")
    folder = make_run(tmp_path / "run", num_classes=19)
    arguments = [folder, tmp_path / "large.png", "--out", tmp_path / "out", "--overlay"]
    command = [sys.executable, "-c", PEAK, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    # The scores alone would be 2.5 GiB; the picture is 0.13 as Pillow holds it.
    assert float(done.stdout.splitlines()[-1]) < 1.3
    assert read_labels(tmp_path / "out/large.png").labels.shape == (6000, 6000)
