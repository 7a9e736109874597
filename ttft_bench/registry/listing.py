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
    found = ask_each("ttft_bench.registry.probe", [asdict(item) for item in items], timeout_s, "import")
    return [
        {"status": "broken", "cause": answer, "remedy": update_remedy(item)} if isinstance(answer, str) else answer
        for item, answer in zip(items, found, strict=True)
    ]


__all__ = ["probe_rows"]
