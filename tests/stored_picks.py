"""Picks as ``ttft-bench select`` stores them, written by hand: no corpus, no embedder, no selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ttft_bench.sweep import store


def pick(prompt: str, label: str, documents: Sequence[int], **changes: Any) -> dict[str, Any]:
    """A record of a selection that succeeded, at as many picks as there are documents."""
    record = {
        "prompt_id": prompt,
        "strategy": label,
        "spec": label,
        "distribution": "ttft-bench 0",
        "pool": "embedding",
        "control": False,
        "budget": len(documents),
        "status": "ok",
        "reason": "",
        "document_ids": list(documents),
        "nested": True,
        "repeats": False,
    }
    return {**record, **changes}


def write_picks(
    folder: Path, prompts: Mapping[str, str], texts: Sequence[str], records: Sequence[Mapping[str, Any]]
) -> Path:
    """A folder of picks made for suite ``s``: prompt id -> text, document texts in order, and the records."""
    folder.mkdir()
    with store.Journal(folder / store.PICKS) as journal:
        for record in records:
            journal.append(record)
    with store.Journal(folder / store.DOCUMENTS) as journal:
        for prompt, text in prompts.items():
            facts = {"kind": "prompt", "prompt_id": prompt, "subset": "s", "group": "", "text": text, "pools": {}}
            journal.append(facts)
        for number, text in enumerate(texts):
            journal.append({"kind": "document", "id": number, "text": text})
    store.write_manifest(folder, {"identity": {"suite": "s", "seed": 0}})
    return folder
