"""The largest eigenvalue of the loss' Hessian over alpha and beta, without the Hessian."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from autoseg.strategies.shifted import shifted

RADIUS = 0.01
"""How far alpha and beta are moved to either side, as a norm; logits, whose unit is 1."""

_TOLERANCE = 1e-3
MAX_PRODUCTS = 20
"""Products with the Hessian after which an eigenvalue is taken as it is known by then."""


def hessian_product(
    parameters: Sequence[nn.Parameter],
    gradient: Callable[[], Sequence[Tensor]],
    direction: Tensor,
    *,
    radius: float,
) -> Tensor:
    """Multiply the Hessian by a vector, by central differences of the gradient.

    Args:
        parameters: Shifted for the time of the call, and set back bit for bit.
        gradient: Returns the gradient by the parameters at their present values.
        direction: All parameters' entries one after the other, (n,); its norm is 1.
        radius: How far to shift.

    Returns:
        float64, on the CPU, (n,).
    """
    parts = direction.split([parameter.numel() for parameter in parameters])
    steps = [part.view(p.shape).to(p) for part, p in zip(parts, parameters, strict=True)]
    sides = []
    for scale in (radius, -radius):
        with shifted(parameters, steps, scale):
            slopes = gradient()
        sides.append(torch.cat([slope.flatten() for slope in slopes]).double().cpu())
    return (sides[0] - sides[1]) / (2 * radius)


def largest_eigenvalue(
    product: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    tolerance: float = _TOLERANCE,
    max_products: int = MAX_PRODUCTS,
) -> float:
    """Return the largest eigenvalue of a symmetric matrix; not the one of largest magnitude.

    Args:
        product: Multiplies the matrix by a vector of norm 1, float64, (n,).
        start: Any vector that is not orthogonal to the eigenvector, float64, (n,).
        tolerance: Ends when the eigenvalue is known to this share of it.
        max_products: Ends after so many products; what is known by then is a lower bound.

    Source: Lanczos 1950; with full reorthogonalisation, as in Golub and Van Loan, "Matrix
    Computations", section 10.3.
    """
    basis = [start / start.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        image = product(basis[-1])
        diagonal.append(float(image @ basis[-1]))
        known = torch.stack(basis)
        for _ in range(2):  # once leaves rounding errors that grow with every vector
            image = image - known.T @ (known @ image)
        norm = float(image.norm())
        tridiagonal = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        if beside:
            off = torch.diag(torch.tensor(beside, dtype=torch.float64), 1)
            tridiagonal = tridiagonal + off + off.T
        values, vectors = torch.linalg.eigh(tridiagonal)
        largest, residual = float(values[-1]), norm * abs(float(vectors[-1, -1]))
        size = max(map(abs, values.tolist()))
        is_known = residual <= tolerance * abs(largest) or norm <= 1e-12 * size
        if is_known or len(basis) >= min(max_products, len(start)):
            return largest
        beside.append(norm)
        basis.append(image / norm)
