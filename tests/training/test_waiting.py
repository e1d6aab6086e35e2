import pytest
import torch

from autoseg.config import DataConfig
from autoseg.data import Subset, build_split
from autoseg.training import LoadingWatch, waiting


@pytest.fixture
def clock(monkeypatch):
    now = [50.0]
    monkeypatch.setattr(waiting, "monotonic", lambda: now[0])
    return now


@pytest.fixture(scope="module")
def dataset():
    return Subset(build_split(DataConfig(), "train"), range(512))  # keeps nothing itself


def watched(clock, *, loading_s, step_s, num_batches=20, device_s=0.0, watch=None):
    """Watch batches that take `loading_s` each, with steps of `step_s` between them."""

    def load():
        for number in range(num_batches):
            clock[0] += loading_s
            yield torch.full((1,), number), torch.zeros(1)

    watch = LoadingWatch() if watch is None else watch
    clock[0] += 1000  # before the first batch nobody waits
    given = []
    for images, _ in watch.watched(load()):
        given.append(int(images))
        clock[0] += step_s
        with watch.waiting_for_device():
            clock[0] += device_s
    assert given == list(range(num_batches))  # passed on as they are
    return watch


def test_waiting_is_what_loading_takes_and_is_said_with_its_share_once(clock, dataset):
    watch = watched(clock, loading_s=1.0, step_s=3.0)
    assert watch.waited_s == pytest.approx(20)
    assert watch.hint(dataset, num_workers=0) == (
        "25% of the time went by waiting for images, 1000 ms a batch; --num-workers 2 loads beside "
        "the training, and saves up to as much"
    )
    assert watch.hint(dataset, num_workers=0) is None


def test_several_iterators_have_one_clock(clock, dataset):
    def load():
        clock[0] += 1.0
        yield torch.zeros(1), torch.zeros(1)

    watch = LoadingWatch()
    for _ in range(20):
        next(watch.watched(load()))
    assert watch.waited_s == pytest.approx(20)
    assert str(watch.hint(dataset, num_workers=0)).startswith("100% of the time")


def test_workers_that_do_not_keep_up_are_doubled_and_not_without_end(clock, dataset):
    watch = watched(clock, loading_s=1.0, step_s=1.0)
    assert "--num-workers 6" in str(watch.hint(dataset, num_workers=3))
    watch = watched(clock, loading_s=1.0, step_s=1.0)
    assert "saved at the size" in str(watch.hint(dataset, num_workers=4))


def test_a_cache_that_does_not_hold_the_images_is_named(clock):
    large = build_split(DataConfig(image_size=(96, 128), cache_gib=0.01), "train")
    # 512 images of 96 x 128 pixels, three channels and a label: 24 MiB.
    assert str(watched(clock, loading_s=1.0, step_s=1.0).hint(large, num_workers=0)).endswith(
        "--num-workers 2 loads beside the training, --cache DIR keeps up to 0.023 GiB of decoded "
        "images there, and both save up to as much"
    )
    part = Subset(large, [0])  # what its dataset keeps is not known
    hint = watched(clock, loading_s=1.0, step_s=1.0).hint(part, num_workers=0)
    assert "--cache" not in str(hint)


def test_the_time_in_which_a_cache_is_filled_is_not_counted(clock):
    kept = build_split(DataConfig(train_length=30), "train")
    watch = watched(clock, loading_s=9.0, step_s=1.0, num_batches=29)
    assert watch.hint(kept, num_workers=0) is None  # one image is still to be decoded
    watched(clock, loading_s=9.0, step_s=1.0, num_batches=1, watch=watch)
    assert watch.hint(kept, num_workers=0) is None
    watched(clock, loading_s=1.0, step_s=3.0, watch=watch)
    assert str(watch.hint(kept, num_workers=0)).startswith(
        "25% of the time went by waiting for images, 1000 ms a batch"
    )


def test_a_device_that_is_waited_for_was_not_idle(clock, dataset):
    watch = watched(clock, loading_s=1.0, step_s=0.0, device_s=0.5)
    assert str(watch.hint(dataset, num_workers=0)).startswith("33% of the time")
    watch = watched(clock, loading_s=1.0, step_s=0.0, device_s=1.0)
    assert watch.hint(dataset, num_workers=0) is None


def test_nothing_is_said_of_fast_loading_or_few_steps(clock, dataset):
    assert watched(clock, loading_s=1.0, step_s=4.0).hint(dataset, num_workers=0) is None
    watch = watched(clock, loading_s=9.0, step_s=1.0, num_batches=19)
    assert watch.hint(dataset, num_workers=0) is None
    assert LoadingWatch().hint(dataset, num_workers=0) is None
