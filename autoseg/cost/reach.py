"""Which pixels of an image a value of a network's output can depend on, followed exactly.

One forward pass is written down, operator by operator; then the question "who reads this?" is
followed backwards, from one pixel of the output to the image. Answers are kept by memory and not
by tensor, so that views and changes in place need no rules: they touch the same places.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from autoseg.cost.reach_rules import Operation, Place, Reach, rule_of
from autoseg.cost.recording import eval_copy, example_images


@dataclass(frozen=True, kw_only=True, slots=True)
class Reached:
    """What the central pixel of an output depends on."""

    mask: Tensor
    """The pixels of the image, bool, (H, W)."""
    unknown: tuple[str, ...]
    """Operators on the way without a rule, which are taken to read all of their inputs."""


def reached_pixels(
    network: nn.Module, image_size: tuple[int, int], *, device: str = "meta"
) -> Reached:
    """Find the pixels that the central pixel of the network's output can depend on.

    A pixel counts if a path of operators leads from it to the output that some weights and some
    images make count: weights that are zero, and ReLUs that are closed, do not cut it. Weights that
    no training changes, as those of bilinear resizing, do.

    Args:
        network: Maps images (1, C, H, W) to logits (1, K, h, w), or to a tuple that begins with
            them; a copy runs in eval mode. The pixel is that in row h // 2 and column w // 2, in
            all K channels.
        image_size: Height and width of the image, in pixels.
        device: "meta" to work with shapes alone, or a real device, which keeps all maps in memory.

    Raises:
        ValueError: If the size holds no pixel, or the output is no map (1, K, h, w).
        RuntimeError: If the network cannot run on that device.
    """
    images = example_images(network, image_size, batch_size=1, device=device)
    copied = eval_copy(network, device=device)
    with torch.no_grad(), _Recorder(images) as recorder:
        try:
            output = copied(images)
        except (RuntimeError, NotImplementedError) as error:
            name = type(network).__name__
            raise RuntimeError(
                f"receptive field: {name} does not run on {device!r} with an image of "
                f"{image_size[0]} x {image_size[1]} ({str(error).strip().splitlines()[0]})."
            ) from error
    logits = next((each for each in tree_leaves(output) if isinstance(each, Tensor)), None)
    if logits is None or logits.ndim != 4:
        found = "no tensor" if logits is None else f"shape {tuple(logits.shape)}"
        raise ValueError(
            f"receptive field: {type(network).__name__} gives {found}; expected logits "
            "(1, K, h, w), whose central pixel can be followed."
        )
    return _follow(recorder, recorder.place(images), recorder.place(logits))


def _follow(recorder: "_Recorder", image: Place, logits: Place) -> Reached:
    """Go backwards through what was recorded."""
    reached = _ReachedPlaces()
    start = torch.zeros(logits.shape, dtype=torch.bool)
    start[:, :, logits.shape[2] // 2, logits.shape[3] // 2] = True
    reached.add(logits, start)
    unknown: dict[str, None] = {}
    while recorder.operations:
        operation = recorder.operations.pop()
        masks = [reached.take(place) for place in operation.outputs]
        if not any(mask.any() for mask in masks):
            continue
        rule = rule_of(operation)
        if rule is None:
            unknown[operation.name] = None
            rule = _reads_everything
        for place, mask in rule(operation, masks):
            if place.is_from_image:
                reached.add(place, mask)
    mask = reached.take(image).any(dim=(0, 1))  # (1, C, H, W) -> (H, W)
    return Reached(mask=mask, unknown=tuple(unknown))


def _reads_everything(operation: Operation, masks: list[Tensor]) -> Iterator[Reach]:
    for place in operation.inputs:
        yield place, torch.ones(place.shape, dtype=torch.bool)


class _Recorder(TorchDispatchMode):
    """Writes down the operators that work on what comes from the image."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.from_image: set[int] = set()
        """Numbers of the storages that hold what depends on the image."""
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []  # or the address of a storage would be given to another one
        self._makers: dict[int, Operation] = {}
        self.from_image.add(self.place(images).storage)

    def place(self, tensor: Tensor) -> Place:
        """Say where a tensor lies."""
        storage = tensor.untyped_storage()
        number = self._numbers.get(storage._cdata)
        if number is None:
            number = self._numbers[storage._cdata] = len(self._kept)
            self._kept.append(storage)
        return Place(
            storage=number,
            shape=tuple(tensor.shape),
            stride=tensor.stride(),
            offset=int(tensor.storage_offset()),
            is_from_image=number in self.from_image,
            made_by=self._makers.get(number),
        )

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        placed_args, placed_kwargs = tree_map(self._placed, (args, kwargs or {}))
        result = func(*args, **(kwargs or {}))
        inputs = [each for each in tree_leaves((placed_args, placed_kwargs)) if _is_place(each)]
        if not any(place.storage in self.from_image for place in inputs):
            return result
        outputs = [self.place(each) for each in tree_leaves(result) if isinstance(each, Tensor)]
        self.from_image |= {place.storage for place in outputs}
        is_changing = func._schema.is_mutable  # type: ignore[attr-defined]
        if not is_changing:  # a view of what is there already reads nothing
            before = {place.storage for place in inputs}
            outputs = [place for place in outputs if place.storage not in before]
        if outputs:
            operation = Operation(
                func=func, args=placed_args, kwargs=placed_kwargs, outputs=tuple(outputs)
            )
            self.operations.append(operation)
            self._makers |= dict.fromkeys((place.storage for place in outputs), operation)
        return result

    def _placed(self, value: Any) -> Any:
        return self.place(value) if isinstance(value, Tensor) else value


def _is_place(value: Any) -> bool:
    return isinstance(value, Place)


class _ReachedPlaces:
    """Masks over storages: the values in them that the output depends on, so far."""

    def __init__(self) -> None:
        self._masks: dict[int, Tensor] = {}

    def take(self, place: Place) -> Tensor:
        """Return the mask of a place, and clear it there: what made it answers for it from now."""
        if place.storage not in self._masks or 0 in place.shape:
            return torch.zeros(place.shape, dtype=torch.bool)
        mask = self._up_to(place)
        if place.is_plain and len(mask) == place.end:  # all of it, as a rule: nothing to copy
            return self._masks.pop(place.storage).view(place.shape)
        view = mask.as_strided(place.shape, place.stride, place.offset)
        taken = view.clone()
        view.zero_()
        return taken

    def add(self, place: Place, mask: Tensor) -> None:
        """Add a mask of the place's shape to what lies there."""
        if 0 in place.shape:
            return
        if place.is_plain and place.storage not in self._masks:
            self._masks[place.storage] = mask.clone(memory_format=torch.contiguous_format).view(-1)
            return
        whole = self._up_to(place)
        if place.is_overlapping:
            indices = torch.arange(place.end).as_strided(place.shape, place.stride, place.offset)
            whole[indices[mask]] = True
        else:
            whole.as_strided(place.shape, place.stride, place.offset).logical_or_(mask)

    def _up_to(self, place: Place) -> Tensor:
        """Return the mask of a storage, at least as long as this place in it needs."""
        mask = self._masks.get(place.storage, torch.zeros(0, dtype=torch.bool))
        if len(mask) < place.end:
            mask = torch.cat([mask, torch.zeros(place.end - len(mask), dtype=torch.bool)])
            self._masks[place.storage] = mask
        return mask
