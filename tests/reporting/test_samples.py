"""Pictures of samples show the right pixels under the right names."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from autoseg.contract import Sample, SegmentationDataset
from autoseg.errors import UsageError
from autoseg.reporting.samples import colour_label, draw_samples

PALETTE = np.array([[128, 64, 128], [0, 0, 255]], np.uint8)


class _Dataset(SegmentationDataset):
    """Two classes and an ignored label; sample i is filled with grey 10 * i."""

    def __init__(self, attribution: str = "") -> None:
        super().__init__(
            name="two",
            split="val",
            class_names=("road", "sky"),
            palette=PALETTE,
            ignore_index=7,
            largest_size=(4, 6),
            attribution=attribution,
        )

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Sample:
        image = torch.full((3, 4, 6), 10 * index, dtype=torch.uint8)
        target = torch.zeros(4, 6, dtype=torch.int64)
        target[0], target[3] = 1, 7
        return Sample(image, target, f"frame {index}")


def _pictures(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_colour_label_by_hand() -> None:
    target = torch.tensor([[0, 1, 7]])
    coloured = colour_label(target, PALETTE, ignore_index=7)
    assert coloured.dtype == np.uint8
    np.testing.assert_array_equal(coloured, [[[128, 64, 128], [0, 0, 255], [0, 0, 0]]])


def test_each_image_stands_above_its_label() -> None:
    figure = draw_samples(_Dataset(), [4, 0, 2], num_columns=2)
    images = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in images] == ["frame 4", "frame 0", "frame 2"]
    pictures = _pictures(figure)
    assert len(pictures) == 6
    for axes, index in zip(images, (4, 0, 2), strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), np.full((4, 6, 3), 10 * index))
    labels = [picture for picture in pictures if (picture[0] == [0, 0, 255]).all()]
    assert len(labels) == 3
    for label in labels:
        assert (label[1:3] == [128, 64, 128]).all()
        assert (label[3] == 0).all()


def test_the_legend_names_every_class_in_its_colour() -> None:
    legend = draw_samples(_Dataset(), [0]).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["road", "sky", "ignored"]
    colours = [to_rgb(patch.get_facecolor()) for patch in legend.get_patches()]
    np.testing.assert_allclose(colours, [[128 / 255, 64 / 255, 128 / 255], [0, 0, 1], [0, 0, 0]])


def test_the_legend_has_no_ignored_pixels_where_the_samples_have_none(monkeypatch) -> None:
    dataset = _Dataset()
    image, target, name = dataset[0]
    labelled = Sample(image, target.clamp(max=1), name)
    monkeypatch.setattr(_Dataset, "__getitem__", lambda self, index: labelled)
    legend = draw_samples(dataset, [0]).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["road", "sky"]


def test_the_attribution_is_printed_where_one_is_owed() -> None:
    owed = draw_samples(_Dataset("Photographs by A. Person, CC BY 4.0"), [0])
    assert owed.legends[0].get_title().get_text() == "Photographs by A. Person, CC BY 4.0"
    assert draw_samples(_Dataset(), [0]).legends[0].get_title().get_text() == ""


def test_indices_that_do_not_exist_are_named() -> None:
    with pytest.raises(UsageError, match=r"sample 5 does not exist; the dataset has 5 \(0 to 4\)"):
        draw_samples(_Dataset(), [0, 5])
    with pytest.raises(UsageError, match="no index was given"):
        draw_samples(_Dataset(), [])
