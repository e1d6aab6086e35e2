import errno
import os
import platform

import pytest

from autoseg.errors import UsageError
from autoseg.runs.lock import FolderLock


def test_a_second_holder_is_told_the_first(tmp_path):
    lock = FolderLock(tmp_path)
    rule = rf"is in use by process {os.getpid()} on {platform.node()}: wait until it ends"
    with pytest.raises(UsageError, match=rule):
        FolderLock(tmp_path)
    lock.release()
    assert not (tmp_path / ".lock-holder").exists()  # nobody is named who has left
    FolderLock(tmp_path).release()


def test_a_holder_that_has_not_signed_yet(tmp_path):
    lock = FolderLock(tmp_path)
    (tmp_path / ".lock-holder").unlink()
    with pytest.raises(UsageError, match="is in use by another process"):
        FolderLock(tmp_path)
    lock.release()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x1b[31mred\nb", b"x" * 10_000])
def test_a_holder_whose_file_is_rotten(tmp_path, content):
    lock = FolderLock(tmp_path)
    (tmp_path / ".lock-holder").write_bytes(content)
    with pytest.raises(UsageError, match=r"is in use by .*wait until it ends") as caught:
        FolderLock(tmp_path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500
    lock.release()


def test_a_disk_that_is_full_gives_the_lock_back(tmp_path, monkeypatch):
    def full(self, text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.write_text", full)
        with pytest.raises(OSError, match=r"could not write .*lock-holder: No space left"):
            FolderLock(tmp_path)
    FolderLock(tmp_path).release()
