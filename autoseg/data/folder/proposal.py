"""Propose a dataset.toml for a folder: what was found in it, to be corrected by a person."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.data.channels import size_and_channels
from autoseg.data.folder.collection import colours_of_entries, summarise_masks
from autoseg.data.folder.guess import guess_classes
from autoseg.data.folder.layout import UNDIVIDED, find_layout

_HEAD = """\
# What the images and masks in this folder are. `python -m autoseg.data init` wrote what it found;
# correct the names, and whatever it guessed wrongly. Every entry may be left out.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A description that was not written yet."""

    text: str
    """The file, TOML."""
    notes: tuple[str, ...]
    """What was found and guessed, in sentences."""


def propose_description(root: Path) -> Proposal:
    """Look at every mask and at every image's header, and write down what they are.

    Raises:
        UsageError: If the folder has no known layout, or its masks show no two classes.
        FileError: If files cannot be read; names them.
        OSError: If one is not there or may not be read.
    """
    layout = find_layout(root)
    pairs = [pair for split in layout.pairs.values() for pair in split]
    num_channels = max(size_and_channels(pair.image)[1] for pair in pairs)
    guessed = guess_classes(summarise_masks([pair.mask for pair in pairs]), is_proposal=True)
    lines = [
        _HEAD,
        "# Channels that networks see: 1 is grey, 3 is RGB.",
        f"channels = {num_channels}",
        "",
    ]
    if UNDIVIDED in layout.pairs or "val" not in layout.pairs:
        lines += [
            "# No val split was found: this share of the images becomes it, by this seed. What",
            "# belongs together, as one patient's images, stays on one side where group_by, a",
            "# regular expression, finds its name in theirs.",
            "val_share = 0.2",
            "split_seed = 0",
            '# group_by = "^(patient[0-9]+)_"',
            "",
        ]
    if guessed.ignore_values:
        values = ", ".join(map(str, guessed.ignore_values))
        lines += ["# Pixels of this value have no class.", f"ignore_value = {values}", ""]
    palette = colours_of_entries(guessed.entries).tolist()
    for entry, colour in zip(guessed.entries, palette, strict=True):
        lines += ["[[classes]]", f"name = {_toml_text(entry.name)}"]
        if entry.values:
            lines.append(f"value = {_one_or_list(entry.values)}")
        lines += [f"colour = {colour}", ""]
    num_images = f"{len(pairs)} images with {num_channels} channel(s)"
    notes = (f"{layout.description}: {num_images}", *layout.notes, *guessed.notes)
    return Proposal(text="\n".join(lines), notes=notes)


def _one_or_list(values: Sequence[int]) -> str:
    return str(values[0]) if len(values) == 1 else str(list(values))


def _toml_text(text: str) -> str:
    # JSON's strings are TOML's, but for the one control character that JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
