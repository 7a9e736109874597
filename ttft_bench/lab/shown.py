"""An adaptation in words, as rows, and as JSON. Text from a corpus or a model is made harmless for terminals."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ttft_bench.lab.adapt import Change, Outcome
from ttft_bench.lab.chosen import Chosen
from ttft_bench.lab.timing import Timing
from ttft_bench.text import printable
from ttft_bench.units import MISSING, plural, seconds

#: Columns that the figures of a pick take, with the space between columns.
_FIGURES = 56
_MEASURE = {
    "window": "the prompt itself is scored, after training on its neighbours",
    "document": "the prompt itself is scored, after training on its neighbours",
    "prefix": "neighbours are found by the first half of the prompt, and the second half is scored",
}


def measure_of(protocol: str) -> str:
    """What bits per byte before and after say, plainly."""
    return (
        f"(The benchmark's measure: {_MEASURE[protocol]}. It compares selections. What the adapted model is worth for "
        "another text, the score of that text says: --score FILE.)"
    )


def headline(outcome: Outcome) -> list[str]:
    """What was done, with what, and what it changed."""
    said, chosen, timing = outcome.settings, outcome.selection, outcome.timing
    how = f"{said['device']}, {said['precision']}, {said['backend']}"
    gradients = f", {timing.fresh_steps} gradients" if timing.fresh_steps < timing.steps else ""
    seconds_asked = f" (budget {seconds(timing.budget_s)})" if timing.budget_s is not None else ""
    lines = [
        f"{said['model']} ({how}) adapted with {chosen.strategy}: "
        f"{plural(timing.steps, 'step')}{gradients}{seconds_asked}",
        f"bits per byte of the prompt: {_change(outcome.score)}",
        measure_of(str(said["bpb_protocol"])),
    ]
    if outcome.other is not None:
        lines.append(f"bits per byte of the other text: {_change(outcome.other)}")
    return lines


def _change(score: Change) -> str:
    return f"{score.before:.4f} before, {score.after:.4f} after: {score.percent:.2f} %"


def pick_rows(chosen: Chosen, width: int = 120) -> list[dict[str, Any]]:
    """One row for each distinct document, in training order; texts are cut so that a row fits on a line."""
    room = max(width - _FIGURES, 24)
    return [
        {
            "steps": pick.repeats,
            "similarity": pick.similarity,
            "weight": MISSING if pick.weight is None else pick.weight,
            "rank": pick.rank,
            "tokens": pick.n_tokens,
            "from": printable(pick.document.group or pick.document.subset, room // 3),
            "text": printable(pick.document.text, room - room // 3),
        }
        for pick in chosen.picks
    ]


def closing(outcome: Outcome) -> list[str]:
    """How the picks were come by, what took how long, and how the prompt goes on."""
    chosen = outcome.selection
    gap = "" if chosen.gap is None else f", gap {chosen.gap:.2g}"
    lines = [
        f"{len(chosen.picks)} of {chosen.n_candidates} candidates from {outcome.settings['documents']} documents; mean "
        f"similarity {chosen.similarity_mean:.3f}, residual {chosen.residual:.3f}{gap}",
        _times(outcome.timing),
    ]
    if outcome.continuation is not None:
        for label, text in (("before", outcome.continuation.before), ("after", outcome.continuation.after)):
            # Line by line: line breaks are the one control that a continuation keeps.
            lines += ["", f"continued, {label}:", *(printable(line) for line in text.split("\n"))]
    return lines


def _times(timing: Timing) -> str:
    parts = {
        "embed": timing.embed_s,
        "retrieve": timing.retrieve_s,
        "select": timing.select_s,
        "prepare": timing.prepare_s,
        "finetune": timing.finetune_s,
        "restore": timing.restore_s,
    }
    return ", ".join(f"{name} {seconds(value)}" for name, value in parts.items())


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """Everything under self-describing names; texts whole and as they are."""
    chosen = asdict(outcome.selection)
    chosen["picks"] = [
        {**{key: value for key, value in pick.items() if key != "document"}, **_document(pick["document"])}
        for pick in chosen["picks"]
    ]
    return {
        **outcome.settings,
        "prompt": outcome.prompt,
        **_score("", outcome.score),
        **({} if outcome.other is None else _score("other_", outcome.other)),
        "measure": measure_of(str(outcome.settings["bpb_protocol"])),
        "selection": chosen,
        "timing": asdict(outcome.timing),
        "notes": list(outcome.notes),
        "continuation": None if outcome.continuation is None else asdict(outcome.continuation),
    }


def _score(prefix: str, score: Change) -> dict[str, float]:
    return {
        f"{prefix}bpb_before": score.before,
        f"{prefix}bpb_after": score.after,
        f"{prefix}bpb_pct": score.percent,
    }


def _document(document: dict[str, Any]) -> dict[str, Any]:
    return {key: document[key] for key in ("text", "subset", "group")}


__all__ = ["closing", "headline", "measure_of", "outcome_to_json", "pick_rows"]
