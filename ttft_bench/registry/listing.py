"""The parent's side of a listing: drive :mod:`ttft_bench.registry.probe` and turn its answers into rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from ttft_bench.registry import Row
from ttft_bench.registry.children import ask_each
from ttft_bench.registry.installed import Entry, duplicate_remedy, update_remedy


def probe_rows(found: list[Entry], timeout_s: float) -> list[Row]:
    """One row per entry, in order; names offered twice are not imported, only reported."""
    names = Counter(item.name for item in found)
    single = [item for item in found if names[item.name] == 1]
    answers = dict(zip(single, _ask(single, timeout_s), strict=True))
    rows = []
    for item in found:
        answer = answers.get(item) or _duplicate(item, [other for other in found if other.name == item.name])
        answer["requires"] = tuple(answer.get("requires", ()))
        rows.append(Row(item.name, item.distribution, item.version, item.built_in, **answer))
    return rows


def _duplicate(item: Entry, same_name: list[Entry]) -> dict[str, Any]:
    others = " and ".join(other.source for other in same_name if other != item)
    return {
        "status": "duplicate",
        "cause": f"also offered by {others}",
        "remedy": duplicate_remedy(same_name),
    }


def _ask(items: list[Entry], timeout_s: float) -> list[dict[str, Any]]:
    """Ask a child about each entry; one that kills or holds up the child is broken."""
    # Our own come first: no stranger can harm them, and what fails of them need not be asked again.
    ordered = sorted(items, key=lambda item: not item.built_in)
    found = ask_each(
        "ttft_bench.registry.probe", [asdict(item) for item in ordered], timeout_s, "import", _may_be_anothers_fault
    )
    answers = {
        item: {"status": "broken", "cause": answer, "remedy": update_remedy(item)}
        if isinstance(answer, str)
        else answer
        for item, answer in zip(ordered, found, strict=True)
    }
    return [answers[item] for item in items]


def _may_be_anothers_fault(item: dict[str, Any], answer: dict[str, Any]) -> bool:
    return answer["status"] != "ok" and not Entry(**item).built_in


__all__ = ["probe_rows"]
