"""Labels and scores from files against pydensecrf's definitions, worked by hand."""

import math
import re

import numpy as np
import pytest
from PIL import Image

from autoseg.data.labels import default_palette, read_labels
from autoseg.data.segmentation_files import (
    pair_files,
    read_scores,
    scores_of_labels,
)
from autoseg.data.void_labels import usual_void
from autoseg.errors import FileError, UsageError

LABELS = np.array([[0, 2, 1], [1, 1, 0]])


def scores_of(labels, **changes):
    settings = {"num_classes": 4, "confidence": 0.7, "zero_unsure": False} | changes
    void = usual_void(
        [frozenset(np.unique(labels).tolist())],
        num_classes=settings["num_classes"],
        zero_unsure=settings["zero_unsure"],
    )
    return scores_of_labels(np.array(labels), where="a.png", **({"void": void.values} | settings))


def logits_of(labels, **changes):
    return scores_of(labels, **changes).logits


def test_a_label_has_its_confidence_and_the_others_share_the_rest():
    probabilities = np.exp(logits_of(LABELS))
    expected = np.full((4, 2, 3), 0.1)
    for row in range(2):
        for column in range(3):
            expected[LABELS[row, column], row, column] = 0.7
    np.testing.assert_allclose(probabilities, expected, rtol=1e-6)


def test_an_unsure_pixel_gives_all_classes_alike():
    probabilities = np.exp(logits_of(LABELS, num_classes=2, zero_unsure=True))
    expected = np.array([[[0.5, 0.3, 0.7], [0.7, 0.7, 0.5]], [[0.5, 0.7, 0.3], [0.3, 0.3, 0.5]]])
    np.testing.assert_allclose(probabilities, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("labels", "changes", "values", "void"),
    [
        ([[0, 2, 1]], {}, [0, 1, 2], []),
        ([[0, 2, 1]], {"zero_unsure": True}, [1, 2], [0]),
        ([[0, 0, 0]], {}, [0, 1], []),
        # A mask of two numbers has two classes, whatever they are.
        ([[0, 255, 0]], {}, [0, 255], []),
        ([[128, 255, 0]], {}, [0, 128], [255]),
        # PASCAL VOC: the classes of one image, and its border.
        ([[0, 15, 255]], {}, [0, 15], [255]),
        ([[0, 15, 255]], {"zero_unsure": True}, [15, 255], [0]),
        ([[0, 15, 255]], {"void": ()}, [0, 15, 255], []),
        ([[0, 15, 7]], {"void": (7,)}, [0, 15], [7]),
        ([[0, 2, 255]], {"num_classes": 3}, [0, 1, 2], [255]),
        ([[1, 2, 255]], {"num_classes": 2, "zero_unsure": True}, [1, 2], [255]),
        ([[0, 2, 255]], {"num_classes": 256}, list(range(256)), []),
    ],
)
def test_classes_and_void_are_found_by_the_documented_rule(labels, changes, values, void):
    scores = scores_of(labels, **({"num_classes": None} | changes))
    assert scores.values.tolist() == values
    assert len(scores.logits) == len(values)
    assert np.array(labels)[scores.is_void].tolist() == void
    best = scores.values[scores.logits.argmax(axis=0)]
    np.testing.assert_array_equal(best[~scores.is_void], np.array(labels)[~scores.is_void])
    spread = np.ptp(scores.logits, axis=0)
    assert (spread[scores.is_void] == 0).all()
    assert (spread[~scores.is_void] > 0).all()


@pytest.mark.parametrize(
    ("labels", "changes", "message"),
    [
        ([[0, 200]], {}, "a.png holds label 200; with 4 classes labels are 0 to 3. If that"),
        ([[-1, 0]], {}, "a.png holds label -1; with 4 classes labels are 0 to 3"),
        ([[0, 5]], {"zero_unsure": True}, "label 5; with 4 classes labels are 1 to 4"),
        ([[0, 1]], {"confidence": 1.0}, "--confidence is 1.0; it must lie between 0 and 1"),
        ([[0, 1]], {"confidence": 0.2}, "a.png has 4 classes; --confidence 0.2 is not above"),
        ([[0, 1]], {"num_classes": 1}, "--num-classes is 1; it must be 2 to 256"),
        ([[*range(300)]], {"num_classes": None}, "holds 299 different numbers, more than 256 cl"),
        ([[0, 2**31 - 1]], {}, "holds label 2147483647"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(labels, changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        scores_of(labels, **changes)


def test_a_huge_label_takes_no_memory():
    scores = scores_of([[0, 2**31 - 1, 7]], num_classes=None)
    assert scores.values.tolist() == [0, 7, 2**31 - 1]
    assert scores.logits.shape == (3, 1, 3)


@pytest.mark.parametrize("mode", ["L", "P"])
def test_label_images_are_read_as_numbers(tmp_path, mode):
    image = Image.fromarray(LABELS.astype(np.uint8))
    if mode == "P":
        image.putpalette([9, 8, 7, 1, 2, 3, 4, 5, 6])
    image.save(tmp_path / "a.png")
    file = read_labels(tmp_path / "a.png")
    np.testing.assert_array_equal(file.labels, LABELS)
    if mode == "P":
        assert file.palette is not None
        assert file.palette[:3].tolist() == [[9, 8, 7], [1, 2, 3], [4, 5, 6]]
    else:
        assert file.palette is None


def test_colours_are_no_labels(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    with pytest.raises(FileError, match=r"a\.png has mode RGB.*palette or grey PNG"):
        read_labels(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no")
    with pytest.raises(FileError, match=r"b\.png is not an image"):
        read_labels(tmp_path / "b.png")


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_probabilities_become_logarithms_clipped_as_in_pydensecrf(tmp_path, suffix):
    values = np.array([0.0, 0.25, 1.0]).reshape(1, 1, 3)
    array = np.concatenate([values, 1 - values])
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, array)
    else:
        np.savez(path, scores=array)
    expected = [math.log(1e-5), math.log(0.25), 0.0]
    np.testing.assert_allclose(read_scores(path, are_logits=False)[0, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(read_scores(path, are_logits=True), array.astype(np.float32))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((4, 5)), r"shape \(4, 5\), one number a pixel, as labels .*wanted are scores \(K"),
        (np.ones((1, 2, 4, 5)), r"shape \(1, 2, 4, 5\), as a batch has; .* array\[0\] takes"),
        (np.ones(5), r"shape \(5,\); wanted are scores \(K, H, W\) of K >= 2 classes\.$"),
        (np.ones(()), r"shape \(\); wanted are scores"),
        (np.ones((1, 4, 5)), r"K >= 2"),
        (np.ones((300, 2, 2)), r"300 classes; .* at most 256"),
        (np.ones((40, 50, 3)), r"looks like \(H, W, K\).*np\.moveaxis\(array, -1, 0\) puts"),
        (np.array([{"a": 1}] * 8).reshape(2, 2, 2), r"object; it must hold numbers"),
        (np.ones((2, 4, 5)), r"sums over the classes 2 to 2\. If they are logits, give --logits"),
        (np.array([[[1.5]], [[-0.5]]]), r"values are -0\.5 to 1\.5"),
        (np.array([[[1.0, 1.0]], [[0.0, np.nan]]]), r"first at class 1, row 0, column 1"),
    ],
)
def test_arrays_that_are_no_probabilities_are_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(FileError, match=message):
        read_scores(tmp_path / "a.npy", are_logits=False)


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (4, 5, 1)])
def test_an_array_of_labels_is_told_what_is_wanted(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.ones(shape, dtype=np.uint8))
    with pytest.raises(
        FileError, match=r"one number a pixel, .*Save labels as an image: "
    ) as caught:
        read_scores(tmp_path / "a.npy", are_logits=True, size=(4, 5))
    assert "batch" not in str(caught.value)
    # The advice makes what the command reads.
    array, labels = np.load(tmp_path / "a.npy"), tmp_path / "labels.png"
    Image.fromarray(array.squeeze().astype(np.uint8)).save(labels)
    np.testing.assert_array_equal(read_labels(labels).labels, np.ones((4, 5)))


def test_an_archive_of_two_arrays_is_ambiguous(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((2, 1, 1)), y=np.ones((2, 1, 1)))
    with pytest.raises(FileError, match=r"holds 2 arrays \(x, y\)"):
        read_scores(tmp_path / "a.npz", are_logits=True)


def test_the_palette_is_pascals():
    # The first colours of PASCAL VOC: background, aeroplane, bicycle, bird, boat.
    expected = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]]
    assert default_palette()[:5].tolist() == expected
    assert default_palette()[8].tolist() == [64, 0, 0]
    assert len({tuple(colour) for colour in default_palette().tolist()}) == 256


def test_folders_are_paired_by_name(tmp_path):
    photos, labels = tmp_path / "photos", tmp_path / "labels"
    photos.mkdir()
    labels.mkdir()
    images = [photos / "a.jpg", photos / "b.jpg"]
    for path in (labels / "a.npy", labels / "b.png"):
        path.write_bytes(b"")
    assert pair_files(photos, labels, images=images) == [labels / "a.npy", labels / "b.png"]
    (labels / "a.png").write_bytes(b"")
    message = r"1 of 2 images .* Found for a\.jpg \(a\.npy, a\.png\)\.$"
    with pytest.raises(UsageError, match=message):
        pair_files(photos, labels, images=images)
    with pytest.raises(UsageError, match=r"must both be files, or both be folders"):
        pair_files(photos, labels / "a.png", images=images)
    with pytest.raises(UsageError, match=r"c\.png does not exist"):
        pair_files(images[0], labels / "c.png", images=images[:1])


def test_all_missing_partners_are_counted_and_the_first_named(tmp_path):
    names = [f"{number:03}.jpg" for number in range(300)]
    (tmp_path / "007.png").touch()
    message = (
        r"299 of 300 images .* Found for 000\.jpg \(none\), .*, 005\.jpg \(none\) and 293 more\.$"
    )
    with pytest.raises(UsageError, match=message):
        pair_files(tmp_path, tmp_path, images=[tmp_path / name for name in names])


@pytest.mark.parametrize("ending", ["PNG", "Tif", "NPY", "nPz"])
def test_capital_endings_and_both_accents_are_paired(tmp_path, ending):
    composed, decomposed = "Stra\u00dfe-\u00e9", "Stra\u00dfe-e\u0301"
    partner = tmp_path / f"{decomposed}.{ending}"
    partner.touch()
    assert pair_files(tmp_path, tmp_path, images=[tmp_path / f"{composed}.JPG"]) == [partner]
