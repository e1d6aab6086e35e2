"""How large a space or an architecture may be: checked before anything is built of it.

Files come from anywhere, and a number in one decides how much memory and time is taken. Each limit
lies far beyond what is published and far below what would stop a machine.
"""

from collections.abc import Sequence

from autoseg.architecture.trellis import STRIDES_RULE, are_trellis_strides
from autoseg.foreign_text import is_name_in_folder

MAX_FILE_BYTES = 2**16
"""A description of the largest network that is allowed has 20 KB."""
MAX_LAYERS = 128
"""Ten times Auto-DeepLab's 12."""
MAX_NODES = 32
"""Six times Auto-DeepLab's 5; a cell has 560 edges then."""
MAX_LEVELS = 8
"""Strides up to 512, at which an image of Cityscapes is a map of 2 x 4."""
MAX_CHANNELS = 16_384
"""Channels of a cell's output: a 1x1 convolution between two such maps has 1 GiB of weights."""
MAX_STEM_CHANNELS = 2048
MAX_RATE_TIMES_STRIDE = 4096
"""Product of the head's rate and stride: at stride 4 its kernel reaches over 4096 pixels."""
MAX_CANDIDATES = 200_000
"""Operations in a supernet, each a module: 26 times the 12 * 4 * 20 * 8 of Auto-DeepLab's."""
MAX_NAME = 100
MAX_TEXT = 1000

NAME_RULE = f"it must be one printable name of at most {MAX_NAME} characters without / \\ and :"
TEXT_RULE = f"it must be printable text of at most {MAX_TEXT} characters"
NUM_LEVELS_RULE = f"there may be at most {MAX_LEVELS}"


def is_name(text: str) -> bool:
    """Tell whether a text can name a space: in folders, on a terminal and in tables."""
    return len(text) <= MAX_NAME and is_name_in_folder(text)


def strides_problem(strides: Sequence[int]) -> str | None:
    """Say which rule the strides of a trellis break, or None."""
    if len(strides) > MAX_LEVELS:  # first: the numbers double with each
        return NUM_LEVELS_RULE
    return None if are_trellis_strides(strides) else STRIDES_RULE
