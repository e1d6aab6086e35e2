"""A signal that comes after so many questions for one."""

from autoseg.runs import StopRequest


class StopAfter(StopRequest):
    """Stands in for a StopRequest: a signal that comes after `asked` questions."""

    asked = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def requested(self):
        StopAfter.asked -= 1
        return StopAfter.asked < 0
