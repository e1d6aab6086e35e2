"""What a person should know of the images before a network is trained on them."""

from autoseg.cli.console import announce
from autoseg.data import SegmentationDataset


def announce_notes(command: str, dataset: SegmentationDataset) -> None:
    """Say what was found and guessed of a dataset that lies in a folder."""
    for note in dataset.notes:
        announce(f"{command}: {note}")
