"""Rows as values of prompts, and prompts as pairs: what every comparison stands on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ttft_bench.report.stats import Key, Row, is_measured, number, strategy_of

#: A prompt and a finetuning seed.
Unit = tuple[str, str]
Of = Callable[[Row], float | None]


def quality(row: Row) -> float | None:
    """The BPB% of a row that may enter an average."""
    return number(row, "bpb_pct") if is_measured(row) else None


def by_setting(rows: Iterable[Row], only: Container[str] | None = None) -> dict[Key, list[Row]]:
    """Rows of each setting, in order of strategy, setting and budget.

    Args:
        rows: in any order.
        only: strategies that are wanted; None for all of them. Who needs two of many is done much sooner.
    """
    members: defaultdict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        if only is None or strategy_of(row) in only:
            members[Key.of(row)].append(row)
    return {key: members[key] for key in sorted(members, key=lambda key: (key.series, key.budget))}


def groups_of(rows: Iterable[Row]) -> dict[str, str]:
    """The group of each prompt; a prompt without one stands alone."""
    return {str(row.get("prompt_id")): str(row.get("group") or row.get("prompt_id")) for row in rows}


def per_prompt(rows: Iterable[Row], of: Of = quality) -> dict[str, float]:
    """Value of each prompt, the mean over its seeds, in order of prompt id; prompts without one are left out."""
    return _mean_over_seeds(_per_unit(rows, of))


@dataclass(frozen=True)
class Paired:
    """Differences of the prompts that both sides measured.

    Attributes:
        prompts: prompt ids, ascending.
        groups: the group of each.
        differences: of each prompt, one side minus the other.
        n_one_sided: prompts that one side measured and the other lacks, or failed on.
    """

    prompts: tuple[str, ...]
    groups: tuple[str, ...]
    differences: tuple[float, ...]
    n_one_sided: int


def pair(rows: Sequence[Row], reference: Sequence[Row], of: Of = quality) -> Paired:
    """Subtract the reference from the rows, prompt by prompt and seed by seed.

    Seeds that only one side has are left out of the prompt's mean, so that a seed's luck never counts as a difference.
    """
    ours, theirs = _per_unit(rows, of), _per_unit(reference, of)
    shared = {unit: ours[unit] - theirs[unit] for unit in ours.keys() & theirs.keys()}
    found = _mean_over_seeds(shared)
    everyone = {prompt for prompt, _ in ours.keys() | theirs.keys()}
    groups = groups_of([*rows, *reference])
    return Paired(
        prompts=tuple(found),
        groups=tuple(groups[prompt] for prompt in found),
        differences=tuple(found.values()),
        n_one_sided=len(everyone - found.keys()),
    )


def _per_unit(rows: Iterable[Row], of: Of) -> dict[Unit, float]:
    members: defaultdict[Unit, list[float]] = defaultdict(list)
    for row in rows:
        value = of(row)
        if value is not None:
            members[str(row.get("prompt_id")), str(row.get("seed"))].append(value)
    return {unit: sum(values) / len(values) for unit, values in members.items()}


def _mean_over_seeds(units: Mapping[Unit, float]) -> dict[str, float]:
    members: defaultdict[str, list[float]] = defaultdict(list)
    for (prompt, _), value in sorted(units.items()):
        members[prompt].append(value)
    return {prompt: sum(values) / len(values) for prompt, values in members.items()}


__all__ = ["Of", "Paired", "by_setting", "groups_of", "pair", "per_prompt", "quality"]
