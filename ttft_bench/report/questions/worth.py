"""Question 2: when is test-time finetuning worth its time against in-context retrieval, LoRA, or nothing?

Treatments, not strategies, are compared: every use of the picks (arm and trainable set) has a frontier over all of its
strategies, budgets and reuse settings, and the frontiers are read at equal times. Only strategies that every
treatment has take part, so that no treatment wins by having been tried more often; a treatment that shares none with
finetuning stands apart, and nothing is decided about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ttft_bench.report.format import seconds
from ttft_bench.report.paired.at_time import TimeTable, between, bpb_at_times
from ttft_bench.report.paired.outcomes import Interval
from ttft_bench.report.questions.breakeven import BreakEven, break_even
from ttft_bench.report.questions.regimes import NOTHING, RegimeMap, regime_map
from ttft_bench.report.questions.verdict import Answer, Verdict
from ttft_bench.report.stats import Key, Row, settle

FULL = "finetune"


@dataclass(frozen=True)
class WorthAnswer:
    """Question 2 in figures.

    Attributes:
        table: treatments at equal times; the reference is finetuning of all weights.
        strategies: strategies that take part.
        apart: treatments that are not in the table, because they have no strategy in common with the others.
        verdicts: one per rival, ``nothing`` first.
        break_even: later tokens that finetuning takes to pay, per setting.
        regimes: maps over prompt length and neighbour similarity, one per rival arm.
    """

    table: TimeTable
    strategies: tuple[str, ...]
    apart: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    break_even: tuple[BreakEven, ...]
    regimes: tuple[RegimeMap, ...]


def treatment(key: Key) -> str:
    """What is done with the picks: ``finetune``, ``finetune lora[r=8]``, ``in-context``, ..."""
    # All weights go without saying, as they do in the rows of early versions.
    return key.arm if key.trainable in ("", "full") else f"{key.arm} {key.trainable}"


def answer_worth(
    rows: Sequence[Row], times_s: Sequence[float] | None = None, controls: frozenset[str] = frozenset()
) -> WorthAnswer:
    """Answer question 2 from the rows of one scope, as they were read; controls are left out."""
    rows = settle([row for row in rows if str(row.get("strategy")) not in controls], ("lr",))
    picked = [row for row in rows if row.get("arm") != "none"]
    tried: dict[str, set[str]] = {}
    for row in picked:
        tried.setdefault(treatment(Key.of(row)), set()).add(str(row.get("strategy")))
    strategies, apart = _shared(tried)
    chosen = [row for row in picked if str(row.get("strategy")) in strategies and treatment(Key.of(row)) not in apart]
    table = bpb_at_times(chosen, times_s, reference=FULL, label_of=treatment)
    if times_s is None and len(table.lines) > 1:
        table = bpb_at_times(chosen, _times(table), reference=FULL, label_of=treatment)
    rivals = sorted(tried.keys() - {FULL})
    usual = [arm for arm in ("in-context",) if arm not in rivals]
    usual += [] if any("lora" in rival for rival in rivals) else ["finetune lora"]
    verdicts = [judge(NOTHING, _against_nothing(table))]
    verdicts += [
        Verdict(_question(rival), "not decided", f"{apart[rival]}.")
        if rival in apart
        else judge(rival, _against(table, rival))
        for rival in rivals
    ]
    verdicts += [Verdict(_question(rival), "not decided", "it was not run.") for rival in usual]
    arms = [NOTHING, *(arm for arm in ("in-context",) if arm in rivals)]
    full = "full" if any(row.get("trainable") == "full" for row in chosen) else ""
    maps = tuple(regime_map(chosen, arm, full) for arm in arms)
    breaks = tuple(item for item in break_even(chosen) if treatment(item.finetuned) == FULL)
    return WorthAnswer(table, tuple(sorted(strategies)), tuple(apart), tuple(verdicts), breaks, maps)


def _shared(tried: Mapping[str, set[str]]) -> tuple[set[str], dict[str, str]]:
    """Strategies that every treatment was tried with, and treatments that stand apart, with the reason.

    A treatment that shares none with finetuning does not cost the others theirs. Where nothing is left for all, only
    finetuning itself is looked at, which is enough to hold it against nothing.
    """
    full = tried.get(FULL, set())
    apart = {
        rival: "no strategy was run in both" for rival, own in sorted(tried.items()) if FULL in tried and not own & full
    }
    beside = [own for rival, own in tried.items() if rival not in apart]
    shared = set.intersection(*beside) if beside else set()
    if shared or not tried:
        return shared, apart
    why = "no strategy was run with every use of the picks"
    return full, {rival: apart.get(rival, why) for rival in sorted(tried) if rival != FULL}


def judge(rival: str, differences: Sequence[tuple[float, Interval]]) -> Verdict:
    """The rule: an interval below 0 at a time says worth it there, one above 0 says not.

    - *yes*: worth it at every time; *no*: at none, and shown not to be at one at least;
    - *partly*: worth it at some times only;
    - *not decided*: neither is shown at any time, or prompts are too few.

    Args:
        rival: what finetuning is held against.
        differences: time in seconds, and BPB% of finetuning minus the rival's at it.
    """
    question = _question(rival)
    known = [(time, found) for time, found in differences if found.value is not None]
    if not known:
        return Verdict(question, "not decided", "there is no time at which both have a figure.")
    shortages = [found.shortage() for _, found in known]
    if all(shortages):
        return Verdict(question, "not decided", f"{shortages[0]}.")
    worth = [time for time, found in known if found.below(0) and not found.shortage()]
    worse = [time for time, found in known if found.above(0) and not found.shortage()]
    told = _range(known)
    if len(worth) == len(known):
        reached = "finetuning reaches" if rival == NOTHING else "both reach"
        return Verdict(question, "yes", f"lower BPB% at every time looked at that {reached}; {told}.")
    if worth:
        at = f"lower BPB% at {_list(worth)}"
        at += f", higher at {_list(worse)}" if worse else ""
        at += "" if len(worth) + len(worse) == len(known) else ", neither is shown at the other times"
        return Verdict(question, "partly", f"{at}; {told}.")
    answer: Answer = "no" if worse else "not decided"
    words = f"higher BPB% at {_list(worse)}, lower at none" if worse else "no difference is shown at any time"
    return Verdict(question, answer, f"{words}; {told}.")


def _question(rival: str) -> str:
    return f"Is finetuning all weights worth its time against {rival}?"


def _times(table: TimeTable) -> tuple[float, ...]:
    """Five times from where finetuning begins to where the last treatment ends: before that there is no question."""
    spans = {line.label: (line.points[0].mean_s, line.points[-1].mean_s) for line in table.lines if line.points}
    if FULL not in spans:
        return table.times_s
    return between(spans[FULL][0], max(last for _, last in spans.values()))


def _against(table: TimeTable, rival: str) -> list[tuple[float, Interval]]:
    if rival not in {line.label for line in table.lines}:
        return []
    found = ((time, table.at(rival, time).difference) for time in table.times_s)
    return [(time, difference.negated()) for time, difference in found if difference is not None]


def _against_nothing(table: TimeTable) -> list[tuple[float, Interval]]:
    if FULL not in {line.label for line in table.lines}:
        return []
    return [(time, table.at(FULL, time).bpb_pct.shifted(-100.0)) for time in table.times_s]


def _range(known: Sequence[tuple[float, Interval]]) -> str:
    from ttft_bench.report.paired.markdown import figure

    (first, one), (last, other) = known[0], known[-1]
    told = f"the difference is {figure(one)} at {seconds(first)}"
    return told if first == last else f"{told} and {figure(other)} at {seconds(last)}"


def _list(times: Sequence[float]) -> str:
    return ", ".join(map(seconds, times))


__all__ = ["FULL", "WorthAnswer", "answer_worth", "judge", "treatment"]
