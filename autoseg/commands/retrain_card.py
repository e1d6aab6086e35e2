"""The model card in a retrained network's run folder."""

from autoseg.atomic import atomic_write
from autoseg.distributed import is_first_process
from autoseg.export import model_card, origin_of
from autoseg.runs import Run
from autoseg.trained import ModelDescription

CARD_NAME = "model_card.md"
"""The card, in the run folder."""


def write_card(run: Run) -> None:
    """Write the card of a network whose training has ended; the first of several processes does."""
    if not is_first_process():
        return
    content = "Weights of the best validation and the last ones, the curves of the training in "
    text = model_card(
        ModelDescription.from_dict(run.record["config"]),
        origin=origin_of(run.record, weights="best"),
        files={f"{run.folder.name}/": content + "figures/, and its settings in run.json."},
        licence=None,
    )
    atomic_write(run.folder / CARD_NAME, text.encode())
