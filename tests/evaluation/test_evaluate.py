"""Scoring a split, on a dataset of two images that fits on a page."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autoseg.data import Sample, SegmentationDataset, normalise
from autoseg.evaluation import Evaluation, evaluate
from tests.waits import META, Waits

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
COLOURS = np.array([RED, GREEN, BLUE], dtype=np.uint8)
IGNORE = 255


class Flags(SegmentationDataset):
    """Images drawn in three pure colours; the label is given pixel by pixel."""

    def __init__(self, images: Sequence[list], targets: Sequence[list]) -> None:
        super().__init__(
            name="flags",
            split="val",
            class_names=("red", "green", "blue"),
            palette=COLOURS,
            ignore_index=IGNORE,
            largest_size=(4, 4),
        )
        self.images = [torch.from_numpy(COLOURS[np.array(i)]).permute(2, 0, 1) for i in images]
        self.targets = [torch.tensor(target) for target in targets]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        self.check_index(index)
        return Sample(self.images[index], self.targets[index], f"flag{index}")


class ColourNetwork(nn.Module):
    """Scores each class by its colour's channel, so that pred is the colour itself."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Identity())
        self.was_inference: list[bool] = []

    def forward(self, images: Tensor) -> Tensor:
        self.was_inference.append(torch.is_inference_mode_enabled() and not self.training)
        return self.head(self.norm(images))


@pytest.fixture
def flags() -> Flags:
    """One image 2 x 2 and one 1 x 3; two mistakes and one void pixel."""
    return Flags(
        images=[[[0, 1], [1, 2]], [[0, 0, 2]]],
        targets=[[[0, 0], [1, IGNORE]], [[0, 2, 2]]],
    )


# Row is truth: red 2 right and 1 taken for green; green 1 right; blue 1 right, 1 taken for red.
EXPECTED = [[2, 1, 0], [0, 1, 0], [1, 0, 1]]


def test_counts_are_those_worked_by_hand(flags: Flags) -> None:
    network = ColourNetwork()
    result = evaluate(network, flags, device="cpu")
    assert isinstance(result, Evaluation)
    assert result.plain.counts.tolist() == EXPECTED
    assert result.with_crf is None
    assert result.num_images == 2
    assert network.was_inference == [True, True]


def test_indices_choose_and_order_the_images(flags: Flags) -> None:
    result = evaluate(ColourNetwork(), flags, device="cpu", indices=[1])
    assert result.plain.counts.tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 1]]
    assert result.num_images == 1


def test_the_crf_sees_logits_and_pixels_and_is_counted_apart(flags: Flags) -> None:
    seen = []

    def all_blue(logits: Tensor, images: Tensor) -> Tensor:
        seen.append((logits, images))
        return torch.zeros_like(logits).index_fill(1, torch.tensor([2]), 1.0)

    network = ColourNetwork()
    result = evaluate(network, flags, device="cpu", crf=all_blue)
    assert result.plain.counts.tolist() == EXPECTED
    assert result.with_crf is not None
    assert result.with_crf.counts.tolist() == [[0, 0, 3], [0, 0, 1], [0, 0, 2]]
    for (logits, images), image in zip(seen, flags.images, strict=True):
        assert torch.equal(images[0], image)
        assert images.dtype == torch.uint8
        expected = network.eval()(normalise(image)[None])
        torch.testing.assert_close(logits, expected, rtol=0, atol=0)  # the same call twice


def test_scales_and_flip_reach_the_prediction(flags: Flags) -> None:
    network = ColourNetwork()
    evaluate(network, flags, device="cpu", scales=(1.0, 2.0), flip=True)
    assert len(network.was_inference) == 2 * 2 * 2


def test_every_module_gets_its_own_mode_back(flags: Flags) -> None:
    network = ColourNetwork()
    network.norm.eval()  # frozen on purpose
    running_mean = network.norm.running_mean
    assert running_mean is not None
    before = running_mean.clone()
    evaluate(network, flags, device="cpu")
    assert network.training
    assert network.head[0].training
    assert not network.norm.training
    assert torch.equal(running_mean, before)
    with pytest.raises(IndexError):
        evaluate(network, flags, device="cpu", indices=[7])
    assert network.training  # after an error too


def test_progress_is_reported_after_each_image(flags: Flags) -> None:
    calls = []
    evaluate(ColourNetwork(), flags, device="cpu", on_image=lambda *call: calls.append(call))
    assert calls == [(1, 2), (2, 2)]


def test_the_same_call_gives_the_same_counts(flags: Flags) -> None:
    network = ColourNetwork()
    counts = [evaluate(network, flags, device="cpu", flip=True).plain.counts for _ in range(2)]
    assert torch.equal(*counts)


def test_a_label_of_another_size_is_named(flags: Flags) -> None:
    flags.targets[1] = torch.zeros(1, 2, dtype=torch.int64)
    with pytest.raises(ValueError) as error:
        evaluate(ColourNetwork(), flags, device="cpu")
    assert "image 'flag1': logits are (1, 3) and the label is (1, 2)" in str(error.value)


def test_another_number_of_classes_is_named(flags: Flags) -> None:
    with pytest.raises(ValueError) as error:
        evaluate(nn.Conv2d(3, 5, 1), flags, device="cpu")
    assert "image 'flag0': the network gives 5 classes and the dataset has 3" in str(error.value)


def test_nan_logits_are_named(flags: Flags) -> None:
    network = ColourNetwork()
    nn.init.constant_(network.norm.bias, float("nan"))
    with pytest.raises(ValueError, match="image 'flag0': the logits hold nan"):
        evaluate(network, flags, device="cpu")


@pytest.mark.parametrize("indices", [None, []])
def test_nothing_to_score_is_refused(indices: list[int] | None, flags: Flags) -> None:
    dataset = flags if indices is not None else Flags(images=[], targets=[])
    with pytest.raises(ValueError, match="no image to score: the val split of flags has"):
        evaluate(ColourNetwork(), dataset, device="cpu", indices=indices)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_images_that_are_predicted_together_are_counted_as_one_by_one(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = [(12, 16), (12, 16), (12, 16), (16, 12), (12, 16), (12, 16)]
    drawn = [torch.randint(3, (2, *size), generator=generator).tolist() for size in sizes]
    dataset = Flags(images=[each[0] for each in drawn], targets=[each[1] for each in drawn])
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 1))
    together: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: together.append(len(inputs[0])))
    shown: list[tuple[int, list]] = []

    def counts(batch_pixels: int) -> list[list[int]]:
        result = evaluate(
            network,
            dataset,
            device="cpu",
            scales=(scale,),
            batch_pixels=batch_pixels,
            on_prediction=lambda index, _, pred: shown.append((index, pred.tolist())),
        )
        return result.plain.counts.tolist()

    two_images = int(2 * 12 * 16 * scale**2)
    assert counts(two_images) == counts(0)
    assert together == [2, 1, 1, 2, *[1] * 6]
    assert shown[:6] == shown[6:]
    assert [index for index, _ in shown] == [*range(6), *range(6)]


@pytest.mark.parametrize("batch_pixels", [0, 100])
def test_between_images_nothing_waits_for_the_device(batch_pixels: int) -> None:
    square = [[0, 1], [1, 2]]
    dataset = Flags(images=[square, square, [[0, 1, 2]]], targets=[square, square, [[0, 2, 2]]])
    network, done = ColourNetwork().to(META), list[int]()
    # The one reading, of all counts and of what is no number, comes behind the last image; it is
    # of numbers that tensors of this device do not have.
    with Waits() as waits, pytest.raises(NotImplementedError, match="no data"):
        evaluate(
            network,
            dataset,
            device=META,
            batch_pixels=batch_pixels,
            on_image=lambda number, _: done.append(number),
        )
    assert done == [1, 2, 3]
    assert waits.found == []


def test_of_images_predicted_together_the_one_with_nan_is_named(flags: Flags) -> None:
    class Spoilt(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            images = images.clone()
            images[-1] = float("nan")
            return images

    pair = Flags(images=[[[0, 1]], [[1, 2]]], targets=[[[0, 1]], [[1, 2]]])
    with pytest.raises(ValueError, match="image 'flag1': the logits hold nan"):
        evaluate(Spoilt(), pair, device="cpu", batch_pixels=4)
