"""A run that another process writes."""

import inspect

from autoseg.runs import Run
from autoseg.runs.following import FollowedRun


def test_no_method_of_a_run_is_left_to_write():
    methods = {name for name, value in vars(Run).items() if inspect.isfunction(value)}
    public = {name for name in methods if not name.startswith("_")}
    assert {"log", "follow", "update"} < public <= vars(FollowedRun).keys()


def test_following_leaves_the_folder_as_it_is(tmp_path):
    folder = tmp_path / "run"
    lines = []
    with FollowedRun(folder) as run:
        run.follow(lines.append)
        run.log(step=1)
        run.update(results={"a": 1})
        run.save_checkpoint({}, identity={}, step=1)
        run.save_weights("last", {}, metadata={})
        run.finish()
    assert not folder.exists() and not lines
