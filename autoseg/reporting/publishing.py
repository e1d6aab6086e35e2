"""What a record may say of the machine that it was made on."""

import shlex
from collections.abc import Sequence
from pathlib import Path


def published_command(command: Sequence[str]) -> str:
    """Write a command as one line, absolute paths cut to their last part.

    A result that is shown to others repeats the command, not the folders of one machine.
    """
    return shlex.join(Path(word).name if Path(word).is_absolute() else word for word in command)
