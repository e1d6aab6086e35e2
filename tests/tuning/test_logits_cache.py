"""What comes out is what went in, and no file stays."""

import resource

import pytest
import torch

from autoseg.tuning.logits_cache import LogitsCache


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


def test_a_full_disk_is_told_with_the_file_and_the_space(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with LogitsCache(tmp_path, on_disk=True) as cache:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
        try:
            with pytest.raises(OSError, match=r"could not write .*0\.npy: .*MiB are free in"):
                cache.append(torch.zeros(1, 3, 40, 50))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
