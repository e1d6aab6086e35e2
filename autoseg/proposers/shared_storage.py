"""A database in which several processes, on one machine or many, keep the trials of one study."""

import time
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from autoseg.errors import FileError, UsageError, reading
from autoseg.foreign_text import printable

if TYPE_CHECKING:
    from autoseg.proposers.database import CachedDatabase

WHAT = "a database of trials that can be used"
"""What an address should lead to."""
_PAUSE_S = 0.5
_POSTGRESQL_DRIVER = "psycopg2"
"""Which of its drivers an address without one means differs between SQLAlchemy 2.0 and 2.1."""


class SharedStorage:
    """A study in a database, and which of the processes this one is."""

    def __init__(self, url: str, *, study_name: str, worker: int) -> None:
        """Take the address; nothing is opened yet.

        Args:
            url: The address, such as sqlite:///trials.db or postgresql://user@host/database.
            study_name: Searches of one name share their trials.
            worker: The number of this process among those that share them.

        Raises:
            UsageError: If it is no address, holds a password, which run.json would keep, or needs
                a driver that is not installed.
        """
        parsed = urlsplit(url)
        if not parsed.scheme or "://" not in url:
            raise UsageError(
                f"storage = {printable(url)!r} is no address of a database; use "
                "sqlite:///trials.db, or postgresql://user@host/database."
            )
        if parsed.password is not None:
            raise UsageError(
                f"storage: the address of {printable(str(parsed.hostname))} holds a password, "
                "which run.json would keep; leave it out, and give it by PGPASSWORD or ~/.pgpass."
            )
        if parsed.scheme == "postgresql":
            if find_spec(_POSTGRESQL_DRIVER) is None:
                raise UsageError(
                    f"storage: PostgreSQL is reached by {_POSTGRESQL_DRIVER}, which is not "
                    "installed: pip install 'autoseg-nas[storage]'; or use sqlite:///trials.db."
                )
            self._url = f"postgresql+{_POSTGRESQL_DRIVER}{url[len(parsed.scheme) :]}"
        else:
            self._url = url
        self.shown = printable(url)
        self.study_name = study_name
        self.worker = worker
        self._storage: CachedDatabase | None = None

    def open(self) -> "CachedDatabase":
        """Connect; the tables are made if need be.

        Of workers that start at once, all but one fail to make them, and find them made when they
        try again.

        Raises:
            FileError: If there is no such database, or it cannot be used.
        """
        for is_last in (False, False, True):
            try:
                with reading(self.shown, WHAT):
                    self._storage = database_at(self._url)
                    return self._storage
            except FileError:
                if is_last:
                    raise
                time.sleep(_PAUSE_S)
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Close the connections."""
        if self._storage is not None:
            self._storage.close()


def database_at(url: str) -> "CachedDatabase":
    """Connect to a database."""
    from autoseg.proposers.database import CachedDatabase  # late: SQLAlchemy

    return CachedDatabase(url)
