"""Whether 255 is a class is one decision for all label images."""

import itertools

import numpy as np
import pytest
from PIL import Image

from autoseg.data.void_labels import labels_that_occur, usual_void


@pytest.mark.parametrize(
    ("label_sets", "num_classes", "zero_unsure", "is_void"),
    [
        ([{0, 15, 255}], None, False, True),
        ([{0, 255}], None, False, False),
        ([{0, 15, 255}], None, True, False),
        ([{1, 2, 255}], None, True, True),
        ([{0, 1, 2}], None, False, False),
        # No file alone has two others beside 255.
        ([{0, 255}, {0, 7}], None, False, True),
        ([{3, 255}, {4, 255}], None, False, True),
        ([{0, 255}, {0, 255}, {0}], None, False, False),
        ([], None, False, False),
        ([], 3, False, True),
        ([], 255, False, True),
        ([], 256, False, False),
    ],
)
def test_the_rule_in_every_order_of_the_files(label_sets, num_classes, zero_unsure, is_void):
    for order in itertools.permutations(map(frozenset, label_sets)):
        found = usual_void(order, num_classes=num_classes, zero_unsure=zero_unsure)
        assert found.values == ((255,) if is_void else ())
        is_worth_telling = num_classes is None and any(255 in labels for labels in order)
        assert bool(found.reason) == is_worth_telling


def test_no_more_files_are_read_than_decide():
    files = iter([frozenset({0, 1, 255}), frozenset({7})])
    usual_void(files, num_classes=None, zero_unsure=False)
    assert list(files) == [frozenset({7})]


def test_a_broken_file_and_a_photograph_say_nothing(tmp_path):
    Image.fromarray(np.arange(600, dtype=np.uint16)[None]).save(tmp_path / "photo.png")
    Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).save(tmp_path / "mask.png")
    (tmp_path / "broken.png").write_bytes(b"no")
    paths = [tmp_path / f"{name}.png" for name in ("photo", "missing", "broken", "mask")]
    assert list(labels_that_occur(paths)) == [{0, 255}]
