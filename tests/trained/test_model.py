"""Trained networks that segment images: `autoseg.load` of a run folder and of one file."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

import autoseg
from autoseg import predict
from autoseg.data import Normalisation
from autoseg.data.labels import read_labels
from autoseg.errors import FileError, UsageError
from autoseg.runs import load_weights
from autoseg.runs.weights import read_metadata
from autoseg.trained import ModelFile, RetrainedNetwork, save_model_file
from tests.fuzzing import damaged_bytes, damaged_json, require_clean_refusals
from tests.trained.random_run import make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give a run, a photograph and its mask as the command predicts it."""
    folder = tmp_path_factory.mktemp("model")
    make_run(folder / "run")
    pixels = np.random.default_rng(0).integers(256, size=(40, 56, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    predict.main([str(folder / "run"), str(folder / "photo.png"), "--out", str(folder / "out")])
    trained = RetrainedNetwork.open(folder / "run")
    save_model_file(
        folder / "model.safetensors",
        load_weights(folder / "run"),
        description=trained.description,
        origin={"dataset": "synthetic"},
    )
    return folder


@pytest.mark.parametrize("name", ["run", "model.safetensors"])
def test_a_loaded_model_predicts_what_the_command_does(folder, name):
    model = autoseg.load(folder / name)
    pixels = np.array(Image.open(folder / "photo.png"))
    expected = read_labels(folder / "out/photo.png")
    for image in (
        folder / "photo.png",
        str(folder / "photo.png"),
        Image.open(folder / "photo.png"),
        pixels,
        pixels.transpose(2, 0, 1),
    ):
        prediction = model.predict(image)
        np.testing.assert_array_equal(prediction.labels, expected.labels)
    assert prediction.class_names == ("class 0", "class 1", "class 2", "class 3")
    assert expected.palette is not None
    np.testing.assert_array_equal(prediction.colours, expected.palette[expected.labels])
    shown = np.array(Image.open(folder / "out/photo.png").convert("RGB"))
    np.testing.assert_array_equal(np.array(prediction.picture().convert("RGB")), shown)
    counts = {f"class {number}": (expected.labels == number).mean() for number in range(4)}
    assert prediction.shares == {name: share for name, share in counts.items() if share}
    assert "float64" not in repr(prediction.shares)  # it is printed by whoever tries it
    assert [*prediction.shares.values()] == sorted(prediction.shares.values(), reverse=True)


def test_a_picture_in_memory_is_read_as_its_file(tmp_path):
    folder = make_run(tmp_path / "run", normalisation=Normalisation(mean=(0.4,), std=(0.3,)))
    model = autoseg.load(folder)
    pixels = np.random.default_rng(1).integers(256, size=(24, 40, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by a quarter
    picture.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as opened:
        prediction = model.predict(opened)
    np.testing.assert_array_equal(prediction.labels, model.predict(tmp_path / "turned.png").labels)
    assert prediction.labels.shape == (40, 24)
    with pytest.raises(FileError, match=r"^the image has 3 channel\(s\) of 24 x 40 pixels; 1 are"):
        model.predict(pixels)
    with pytest.raises(FileError, match=r"^the image has shape \(4,\); an image is \(H, W\)"):
        model.predict(np.zeros(4))


def test_one_file_holds_the_whole_model(folder):
    trained = RetrainedNetwork.open(folder / "run")
    file = ModelFile.open(folder / "model.safetensors")
    assert file.description == trained.description
    assert file.origin == {"dataset": "synthetic"}
    weights = load_weights(folder / "run")
    read = file.weights()
    assert weights.keys() == read.keys()
    assert all(torch.equal(weights[name], read[name]) for name in weights)


def test_what_is_no_model_is_told_what_is(folder, tmp_path):
    for name, message in (
        ("nothing", "nothing does not exist; name a run folder"),
        ("photo.png", "is neither a run folder nor a .safetensors file"),
    ):
        with pytest.raises(UsageError, match=message):
            autoseg.load(folder / name)
    with pytest.raises(FileError, match=r"does not say of which network; name the run folder"):
        autoseg.load(folder / "run/weights-best.safetensors")
    trained = RetrainedNetwork.open(folder / "run")
    weights = load_weights(folder / "run")
    weights.pop("classifier.weight")
    path = tmp_path / "other.safetensors"
    save_model_file(path, weights, description=trained.description, origin={})
    with pytest.raises(FileError, match=r"other\.safetensors is not of the network .* it lacks "):
        autoseg.load(path)


@pytest.mark.fuzz
def test_a_damaged_file_is_refused_by_its_name(folder, memory_folder):
    path = memory_folder / "model.safetensors"
    whole = (folder / "model.safetensors").read_bytes()
    num_header = 8 + int.from_bytes(whole[:8], "little")
    headers = damaged_bytes(whole[:num_header])
    damaged = headers.map(lambda header: header + whole[num_header:])
    metadata = read_metadata(folder / "model.safetensors", remedy="copy it again")
    values = json.loads(metadata["autoseg_model"])
    # No weights: the description is read, and refused, before them.
    files = damaged_json(values).map(
        lambda each: save({}, {**metadata, "autoseg_model": json.dumps(each)})
    )
    require_clean_refusals(autoseg.load, path, damaged | files)
