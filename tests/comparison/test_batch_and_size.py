"""Costs are of as many images of such a size as were asked for; scores are not touched by that."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from autoseg.commands.compare import tables_of
from autoseg.comparison import Comparison, group_networks, timing
from autoseg.comparison.documents import comparison_latex, comparison_markdown
from autoseg.comparison.earlier import earlier_networks
from autoseg.comparison.report import comparison_page
from autoseg.comparison.timing import Stages, time_networks
from autoseg.comparison.writing import comparison_record
from autoseg.cost import count_macs
from autoseg.data import Sample, SegmentationDataset
from autoseg.evaluation import evaluate
from autoseg.runs import Progress
from tests.comparison.rows import network
from tests.comparison.test_measuring import ONCE, SIZE, measure, subject

CPU = torch.device("cpu")
ASKED = replace(ONCE, batch_size=3, image_size=(64, 96))


class Plain(torch.nn.Module):
    """Each image by itself: its channels are its logits, with one more class that never wins."""

    def forward(self, images):
        return torch.cat([images, images.amin(1, keepdim=True) - 1], dim=1)


class Mixing(Plain):
    """What one image gets depends on the others of its batch."""

    def forward(self, images):
        return (
            super().forward(images).roll(1, dims=1) if len(images) > 1 else super().forward(images)
        )


class OfSizes(SegmentationDataset):
    """Images of noise of the sizes that are given."""

    def __init__(self, sizes):
        super().__init__(
            name="mixed",
            split="val",
            class_names=("a", "b", "c", "d"),
            palette=np.zeros((4, 3), np.uint8),
            ignore_index=255,
            largest_size=tuple(np.max(sizes, axis=0).tolist()),
            attribution="",
        )
        self.sizes = sizes

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        draw = np.random.default_rng(index)
        image = draw.integers(256, size=(3, *self.sizes[index]), dtype=np.uint8)
        target = draw.integers(4, size=self.sizes[index])
        return Sample(torch.from_numpy(image), torch.from_numpy(target), str(index))


def measured(given, asked):
    progress = Progress(1, description="x", stream=io.StringIO())
    return measure(given, device=CPU, crf=None, crf_text="", timing=asked, progress=progress)


def test_the_network_is_timed_and_counted_as_asked_and_scored_as_ever():
    given, seen = subject(num_images=2, image_scale=0.5), []
    given.network.register_forward_pre_hook(
        lambda module, args: seen.append(tuple(args[0].shape)) if module is given.network else None
    )
    (row,) = measured(given, ASKED).rows
    assert seen.count((1, 3, 16, 24)) >= 2  # what is scored, at half its size
    # Half of 64 x 96 for what is timed; at the scored size the batch's classes are compared.
    assert set(seen) == {(1, 3, 16, 24), (3, 3, 16, 24), (3, 3, 32, 48)}
    assert row.macs == count_macs(given.network, (32, 48)).macs
    expected = evaluate(given.network, given.dataset, device="cpu", indices=(0, 1), scales=(0.5,))
    assert row.miou == expected.plain.mean_iou()
    assert (row.batch_size, row.timed_height, row.timed_width) == (3, 64, 96)
    assert (row.image_height, row.image_width, row.input_height) == (*SIZE, 16)


@pytest.mark.parametrize("size", [(64, 96), (12, 20)])
def test_a_batch_is_the_first_image_again_and_again_at_the_size(size):
    given = replace(subject(num_images=0), network=Plain().eval())
    made = Stages(given, crf=None, device=CPU, batch_size=3, image_size=size)
    pixels = made._pixels(size, CPU)
    image = Image.fromarray(given.dataset[0].image.permute(1, 2, 0).numpy())
    resized = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR)).astype(int)
    assert pixels.shape == (3, 3, *size) and pixels.dtype == torch.uint8
    for each in pixels:
        # Pillow rounds after each of the two axes.
        assert np.abs(each.permute(1, 2, 0).numpy().astype(int) - resized).max() <= 1
    with torch.inference_mode():
        assert made.alone().shape == made.finish().shape == (3, *size)


def test_memory_is_of_all_images_and_energy_of_one(monkeypatch):
    joules = iter(range(0, 1_000_000, 12))  # 12 J between any two readings
    monkeypatch.setattr(timing, "energy_meter", lambda device: lambda: next(joules))
    monkeypatch.setattr(
        timing, "measure_energy", lambda function, *, meter, clock: -meter() + meter()
    )
    given = replace(subject(num_images=0), network=Plain().eval())
    stages = [Stages(given, crf=None, device=CPU, batch_size=n) for n in (1, 4)]
    one, four = time_networks(stages, device=CPU, timing=ONCE)
    assert four.memory_mib == 4 * one.memory_mib > 0  # nothing in it is shared by the images
    assert (one.energy_j, four.energy_j) == (12, 3)


def test_images_that_change_each_other_are_refused():
    given = replace(subject(num_images=1), network=Mixing().eval())
    measured(given, ONCE)
    with pytest.raises(RuntimeError, match="Mixing: what is timed is not what was scored"):
        measured(given, replace(ONCE, batch_size=2))


def test_rows_of_another_batch_or_size_stand_in_tables_of_their_own(tmp_path):
    networks = [
        network(label="one"),
        network(label="one too"),
        network(label="same", timed_height=96, timed_width=128),  # the size of the images
        network(label="eight", batch_size=8),
        network(label="large", timed_height=512, timed_width=1024),
    ]
    record = comparison_record(
        Comparison(groups=tuple(group_networks(networks)), left_out=(), protocol={})
    )
    (tmp_path / "compare.json").write_text(json.dumps(record))
    groups = group_networks(earlier_networks(tmp_path / "compare.json"))
    now = group_networks([*earlier_networks(tmp_path / "compare.json"), network(label="now")])
    protocol = {"Latency": "single-stream, one image a call"}
    page = comparison_page(Comparison(groups=tuple(now), left_out=(), protocol=protocol))
    told = [part.count("Latency: single-stream, one image") for part in page.split("<section id")]
    assert told[1:4] == [1, 0, 0]  # beside what was measured now, and not beside earlier ones
    assert "one, one too, same: measured by an earlier comparison" in page
    labels = [{each.rows[0].label for each in group.networks} for group in groups]
    assert labels == [{"one", "one too", "same"}, {"eight"}, {"large"}]
    again = Comparison(groups=tuple(groups), left_out=(), protocol={})
    for write in (comparison_markdown, comparison_latex, comparison_page):
        text = write(again)
        assert "96 x 128, times and memory of 8 images a call" in text
        assert "96 x 128, costs at 512 x 1024" in text
    assert "at 10.00 ms for 8 images and 2.000 G MACs" in comparison_markdown(again)
    assert [record["batch_size"] for record in groups[1].records] == [8]


def test_the_heading_says_which_sizes_were_scored_and_at_which_all_costs_are(tmp_path):
    given = replace(
        subject("icnet_resnet50", num_images=2),
        network=torch.nn.Conv2d(3, 4, 1).eval(),
        dataset=OfSizes([(20, 36), (32, 24), (16, 64)]),  # the last one is not scored
    )
    seen = []
    given.network.register_forward_pre_hook(
        lambda _, args: seen.append(tuple(map(int, args[0].shape[2:])))
    )
    untrained = measured(replace(given, indices=()), ONCE)
    assert set(seen) == {(20, 36)}  # the first image is timed and counted
    assert untrained.rows[0].image_heights == (20, 20)
    scored = measured(given, ONCE)
    (row,) = scored.rows
    assert (row.image_heights, row.image_widths) == ((20, 32), (24, 36))
    assert (row.image_height, row.image_width) == (32, 64)
    assert (row.timed_height, row.timed_width, row.macs) == (20, 36, 3 * 4 * 20 * 36)
    now = Comparison(groups=tuple(group_networks([scored, untrained])), left_out=(), protocol={})
    heading = "mixed val, 4 classes, images 20-32 x 24-36, costs at 20 x 36"
    assert tables_of(now).split("\n", 2)[1] == now.groups[0].heading == heading
    record = comparison_record(now)
    assert record["groups"][0]["group"] == heading
    for write in (comparison_markdown, comparison_latex, comparison_page):
        assert heading in write(now)
    (tmp_path / "compare.json").write_text(json.dumps(record))
    (again,) = group_networks(earlier_networks(tmp_path / "compare.json"))
    assert again.heading == heading
