"""What is closed at the end of a `with` block, whatever happens in it."""

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """Base of classes whose `with` block ends with `close()`."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is held; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
