"""The interface between a strategy and everything else: :class:`Problem` in, :class:`Selection` out.

A strategy is a class with one method. This is a complete one::

    from ttft_bench.selector import Problem, Selection, Selector
    import numpy as np

    class Nearest(Selector):
        \"\"\"The N pool items nearest to the prompt.\"\"\"
        nested, repeats = True, False
        def select(self, problem, rng):
            similarity = problem.pool @ problem.target
            return Selection(np.argsort(-similarity, kind="stable")[: problem.budget])

The framework validates the problem before (:func:`make_problem`), the selection after
(:func:`validate_selection`), and measures every strategy alike (:func:`measure`).
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ttft_bench.errors import ContractError, EmbeddingError, UsageError
from ttft_bench.specs import format_spec, format_value

#: How far the certificate ``0 <= f(w) - f* <= gap`` may be off through rounding.
CERTIFICATE_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Problem:
    """What a strategy may know about one prompt. Arrays are read-only; build with :func:`make_problem`.

    Attributes:
        query: float32, shape (m, d): unit embedding rows of the prompt (m > 1 for multi-vector prompts).
        pool: float32, shape (K, d): unit embedding rows of the candidates, nearest first. Permuting the
            rows may only permute the answer (up to ties).
        budget: number of training steps N that may be spent, at least 1.
        ids: int64, shape (K,): document ids.
        n_tokens: int64, shape (K,): what one step on each item costs, in tokens.
    """

    query: NDArray[np.float32]
    pool: NDArray[np.float32]
    budget: int
    ids: NDArray[np.int64]
    n_tokens: NDArray[np.int64]

    @cached_property
    def target(self) -> NDArray[np.float64]:
        """Mean of the query rows, shape (d,): what a reconstruction method reconstructs."""
        mean: NDArray[np.float64] = np.asarray(self.query, dtype=np.float64).mean(axis=0)
        mean.flags.writeable = False
        return mean

    @property
    def size(self) -> int:
        """Number of candidates K."""
        return len(self.pool)


@dataclass(frozen=True)
class Selection:
    """What a strategy answers.

    Attributes:
        positions: int64, shape (N,): rows of the pool in training order; repeats are training repeats.
        weights: float64, shape (K,): convex weights before rounding, if the method has any.
        objective: f at ``weights``; None for methods without one.
        gap: the Frank-Wolfe gap ``max_s <grad f(w), w - s>``, so that ``0 <= f(w) - f* <= gap``.
        status: "ok", or why the solver stopped: "converged", "support_limit", "max_iter", ...
        diagnostics: further figures by name.
    """

    positions: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None
    objective: float | None = None
    gap: float | None = None
    status: str = "ok"
    diagnostics: Mapping[str, float] = field(default_factory=dict)


class Selector(ABC):
    """A strategy. Constructor parameters are keywords with defaults, each kept under its own name.

    ``select`` must not change ``self`` or the problem, and may draw randomness from ``rng`` only.
    ``repr(selector)`` is its spec, ``name[non-default parameters, sorted]``, which is also its label in
    reports, its flag on the command line and the key of its cached picks.
    """

    #: The picks for n are the first n picks for any N > n.
    nested: ClassVar[bool] = False
    #: May return fewer than ``budget`` picks.
    adaptive: ClassVar[bool] = False
    #: May pick an item more than once. If not, the framework caps the budget at K and the row says so.
    repeats: ClassVar[bool] = True
    #: Draws from ``rng``.
    stochastic: ClassVar[bool] = False
    #: Distributions beyond those of ttft-bench, shown in listings with the command that installs them.
    requires: ClassVar[tuple[str, ...]] = ()

    #: Entry-point name; the registry sets it, before that it is the class name in lower case.
    name: str = ""

    @abstractmethod
    def select(self, problem: Problem, rng: np.random.Generator) -> Selection:
        """Pick ``problem.budget`` rows of ``problem.pool``, in training order."""

    def select_many(self, problems: Sequence[Problem], rngs: Sequence[np.random.Generator]) -> list[Selection]:
        """Answer many prompts, one generator for each; optional, for a selector that can share work.

        An override must answer as this loop does: the same picked vectors for every problem, in order,
        whatever else is in the batch. It may take further keyword arguments, e.g. a device.
        """
        return [self.select(problem, rng) for problem, rng in zip(problems, rngs, strict=True)]

    @classmethod
    def parameters(cls) -> dict[str, inspect.Parameter]:
        """The constructor's keyword parameters by name, in order of declaration."""
        if cls.__init__ is object.__init__:
            return {}
        signature = inspect.signature(cls.__init__)
        return dict(list(signature.parameters.items())[1:])

    def __repr__(self) -> str:
        changed = {
            name: getattr(self, name)
            for name, parameter in self.parameters().items()
            if getattr(self, name) != parameter.default
        }
        name = self.name or type(self).__name__.lower()
        return format_spec(name, changed)


def make_problem(
    query: ArrayLike,
    pool: ArrayLike,
    budget: int,
    ids: ArrayLike | None = None,
    n_tokens: ArrayLike | None = None,
) -> Problem:
    """Check and freeze the parts of a :class:`Problem`.

    Args:
        query: shape (m, d) or (d,). Rows are L2-normalised here.
        pool: shape (K, d), K >= 1. Rows are L2-normalised here.
        budget: at least 1.
        ids: shape (K,); 0..K-1 if not given.
        n_tokens: shape (K,); ones if not given.

    Raises:
        UsageError: the budget is not a positive integer.
        EmbeddingError: shapes do not fit, or a row is not finite or has no direction.
    """
    if isinstance(budget, bool) or not isinstance(budget, int | np.integer) or budget < 1:
        raise UsageError(f"budget must be a whole number of at least 1, got {budget!r}")
    query_rows = _unit_rows(np.atleast_2d(_as_array(query, "query")), "query")
    pool_rows = _unit_rows(_as_array(pool, "pool"), "pool")
    if query_rows.shape[1] != pool_rows.shape[1]:
        raise EmbeddingError(
            f"query has {query_rows.shape[1]} dimensions but the pool has {pool_rows.shape[1]}: "
            "embed both with the same model"
        )
    size = len(pool_rows)
    costs = _per_item(np.ones(size) if n_tokens is None else n_tokens, size, "n_tokens")
    if costs.min() < 0:
        raise EmbeddingError(f"n_tokens must not be negative, got {costs.min()}")
    return Problem(
        query=query_rows,
        pool=pool_rows,
        budget=int(budget),
        ids=_per_item(np.arange(size) if ids is None else ids, size, "ids"),
        n_tokens=costs,
    )


def _as_array(values: ArrayLike, what: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:  # lists of unequal length
        raise EmbeddingError(f"{what} is no array of numbers: {error}") from error


def _unit_rows(rows: NDArray[Any], what: str) -> NDArray[np.float32]:
    if not (np.issubdtype(rows.dtype, np.floating) or np.issubdtype(rows.dtype, np.integer)):
        raise EmbeddingError(f"{what} must hold real numbers, got an array of type {rows.dtype}")
    if rows.ndim != 2 or 0 in rows.shape:
        raise EmbeddingError(f"{what} must be a non-empty matrix, one embedding a row; got shape {rows.shape}")
    wide = rows.astype(np.float64)
    if not np.isfinite(wide).all():
        bad = int(np.flatnonzero(~np.isfinite(wide).all(axis=1))[0])
        raise EmbeddingError(f"{what} row {bad} holds NaN or infinity: embed that text again")
    # Brought near 1 first: squares of very large or small entries leave the range of floats.
    largest = np.abs(wide).max(axis=1, keepdims=True)
    wide = np.divide(wide, largest, out=wide, where=largest > 1e-12)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    if (norms < 1e-12).any():
        bad = int(np.flatnonzero(norms[:, 0] < 1e-12)[0])
        raise EmbeddingError(f"{what} row {bad} has norm zero, so no direction: is its text empty?")
    unit: NDArray[np.float32] = (wide / norms).astype(np.float32)
    unit.flags.writeable = False
    return unit


def _per_item(values: ArrayLike, size: int, what: str) -> NDArray[np.int64]:
    given = _as_array(values, what)
    with np.errstate(invalid="ignore"):
        array = given.astype(np.int64) if given.dtype.kind in "iuf" else np.empty(0, dtype=np.int64)
    if given.dtype.kind not in "iuf" or not np.array_equal(array, given):
        raise EmbeddingError(f"{what} must be whole numbers, got an array of type {given.dtype}")
    if array.shape != (size,):
        raise EmbeddingError(f"{what} must have one entry for each of the {size} pool rows, got shape {array.shape}")
    array.flags.writeable = False
    return array


def validate_selection(selection: Selection, problem: Problem, selector: Selector | type[Selector]) -> Selection:
    """Check an answer against the contract and return it with normalised dtypes.

    Raises:
        ContractError: naming what is wrong with the answer.
    """

    def broken(reason: str) -> ContractError:
        return ContractError(f"{selector!r} broke the selector contract: {reason}")

    if not isinstance(selection, Selection):
        raise broken(f"select() returned {type(selection).__name__}, not a Selection")
    try:
        raw = np.asarray(selection.positions)
    except Exception as error:
        raise broken(f"positions is not an array ({error})") from error
    if raw.ndim != 1 or (raw.size and not np.issubdtype(raw.dtype, np.integer)):
        raise broken(f"positions must be a 1-d integer array, got dtype {raw.dtype} and shape {raw.shape}")
    positions = raw.astype(np.int64)
    _check_count(positions, problem, selector, broken)
    if ((positions < 0) | (positions >= problem.size)).any():
        bad = int(positions[(positions < 0) | (positions >= problem.size)][0])
        raise broken(f"position {bad} is outside the pool of {problem.size}")
    if not selector.repeats and len(np.unique(positions)) < len(positions):
        raise broken("an item was picked twice although `repeats` is False")
    weights = None if selection.weights is None else _check_weights(selection.weights, problem.size, broken)
    objective = _check_figure(selection.objective, "objective", broken)
    gap = _check_figure(selection.gap, "gap", broken)
    if gap is not None and gap < -CERTIFICATE_TOLERANCE:
        raise broken(f"gap is negative ({gap:.3g})")
    try:
        diagnostics = dict(selection.diagnostics)
    except Exception as error:
        raise broken(f"diagnostics is not a mapping ({error})") from error
    return Selection(positions, weights, objective, gap, str(selection.status), diagnostics)


def _check_count(positions: NDArray[np.int64], problem: Problem, selector: Any, broken: Any) -> None:
    wanted = problem.budget if selector.repeats else min(problem.budget, problem.size)
    got = len(positions)
    if got > wanted or got == 0 or (got < wanted and not selector.adaptive):
        allowed = f"1 to {wanted}" if selector.adaptive else str(wanted)
        raise broken(f"it returned {got} picks where {allowed} were due")


def _check_weights(values: Any, size: int, broken: Any) -> NDArray[np.float64]:
    try:
        weights = np.array(values, dtype=np.float64)
    except Exception as error:
        raise broken(f"weights is not an array of numbers ({error})") from error
    if weights.shape != (size,):
        raise broken(f"weights must have shape ({size},), got {weights.shape}")
    if not np.isfinite(weights).all():
        raise broken("weights hold NaN or infinity")
    if weights.min() < -1e-9 or abs(weights.sum() - 1.0) > 1e-6:
        raise broken(f"weights are not convex: minimum {weights.min():.3g}, sum {weights.sum():.9g}")
    return weights


def _check_figure(value: float | None, what: str, broken: Any) -> float | None:
    if value is None:
        return None
    try:
        figure = float(value)
    except Exception as error:
        raise broken(f"{what} is not a number ({error})") from error
    if not np.isfinite(figure):
        raise broken(f"{what} is {figure}")
    return figure


def measure(positions: Sequence[int] | NDArray[np.int64], problem: Problem) -> dict[str, float]:
    """Figures that compare strategies, computed alike for all of them, in float64.

    Returns:
        ``residual`` (squared distance between the mean query row and the mean of the picks),
        ``similarity_mean`` and ``similarity_max`` (cosine of picks and mean query row) and ``n_distinct``.
    """
    index = np.asarray(positions, dtype=np.int64)
    picks = problem.pool[index].astype(np.float64)
    target = problem.target
    norm = float(np.linalg.norm(target))
    similarity = picks @ (target / norm if norm > 0 else target)
    difference = target - picks.mean(axis=0)
    return {
        "residual": float(difference @ difference),
        "similarity_mean": float(similarity.mean()),
        "similarity_max": float(similarity.max()),
        "n_distinct": float(len(np.unique(index))),
    }


__all__ = [
    "CERTIFICATE_TOLERANCE",
    "Problem",
    "Selection",
    "Selector",
    "format_spec",
    "format_value",
    "make_problem",
    "measure",
    "validate_selection",
]
