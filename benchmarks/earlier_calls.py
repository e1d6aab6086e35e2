"""What a benchmark's record says of the calls that made it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autoseg.reporting.publishing import published_command
from autoseg.runs import describe_environment


def calls_so_far(record: Path, command: Sequence[str]) -> list[dict[str, Any]]:
    """List the calls in a record and the present one, each with its machine and versions.

    A call that is made again counts once, as the last.

    Args:
        record: JSON with the earlier calls under "calls"; none where there is no file.
        command: The command line of this call.
    """
    line = published_command(command)
    earlier = json.loads(record.read_text(encoding="utf-8"))["calls"] if record.exists() else []
    now = datetime.now(UTC).isoformat(timespec="seconds")
    present = {"command": line, "date": now, **describe_environment()}
    return [*(call for call in earlier if call["command"] != line), present]
