"""A trained network in one file: weights, description and origin, as safetensors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from autoseg.errors import FileError
from autoseg.foreign_text import printable
from autoseg.json_file import parse_json
from autoseg.runs import reading_fields, schema
from autoseg.runs.weights import read_metadata, read_tensors, write_tensors
from autoseg.trained.description import ModelDescription
from autoseg.trained.own_operations import (
    OWN_OPERATIONS,
    operations_of_architecture,
    own_operations,
    require_own_operations,
    warn_of_changed_operations,
)

SUFFIX = ".safetensors"

_VERSION = 1
_KEY = "autoseg_model"
_REMEDY = "copy it again"
_FIELDS = schema.fields(
    {"format_version": schema.whole(1), "model": schema.mapping, "origin": schema.mapping},
    {OWN_OPERATIONS: schema.list_of(schema.fields({"name": schema.text, "import": schema.text}))},
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFile:
    """What a model file says before its weights are read."""

    path: Path
    description: ModelDescription
    origin: dict[str, Any]
    """What it was trained on and how it scored; shown to people, and decides nothing."""
    sha256: str
    """Checksum of the weights, as stated."""

    @classmethod
    def open(cls, path: Path) -> "ModelFile":
        """Read a file's description.

        Raises:
            UsageError: If it has operations that are not registered.
            FileError: If it is damaged, or no model file of this autoseg.
            OSError: If it is not there or may not be read.
        """
        metadata = read_metadata(path, remedy=_REMEDY)
        if _KEY not in metadata or "sha256" not in metadata:
            raise FileError(
                f"{printable(str(path))} holds weights and does not say of which network; name the "
                "run folder that they are from, or the file that `python -m autoseg.export RUN "
                "--format safetensors` writes."
            )
        with reading_fields(path, "a model file that this autoseg knows"):
            values = cast(dict[str, Any], parse_json(metadata[_KEY].encode()))
            _FIELDS(values, "")
            if values["format_version"] != _VERSION:
                raise ValueError(
                    f"its format version is {values['format_version']}, and this autoseg reads "
                    f"{_VERSION}"
                )
        operations = {OWN_OPERATIONS: values.get(OWN_OPERATIONS, [])}
        require_own_operations(operations, path)
        warn_of_changed_operations(operations, path)
        with reading_fields(path, "a model file that this autoseg knows"):
            description = ModelDescription.from_dict(values["model"], "model")
            if description.colours is None:
                raise ValueError("it has no field 'model.palette'")
        return cls(
            path=path,
            description=description,
            origin=values["origin"],
            sha256=metadata["sha256"],
        )

    def weights(self) -> dict[str, Tensor]:
        """Read the weights, by name.

        Raises:
            FileError: If the file is damaged.
        """
        return read_tensors(self.path, self.sha256, remedy=_REMEDY)


def save_model_file(
    path: Path,
    weights: Mapping[str, Tensor],
    *,
    description: ModelDescription,
    origin: Mapping[str, Any],
) -> None:
    """Write a model file, all of it or nothing.

    Args:
        path: The file, whose name ends in .safetensors.
        weights: All of the network, by name.
        description: The network and its classes.
        origin: Plain values that JSON can hold.

    Raises:
        OSError: If it cannot be written.
    """
    values = {
        "format_version": _VERSION,
        "model": description.to_dict(),
        "origin": dict(origin),
        **own_operations(operations_of_architecture(description.choice.architecture)),
    }
    write_tensors(path, weights, metadata={_KEY: json.dumps(values)})
