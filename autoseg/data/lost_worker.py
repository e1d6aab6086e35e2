"""What is said where a process that prepares samples was ended from outside."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def explaining_lost_workers(remedy: str) -> Iterator[None]:
    """Say what to do where a process that prepares samples was ended from outside.

    torch raises for it wherever this process happens to be: mostly in the middle of a step, by its
    handler of SIGCHLD, and not while a batch is waited for.

    Args:
        remedy: What to do; ends the sentence.

    Raises:
        RuntimeError: In place of the one by which torch tells it.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise RuntimeError(
            f"a process that prepares images was ended from outside, often because memory ran out; "
            f"{remedy}."
        ) from error
