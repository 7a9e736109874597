"""Settings against a reference, prompt by prompt: the difference with its interval, tests, wins, ties and losses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ttft_bench.report.paired.outcomes import Interval
from ttft_bench.report.paired.prompts import by_setting, pair
from ttft_bench.report.paired.resample import mean_interval
from ttft_bench.report.paired.significance import Significance, correct, significance
from ttft_bench.report.stats import Key, Row

#: A prompt is a tie below this difference, in BPB%: a tenth of the equivalence margin, and above what two runs of the
#: same steps differ by in bf16.
TIE_BPB_PCT = 0.05
NOT_DECIDED = "not decided"


@dataclass(frozen=True)
class Comparison:
    """One setting against one reference.

    Attributes:
        setting: what is compared.
        reference: with what.
        difference: mean of setting minus reference, in points of BPB%; below 0 the setting is better.
        by_prompt: tests with prompts as observations.
        by_group: tests with groups as observations.
        wins: prompts on which the setting is better by at least :data:`TIE_BPB_PCT`.
        ties: prompts that differ by less.
        losses: prompts on which it is worse by at least that.
        n_one_sided: prompts that only one of the two measured; they are in none of the figures.
    """

    setting: Key
    reference: Key
    difference: Interval
    by_prompt: Significance
    by_group: Significance
    wins: int
    ties: int
    losses: int
    n_one_sided: int

    @property
    def verdict(self) -> str:
        """``equivalent``, ``better``, ``worse`` or ``not decided``; ``no data`` where there is no difference at all.

        Better and worse take an interval that excludes 0 and a corrected p-value of groups below 5 %. Equivalence
        takes both tests of it, on means of groups, and an interval within the margin, on the mean over prompts: one
        that is large in groups of many prompts is no small difference. With too few prompts or groups for any of
        these, the verdict says so: ``not decided: 6 of the 30 prompts that are needed``.
        """
        shortage = self.difference.shortage()
        if shortage:
            return shortage if self.difference.value is None else f"{NOT_DECIDED}: {shortage}"
        margin = self.by_group.margin
        if self.by_group.equivalent and self.difference.above(-margin) and self.difference.below(margin):
            return "equivalent"
        if self.by_group.wilcoxon_holm.significant and self.difference.below(0):
            return "better"
        if self.by_group.wilcoxon_holm.significant and self.difference.above(0):
            return "worse"
        return NOT_DECIDED


@dataclass(frozen=True)
class Family:
    """Comparisons that are corrected together, and settings without a partner, with the reason."""

    comparisons: tuple[Comparison, ...]
    left_out: tuple[tuple[Key, str], ...] = ()


def compare(setting: Key, rows: Sequence[Row], reference: Key, reference_rows: Sequence[Row]) -> Comparison:
    """Compare one setting with one reference; every degenerate case has its outcome."""
    paired = pair(rows, reference_rows)
    differences = paired.differences
    wins = sum(value <= -TIE_BPB_PCT for value in differences)
    losses = sum(value >= TIE_BPB_PCT for value in differences)
    return Comparison(
        setting=setting,
        reference=reference,
        difference=mean_interval(differences, paired.groups),
        by_prompt=significance(paired, "prompt"),
        by_group=significance(paired, "group"),
        wins=wins,
        ties=len(differences) - wins - losses,
        losses=losses,
        n_one_sided=paired.n_one_sided,
    )


def compare_all(rows: Sequence[Row], reference: str) -> Family:
    """Every setting against strategy ``reference`` at the same budget, as one family.

    The reference of a setting is the one at its budget without gradient reuse, with its learning rate and trainable
    set if there is such a row, else the first one at that budget that was finetuned.
    """
    members = by_setting(rows)
    pairs, left_out = [], []
    for key in members:
        partner = partner_of(key, members, reference)
        if key.is_untouched:
            left_out.append((key, "every BPB% is relative to it"))
        elif partner is None:
            left_out.append((key, f"{reference} has no row at N = {key.budget}"))
        elif partner != key:
            pairs.append((key, partner))
    return family([compare(key, members[key], partner, members[partner]) for key, partner in pairs], left_out)


def family(comparisons: Sequence[Comparison], left_out: Sequence[tuple[Key, str]] = ()) -> Family:
    """Correct the comparisons for each other."""
    by_prompt = correct([item.by_prompt for item in comparisons])
    by_group = correct([item.by_group for item in comparisons])
    corrected = (
        dataclasses.replace(item, by_prompt=prompts, by_group=groups)
        for item, prompts, groups in zip(comparisons, by_prompt, by_group, strict=True)
    )
    return Family(tuple(corrected), tuple(left_out))


def compare_best(best: Key, among: Sequence[Key], rows: Sequence[Row], reference: Key) -> Comparison:
    """The best of several settings against one reference.

    The best of many beats anything now and then by luck alone. So its p-value is corrected as if all of them had been
    compared with the reference, as they were when it was chosen.

    Args:
        best: the setting that was chosen for its figures.
        among: the settings it was chosen from; whether it is one of them makes no difference.
        rows: settled rows of one scope, with those of all settings.
        reference: what the best is compared with.
    """
    members = by_setting(rows)
    keys = [best, *(key for key in among if key != best)]
    theirs = members.get(reference, [])
    return family([compare(key, members.get(key, []), reference, theirs) for key in keys]).comparisons[0]


def partner_of(key: Key, members: Mapping[Key, object], reference: str) -> Key | None:
    """The setting of strategy ``reference`` that ``key`` is compared with, or None."""
    found = [
        other
        for other in members
        if (other.strategy, other.budget, other.reuse_interval, other.arm) == (reference, key.budget, 1, "finetune")
    ]
    alike: Callable[[Key], bool] = lambda other: (other.lr, other.trainable) != (key.lr, key.trainable)  # noqa: E731
    return min(found, key=alike, default=None)


@dataclass(frozen=True)
class ForestLine:
    """One line of a forest plot: a part of the prompts, and the comparison within it."""

    part: str
    comparison: Comparison


def forest(
    setting: Key, reference: Key, rows: Sequence[Row], part_of: Callable[[Sequence[Row]], Mapping[str, Sequence[Row]]]
) -> tuple[ForestLine, ...]:
    """One setting against one reference in each part of the prompts, and over all of them, last.

    Args:
        setting: the setting.
        reference: the reference.
        rows: rows of one scope.
        part_of: splits rows by subset or stratum; see :mod:`ttft_bench.report.paired.split`.

    The parts are one family for Holm's correction; the line of all prompts is a family of its own.
    """

    def line(part: Sequence[Row]) -> Comparison:
        members = by_setting(part, {setting.strategy, reference.strategy})
        return compare(setting, members.get(setting, []), reference, members.get(reference, []))

    parts = part_of(rows)
    within = family([line(part) for part in parts.values()]).comparisons
    lines = [ForestLine(name, comparison) for name, comparison in zip(parts, within, strict=True)]
    return (*lines, ForestLine("all", line(rows)))


__all__ = [
    "NOT_DECIDED",
    "TIE_BPB_PCT",
    "Comparison",
    "Family",
    "ForestLine",
    "compare",
    "compare_all",
    "compare_best",
    "family",
    "forest",
    "partner_of",
]
