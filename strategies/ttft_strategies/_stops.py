"""What the roads of batched HullFT share: when the solver ends, what that is called, and how good its end is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Why a prompt left the batch, by code; 0 goes on.
STATUS = ("", "converged", "support_limit", "max_iter")


@dataclass(frozen=True)
class Stops:
    """When vanilla Frank-Wolfe ends; see :func:`ttft_strategies._simplex.frank_wolfe`."""

    support_limit: int
    max_iter: int
    tol: float
    gap_tol: float


def certificates(module: Any, rows: Any, targets: Any, weights: Any) -> tuple[Any, Any]:
    """Objective and Frank-Wolfe gap of each prompt, from the residual itself, shape (B,) each.

    Args:
        module: NumPy or torch.
        rows: pools, shape (B, K, d).
        targets: shape (B, d).
        weights: convex, shape (B, K).
    """
    x = (weights[:, None, :] @ rows)[:, 0]
    residual = targets - x
    along = (rows @ residual[:, :, None])[:, :, 0]
    gap = 2.0 * (module.amax(along, axis=1) - (residual * x).sum(axis=1))
    return (residual * residual).sum(axis=1), gap.clip(min=0.0)
