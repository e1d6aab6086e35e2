"""What a benchmark's record says of the calls that made it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autoseg.reporting.publishing import published_command
from autoseg.runs import describe_environment


def calls_so_far(record: Path | None, command: Sequence[str]) -> list[dict[str, Any]]:
    """List the calls in a record and the present one, each with its machine and versions.

    A call that is made again counts once, as the last.

    Args:
        record: JSON with the earlier calls under "calls"; there are none without such a file, or
            if it is None.
        command: The command line of this call.
    """
    line = published_command(command)
    earlier = []
    if record is not None and record.exists():
        earlier = json.loads(record.read_text(encoding="utf-8"))["calls"]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    present = {"command": line, "date": now, **describe_environment()}
    return [*(call for call in earlier if call["command"] != line), present]
