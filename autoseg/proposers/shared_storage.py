"""A database in which several processes, on one machine or many, keep the trials of one study."""

from urllib.parse import urlsplit

from optuna.storages import RDBStorage

from autoseg.errors import UsageError
from autoseg.foreign_text import printable


class SharedStorage:
    """A study in a database, and which of the processes this one is."""

    def __init__(self, url: str, *, study_name: str, worker: int) -> None:
        """Take the address; nothing is opened yet.

        Args:
            url: The address, such as sqlite:///trials.db or postgresql://user@host/database.
            study_name: Searches of one name share their trials.
            worker: The number of this process among those that share them.

        Raises:
            UsageError: If it is no address, or holds a password, which run.json would keep.
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
        self.shown = printable(url)
        self.study_name = study_name
        self.worker = worker
        self._url = url
        self._storage: RDBStorage | None = None

    def open(self) -> RDBStorage:
        """Connect; the tables are made if need be."""
        self._storage = RDBStorage(self._url)
        return self._storage

    def close(self) -> None:
        """Close the connections."""
        if self._storage is not None:
            self._storage.remove_session()
            self._storage.engine.dispose()
