"""Which strategies can be verified, and a reference that solves the same program as each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ttft_bench.checks.problems import sample
from ttft_bench.checks.program import Program, program_of
from ttft_bench.errors import PluginError, UsageError
from ttft_bench.registry import Spec, build_selector, load_selector, parse_specs
from ttft_bench.registry.installed import missing_distributions, requirements_of
from ttft_bench.seeds import derive_rng
from ttft_bench.selector import Problem, Selection, Selector, validate_selection


@dataclass(frozen=True)
class IntegerReference:
    """A strategy that solves the integer program over counts, and how small a problem it is asked.

    Attributes:
        spec: the strategy.
        rows: the first so many rows of each pool.
        budget: the largest budget.
    """

    spec: str
    rows: int = 12
    budget: int = 10


@dataclass(frozen=True)
class Contestant:
    """A strategy, its program, and the references that solve the same."""

    selector: Selector
    program: Program
    reference: Selector
    integer: Selector | None


def paired_references(
    specs: Sequence[str], reference: str, integer: IntegerReference | None = None
) -> list[Contestant]:
    """Build the strategies and their references, and try each of them once.

    Raises:
        UsageError: one claims no certified objective, or the reference cannot solve a strategy's program.
    """
    contestants = []
    for selector in certified_selectors(specs):
        exact = paired_reference(selector, reference)
        try_claim(exact)
        best = paired_reference(selector, integer.spec) if integer else None
        if best is not None:
            timed_select(best, sample(2, size=3), "warm-up")
        contestants.append(Contestant(selector, program_of(selector), exact, best))
    return contestants


def certified_selectors(specs: Sequence[str]) -> list[Selector]:
    """Build strategies and try each on a tiny problem: a warm-up, and proof that there is a claim to verify.

    Raises:
        UsageError: a strategy returns no objective with a certified gap.
    """
    selectors = [build_selector(spec) for spec in specs]
    for selector in selectors:
        try_claim(selector)
    return selectors


def try_claim(selector: Selector) -> None:
    """Run a strategy on a tiny problem.

    Raises:
        UsageError: it claims no objective with a certified gap.
    """
    require_claim(timed_select(selector, sample(2), "warm-up")[0], selector)


def require_claim(answer: Selection, selector: Selector) -> tuple[float, float]:
    """The objective and the gap that an answer claims.

    Raises:
        UsageError: it claims none.
    """
    if answer.objective is None or answer.gap is None or answer.weights is None:
        raise UsageError(
            f"{selector!r} claims no objective with a certified gap, so there is nothing to verify; "
            "verify a strategy that solves a convex program, such as hullft"
        )
    return answer.objective, answer.gap


def paired_reference(selector: Selector, reference: str) -> Selector:
    """The reference with the ``cap`` and ``ridge`` of a strategy, so that both solve the same program.

    Raises:
        UsageError: the reference cannot solve that program, or was told to solve another one.
    """
    (asked,) = parse_specs(reference)
    wanted = program_of(selector)
    known = load_selector(asked.name).parameters()
    own = build_selector(reference)
    pairs = {name: value for name, value in _differing(wanted, program_of(own)).items() if name in known and value}
    for name in pairs:
        if name in asked.params:
            raise UsageError(
                f"{selector!r} cannot be verified against {reference}, which solves another program: leave "
                f"{name} out of the reference, it is taken from the strategy"
            )
    paired = build_selector(str(Spec(asked.name, {**asked.params, **pairs}))) if pairs else own
    left = _differing(wanted, program_of(paired))
    if left:
        name, value = next(iter(left.items()))
        reason = (
            f"which has no parameter {name!r}" if name not in known else f"which was given another {name} than {value}"
        )
        raise UsageError(
            f"{selector!r} cannot be verified against {reference}, {reason} and so solves another program: "
            f"verify without {name}, or give a reference that has the same {name}"
        )
    return paired


def _differing(wanted: Program, given: Program) -> dict[str, float]:
    """The parameters of ``wanted`` that ``given`` does not have, by name."""
    pairs = {"cap": (wanted.cap, given.cap), "ridge": (wanted.ridge, given.ridge)}
    return {name: value for name, (value, other) in pairs.items() if value != other}


def default_integer_reference(specs: Sequence[str], name: str = "exact-integer") -> tuple[str | None, str]:
    """The integer reference to use unless one is named, or None and why there is none."""
    try:
        missing = missing_distributions(requirements_of(load_selector(name)))
        if missing:
            return None, f"{name} needs: pip install {' '.join(missing)}"
        for spec in specs:
            paired_reference(build_selector(spec), name)
    except (PluginError, UsageError) as error:
        return None, str(error)
    return name, ""


def timed_select(selector: Selector, problem: Problem, label: str) -> tuple[Selection, float]:
    """The validated answer and the seconds that ``select`` took."""
    rng = derive_rng("verify", label, problem.budget)
    _ = problem.target  # computed once per problem, for whoever asks first
    start = time.perf_counter()
    raw = selector.select(problem, rng)
    elapsed = time.perf_counter() - start
    return validate_selection(raw, problem, selector), elapsed


__all__ = [
    "Contestant",
    "IntegerReference",
    "certified_selectors",
    "default_integer_reference",
    "paired_reference",
    "paired_references",
    "require_claim",
    "timed_select",
]
