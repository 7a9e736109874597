"""Small shards of the Pile's schema, made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import zstandard

SUBSETS = ("ArXiv", "Github", "Wikipedia (en)")
WORDS = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "pe", "ra") for b in ("ba", "do", "fi", "gu", "ze")]


def records(seed: int, n: int) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "text": " ".join(rng.choice(WORDS, 12)) + f" {seed} {number} ünï",
            "meta": {"pile_set_name": SUBSETS[int(rng.integers(3))]},
        }
        for number in range(n)
    ]


def lines(some: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in some).encode()


def write_pile(folder: Path, *, train: int = 60, test: int = 30) -> Path:
    """Two compressed training shards, one plain, and a compressed test file; a training text is a prompt's too."""
    (folder / "train").mkdir(parents=True)
    pack = zstandard.ZstdCompressor().compress
    first = records(1, train)
    held_out = records(9, test)
    first.insert(3, {**held_out[0], "text": str(held_out[0]["text"]).replace(" ", "\n ")})
    # Two frames in one file, as parallel compressors write them.
    (folder / "train" / "00.jsonl.zst").write_bytes(pack(lines(first[:10])) + pack(lines(first[10:])))
    (folder / "train" / "01.jsonl.zst").write_bytes(pack(lines(records(2, train))))
    (folder / "train" / "02.jsonl").write_bytes(
        lines(records(3, train)) + b'\n{"text": "  ", "meta": {"pile_set_name": "ArXiv"}}\n'
    )
    (folder / "test.jsonl.zst").write_bytes(pack(lines(held_out)))
    return folder
