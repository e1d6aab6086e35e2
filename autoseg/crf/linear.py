"""Linear filters over the pixels of an image: the message passing of the dense CRF."""

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class LinearFilter(ABC):
    """A constant matrix A over P pixels that is never stored, only multiplied with.

    A subclass defines `product` and `adjoint_product`; calling the filter is differentiable in
    the values, since the gradient of A v is the adjoint applied to the incoming gradient. The
    matrix itself (that is, the image it was built from) gets no gradient.
    """

    @abstractmethod
    def product(self, values: Tensor) -> Tensor:
        """Return A v for values (P, C), without recording a gradient."""

    @abstractmethod
    def adjoint_product(self, values: Tensor) -> Tensor:
        """Return A^T v for values (P, C), without recording a gradient."""

    def __call__(self, values: Tensor) -> Tensor:
        """Filter every channel.

        Args:
            values: (P, C), the dtype and device that the filter was built for; P pixels in
                row-major order.

        Returns:
            A v, (P, C), differentiable in the values to any order.
        """
        return _LinearFunction.apply(values, self, False)

    def adjoint(self, values: Tensor) -> Tensor:
        """Filter every channel with the adjoint: A^T v, differentiable like A v."""
        return _LinearFunction.apply(values, self, True)


class _LinearFunction(torch.autograd.Function):
    """The product with a `LinearFilter` or, if `is_adjoint`, with its adjoint."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, filter_: LinearFilter, is_adjoint: bool) -> Tensor:
        ctx.filter, ctx.is_adjoint = filter_, is_adjoint
        return filter_.adjoint_product(values) if is_adjoint else filter_.product(values)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        return _LinearFunction.apply(grad_outputs[0], ctx.filter, not ctx.is_adjoint), None, None


NORMALISATIONS = ("symmetric", "before", "after", "none")
"""What a kernel can be divided by, see `Normalised`."""


class Normalised(LinearFilter):
    """A kernel K divided by its row sums, the diagonal D = K 1.

        symmetric:  D^-1/2 K D^-1/2
        before:     K D^-1
        after:      D^-1 K
        none:       K

    D is taken from the very filter that is normalised. A constant factor in its kernel therefore
    cancels, and so does most of what an approximate filter gets wrong; not so for "none".

    Source: Krahenbuhl and Koltun 2013, "Parameter Learning and Convergent Inference for Dense
    Random Fields", section 3: "symmetric" is the one under which the updates are well behaved.
    """

    def __init__(self, kernel: LinearFilter, ones: Tensor, normalisation: str) -> None:
        """Measure D.

        Args:
            kernel: K, with a positive sum in every row.
            ones: (P, 1) of ones; its dtype and device are those of the values to come.
            normalisation: One of `NORMALISATIONS`, pydensecrf's names.
        """
        self._kernel = kernel
        self._before = self._after = ones
        if normalisation == "symmetric":
            self._before = self._after = kernel.product(ones).rsqrt()
        elif normalisation == "before":
            self._before = kernel.product(ones).reciprocal()
        elif normalisation == "after":
            self._after = kernel.product(ones).reciprocal()

    def product(self, values: Tensor) -> Tensor:
        return self._after * self._kernel.product(self._before * values)

    def adjoint_product(self, values: Tensor) -> Tensor:
        return self._before * self._kernel.adjoint_product(self._after * values)


class SparseMatrix:
    """A constant sparse matrix (R, S), stored row by row, to multiply dense (S, C) matrices with.

    The product is torch's embedding bag: a row of the result is a weighted sum of rows of the
    dense matrix. It needs no (entries, C) buffer and no atomic additions, so it is some twenty
    times faster than gather and `index_add` on a CPU and deterministic on every device.
    """

    def __init__(self, columns: Tensor, row_starts: Tensor, weights: Tensor) -> None:
        """Store the entries.

        Args:
            columns: Column of each entry, int32, (E,), entries ordered by row.
            row_starts: Number of entries before each row, int32, (R,).
            weights: Value of each entry, floating point, (E,).
        """
        self._columns, self._row_starts, self._weights = columns, row_starts, weights

    @classmethod
    def from_rows(cls, columns: Tensor, weights: Tensor) -> "SparseMatrix":
        """Build from the same number of entries in every row: columns and weights (R, E)."""
        num_rows, per_row = columns.shape
        row_starts = torch.arange(num_rows, dtype=torch.int32, device=columns.device) * per_row
        return cls(columns.to(torch.int32).flatten(), row_starts, weights.flatten())

    def __matmul__(self, dense: Tensor) -> Tensor:
        """Multiply: (R, S) @ (S, C) -> (R, C)."""
        return F.embedding_bag(
            self._columns,
            dense,
            self._row_starts,
            mode="sum",
            per_sample_weights=self._weights,
        )
