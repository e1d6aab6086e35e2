"""What comes out is what went in, and no file stays."""

import pytest
import torch

from autoseg.jobs.logits_cache import LogitsCache


@pytest.mark.parametrize("on_disk", [False, True])
def test_tensors_come_back_bit_for_bit(tmp_path, on_disk):
    tensors = [torch.randn(1, 3, 4, 5 + number) for number in range(3)]
    with LogitsCache(tmp_path, on_disk=on_disk) as cache:
        for tensor in tensors:
            cache.append(tensor)
        assert len(cache) == 3
        assert bool(list(tmp_path.rglob("*.npy"))) == on_disk
        for place in (2, 0, 1):
            assert torch.equal(cache[place], tensors[place])
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path):
    leftover = tmp_path / ".crf-logits-xyz"
    leftover.mkdir()
    (leftover / "0.npy").write_bytes(b"x")
    with LogitsCache(tmp_path, on_disk=False):
        assert not leftover.exists()
