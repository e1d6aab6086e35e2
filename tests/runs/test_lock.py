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
