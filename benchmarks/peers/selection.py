"""Selection side by side with its peers: ratios from one run, on real embeddings, on one thread.

    python benchmarks/peers/selection.py                 # all of it, about 20 minutes
    python benchmarks/peers/selection.py --quick         # a smoke run, under a minute
    python benchmarks/peers/selection.py --readme        # the table of benchmarks/README.md from the kept figures

What is timed and against what is written in benchmarks/README.md. The first run embeds 3,000 documents.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from peerlib import growth, hullft, many, program, sift
from peerlib.figure import draw
from peerlib.pools import FULL_DOCUMENTS, LIFT_NOISE, QUICK_DOCUMENTS, lift, load_vectors
from peerlib.record import QUICK, Findings, Scale
from peerlib.table import markdown, rewrite
from peerlib.timing import bandwidth_gb_s, machine

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "reports" / "peers_selection"
README = ROOT / "benchmarks" / "README.md"
PARTS = ("hullft", "sift", "program", "many", "growth")
LIFTED = 1024


def main(argv: list[str] | None = None) -> int:
    """Measure, or write the table of what was measured."""
    options = _options(argv)
    if options.readme:
        rewrite(README, json.loads((KEPT / "selection.json").read_text(encoding="utf-8")))
        print(f"{README} has the figures of {KEPT / 'selection.json'}")
        return 0
    results = _measure(options, QUICK if options.quick else Scale(pools=options.pools))
    output: Path = options.output
    output.mkdir(parents=True, exist_ok=True)
    (output / "selection.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    draw(results, output / "selection.svg")
    print(markdown(results))
    print(f"written: {output / 'selection.json'}, {output / 'selection.svg'}")
    return 0


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Selection side by side with its peers; ratios from one run.")
    parser.add_argument("--quick", action="store_true", help="a smoke run: few pools, few budgets")
    parser.add_argument("--pools", type=int, default=50, help="pools per row (default 50)")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, comma-separated (default {','.join(PARTS)})")
    parser.add_argument("--device", help="also run select_many there, e.g. cuda (default: cuda if torch sees one)")
    parser.add_argument("--output", type=Path, default=KEPT, help="folder of selection.json and selection.svg")
    parser.add_argument("--readme", action="store_true", help="only rewrite the table in benchmarks/README.md")
    options = parser.parse_args(argv)
    unknown = set(options.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {sorted(unknown)[0]!r}: choose from {', '.join(PARTS)}")
    if not 1 <= options.pools <= 256:
        parser.error("--pools must be between 1 and 256")
    return options


def _measure(options: argparse.Namespace, scale: Scale) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    device = options.device or ("cuda" if torch.cuda.is_available() else None)
    parts = options.only.split(",")
    where = machine()
    prompts = 6 if options.quick else max(scale.many, scale.pools)
    real = load_vectors(prompts, QUICK_DOCUMENTS if options.quick else FULL_DOCUMENTS, _note)
    raised = lift(real, LIFTED)
    gb_s = bandwidth_gb_s()
    found = Findings()
    for vectors in (real, raised):
        label = f"d = {vectors.documents.shape[1]}"
        if "hullft" in parts:
            hullft.run(vectors, scale, gb_s, found, _note, label)
        if "sift" in parts:
            sift.run(vectors, scale, gb_s, found, _note, label)
        if "program" in parts and vectors is real:
            program.run(vectors, scale, gb_s, found, _note, label)
        if "many" in parts and vectors is real:
            many.run(vectors, scale, gb_s, found, _note, label, device)
    if "growth" in parts:
        growth.run(real, scale, gb_s, found, _note)
    if not all(math.isfinite(row.ratio) for row in found.rows):
        raise RuntimeError("a ratio is not finite: a clock or a peer failed")
    return {
        "schema_version": 1,
        "command": "python benchmarks/peers/selection.py " + " ".join(sys.argv[1:]),
        "quick": options.quick,
        "machine": where,
        "bandwidth_gb_s": gb_s,
        "pools": {
            "embedder": "all-minilm-l6-v2",
            "corpus": "minipile",
            "documents": len(real.documents),
            "prompts": len(real.prompts),
            "k": 200,
            "lifted": (
                f"d = {LIFTED}: a fixed random orthonormal frame carries the real vectors, plus {LIFT_NOISE} times the "
                "vector of another real document in orthogonal directions, normalised"
            ),
        },
        "repetitions": scale.repetitions,
        "rows": [row.as_dict() for row in found.rows],
        "missing": list({item["column"]: item for item in found.missing}.values()),
        "growth": found.growth,
    }


def _note(message: str) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
