"""The names of a file's tensors, read in every way in which they may be meant.

Training scripts wrap networks, and each wrapper puts a part into all names: "module." in data
parallel training, "_orig_mod." in compiled networks, "model." in Lightning. Libraries name the same
layers differently. `readings` lists what a file's names may mean; which of them is right is decided
by what fits the network (`autoseg.networks.weights.fitting`).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from torch import Tensor

WRAPPER_PARTS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts that torch's own wrappers put into names, wherever; no layer of a network is called so."""
NETWORK_PREFIXES = ("model.", "net.", "network.")
"""What training scripts call the network that they train."""
ENCODER_PREFIXES = ("encoder.", "backbone.")
"""What segmentation networks call the classifier that they are built on."""
COUNTERS = ("total_ops", "total_params")
"""What thop leaves in each layer of a network that it has counted."""
NUM_AVERAGED = "n_averaged"
"""What torch's AveragedModel keeps beside its network: how many it has averaged."""
MAX_STRIPPED = 4

TORCHVISION_PREFIXES = (
    ("backbone.", "encoder."),
    ("aux_classifier.", "auxiliary."),
    ("classifier.0.convs.0.", "head.0.pointwise."),
    ("classifier.0.convs.1.", "head.0.atrous.0."),
    ("classifier.0.convs.2.", "head.0.atrous.1."),
    ("classifier.0.convs.3.", "head.0.atrous.2."),
    ("classifier.0.convs.4.1.", "head.0.pooling.project.0."),
    ("classifier.0.convs.4.2.", "head.0.pooling.project.1."),
    ("classifier.", "head."),
)
"""Beginnings of torchvision's names for DeepLab v3 and FCN over a ResNet, and those used here."""
_TIMM_VGG = (
    ("pre_logits.fc1.", "classifier.0."),
    ("pre_logits.fc2.", "classifier.3."),
    ("head.fc.", "classifier.6."),
)
_TIMM_MOBILENET_ENDS = (
    ("conv_stem.", "features.0.0."),
    ("bn1.", "features.0.1."),
    ("conv_head.", "features.18.0."),
    ("bn2.", "features.18.1."),
    ("classifier.", "classifier.1."),
)
_MOBILENET_BLOCKS = (1, 2, 3, 4, 3, 3, 1)
"""Blocks in each of MobileNetV2's stages, which timm counts apart and torchvision in one row."""
_FIRST_BLOCK = {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"}
_OTHER_BLOCKS = {
    "conv_pw": "0.0",
    "bn1": "0.1",
    "conv_dw": "1.0",
    "bn2": "1.1",
    "conv_pwl": "2",
    "bn3": "3",
}


class Reading(NamedTuple):
    """One way to read the names of a file."""

    names: dict[str, str]
    """Name in the file by what it is read as."""
    beside: dict[str, str]
    """Name in the file of what lies beside a prefix that was taken off, and is no part of the
    network, by what it is read as."""
    stripped: tuple[str, ...]
    """What was taken off, in order: "module.", "encoder."."""
    library: str = ""
    """Whose names were translated, if any were."""


def is_counter(name: str) -> bool:
    """Tell whether a tensor is a count that thop has left in the network."""
    return name.rsplit(".", 1)[-1] in COUNTERS


def is_num_averaged(name: str) -> bool:
    """Tell whether a tensor is the count of networks that torch's AveragedModel has averaged."""
    return name.rsplit(".", 1)[-1] == NUM_AVERAGED


def readings(names: Iterable[str]) -> Iterator[Reading]:
    """List the ways to read a file's names, those that change least first.

    Args:
        names: The file's names. The counts of thop and of AveragedModel are no weights and appear
            in no reading.
    """
    kept = [name for name in names if not is_counter(name) and not is_num_averaged(name)]
    queue = [_without_wrappers({_current_name(name): name for name in kept})]
    for reading in queue:  # grows as prefixes are found
        yield reading
        for library, is_meant, translate in _LIBRARIES:
            if is_meant(reading.names):
                renamed = {translate(name): own for name, own in reading.names.items()}
                yield reading._replace(names=renamed, library=library)
        if len(reading.stripped) < MAX_STRIPPED:
            for prefix in (*NETWORK_PREFIXES, *ENCODER_PREFIXES):
                queue += _without_prefix(reading, prefix)


def _without_wrappers(names: dict[str, str]) -> Reading:
    """Take torch's wrappers out of all names."""
    stripped: dict[str, None] = {}
    plain: dict[str, str] = {}
    for name, own in names.items():
        parts = name.split(".")
        stripped |= {f"{part}.": None for part in parts if part in WRAPPER_PARTS}
        plain[".".join(part for part in parts if part not in WRAPPER_PARTS)] = own
    if not stripped or len(plain) < len(names):  # two names became one: they are meant as they are
        return Reading(names, {}, ())
    return Reading(plain, {}, tuple(stripped))


def _without_prefix(reading: Reading, prefix: str) -> list[Reading]:
    inside, beside = {}, {}
    for name, own in reading.names.items():
        (inside if name.startswith(prefix) else beside)[name.removeprefix(prefix)] = own
    if not inside:
        return []
    return [Reading(inside, {**reading.beside, **beside}, (*reading.stripped, prefix))]


def _current_name(name: str) -> str:
    """Write "denselayer1.norm.1", of torchvision's oldest DenseNets, as "denselayer1.norm1"."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)


def from_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of torchvision's DeepLab v3 or FCN over a ResNet to the names here."""
    return {_renamed(name, TORCHVISION_PREFIXES): value for name, value in tensors.items()}


def to_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of DeepLab v3 or FCN over a ResNet to torchvision's names."""
    prefixes = [(ours, theirs) for theirs, ours in TORCHVISION_PREFIXES]
    return {_renamed(name, prefixes): value for name, value in tensors.items()}


def _renamed(name: str, prefixes: Sequence[tuple[str, str]]) -> str:
    for before, after in prefixes:
        if name.startswith(before):
            return after + name.removeprefix(before)
    return name


def _from_timm_mobilenet(name: str) -> str:
    """Translate one of timm's names of MobileNetV2; the layers and their order are the same."""
    parsed = re.fullmatch(r"blocks\.([0-9]{1,2})\.([0-9]{1,2})\.(\w+)\.(\w+)", name)
    if parsed is None:
        return _renamed(name, _TIMM_MOBILENET_ENDS)
    stage, block, part, kind = parsed.groups()
    parts = _FIRST_BLOCK if int(stage) == 0 else _OTHER_BLOCKS
    if int(stage) >= len(_MOBILENET_BLOCKS) or part not in parts:
        return name
    number = 1 + [0, *accumulate(_MOBILENET_BLOCKS)][int(stage)] + int(block)
    return f"features.{number}.conv.{parts[part]}.{kind}"


_LIBRARIES: tuple[tuple[str, Callable[[Mapping[str, str]], bool], Callable[[str], str]], ...] = (
    (
        "torchvision",
        lambda names: any(name.startswith("backbone.") for name in names),
        lambda name: _renamed(name, TORCHVISION_PREFIXES),
    ),
    ("timm", lambda names: "conv_stem.weight" in names, _from_timm_mobilenet),
    (
        "timm",
        lambda names: "pre_logits.fc1.weight" in names,
        lambda name: _renamed(name, _TIMM_VGG),
    ),
)
"""Library, whether its names are those of the file, and how one of them is translated.

timm's other encoders of networks here (ResNet, SE-ResNet, DenseNet, Xception-65), and those of
segmentation_models_pytorch below "encoder.", have the names that are used here.
"""
