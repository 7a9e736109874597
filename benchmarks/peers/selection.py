"""Selection side by side with its peers: ratios from one run, on real embeddings, on one thread.

    python benchmarks/peers/selection.py                 # all of it, about 20 minutes
    python benchmarks/peers/selection.py --quick         # a smoke run, under a minute
    python benchmarks/peers/selection.py --readme        # the table of benchmarks/README.md from the kept figures

A machine with a GPU needs neither corpus, embedder nor an installation, but numpy and torch, and should have numba:

    python benchmarks/peers/selection.py --save-vectors vectors.npz              # here, then there:
    PYTHONPATH=.:strategies python benchmarks/peers/selection.py --only many --device cuda --vectors vectors.npz \
        --output there
    python benchmarks/peers/selection.py --merge there/selection.json            # and here again

What is timed and against what is written in benchmarks/README.md. The first run embeds 3,000 documents.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from peerlib.pools import (
    FULL_DOCUMENTS,
    LIFT_NOISE,
    QUICK_DOCUMENTS,
    Vectors,
    fingerprint,
    lift,
    load_vectors,
    read_vectors,
    write_vectors,
)
from peerlib.record import QUICK, Findings, Scale
from peerlib.table import markdown, merged, rewrite
from peerlib.timing import bandwidth_gb_s, machine

from ttft_bench.errors import TtftBenchError
from ttft_strategies._arrays import arrays_on

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
    scale = QUICK if options.quick else Scale(pools=options.pools)
    try:
        if options.merge:
            other = _results(options.merge)
            return _write(merged(_results(options.output / "selection.json"), other), options.output)
        options.output.mkdir(parents=True, exist_ok=True)  # told now, and not after measuring, if it cannot be
        real = _vectors(options, scale)
        if options.save_vectors:
            write_vectors(real, options.save_vectors)
            print(f"written: {options.save_vectors}")
            return 0
    except (ValueError, OSError, TtftBenchError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return _write(_measure(options, scale, real), options.output)


def _results(file: Path) -> dict[str, Any]:
    """What an earlier run wrote.

    Raises:
        ValueError: that is something else.
        OSError: it cannot be read.
    """
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is not JSON: {error}") from error
    if not isinstance(results, dict) or not {"schema_version", "rows", "machine"} <= set(results):
        raise ValueError(f"{file} does not hold results of this benchmark")
    return results


def _write(results: dict[str, Any], output: Path) -> int:
    output.mkdir(parents=True, exist_ok=True)
    written = [output / "selection.json"]
    written[0].write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    try:
        from peerlib.figure import draw
    except ImportError:
        _note("no figure: matplotlib is not installed")
    else:
        written.append(output / "selection.svg")
        draw(results, written[-1])
    print(markdown(results))
    print(f"written: {', '.join(map(str, written))}")
    return 0


def _vectors(options: argparse.Namespace, scale: Scale) -> Vectors:
    """Of the file, or of the corpus.

    Raises:
        ValueError: the file is of no use.
    """
    prompts = 6 if options.quick else max(scale.many, scale.pools)
    if options.vectors:
        return read_vectors(options.vectors, prompts)
    return load_vectors(prompts, QUICK_DOCUMENTS if options.quick else FULL_DOCUMENTS, _note)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Selection side by side with its peers; ratios from one run.")
    parser.add_argument("--quick", action="store_true", help="a smoke run: few pools, few budgets")
    parser.add_argument("--pools", type=int, default=50, help="pools per row (default 50)")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, comma-separated (default {','.join(PARTS)})")
    parser.add_argument("--device", help="also run select_many there, e.g. cuda (default: cuda if torch sees one)")
    parser.add_argument("--output", type=Path, default=KEPT, help="folder of selection.json and selection.svg")
    parser.add_argument("--vectors", type=Path, help="file of --save-vectors, instead of corpus and embedder")
    parser.add_argument("--save-vectors", type=Path, metavar="FILE.npz", help="only embed, and keep the vectors")
    parser.add_argument(
        "--merge",
        type=Path,
        metavar="FILE.json",
        help="only add the select_many rows that another machine's GPU gave to what --output holds",
    )
    parser.add_argument("--readme", action="store_true", help="only rewrite the table in benchmarks/README.md")
    options = parser.parse_args(argv)
    unknown = set(options.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {sorted(unknown)[0]!r}: choose from {', '.join(PARTS)}")
    if not 1 <= options.pools <= 256:
        parser.error("--pools must be between 1 and 256")
    if options.device:
        try:
            arrays_on(options.device)
        except TtftBenchError as error:
            parser.error(str(error))
    return options


def _measure(options: argparse.Namespace, scale: Scale, real: Vectors) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    device = options.device or ("cuda" if torch.cuda.is_available() else None)
    parts = options.only.split(",")
    where = machine()
    gb_s = bandwidth_gb_s()
    found = Findings()
    for vectors in (real, *([lift(real, LIFTED)] if {"hullft", "sift"} & set(parts) else [])):
        label = f"d = {vectors.documents.shape[1]}"
        if "hullft" in parts:
            _part("hullft").run(vectors, scale, gb_s, found, _note, label)
        if "sift" in parts:
            _part("sift").run(vectors, scale, gb_s, found, _note, label)
        if "program" in parts and vectors is real:
            _part("program").run(vectors, scale, gb_s, found, _note, label)
        if "many" in parts and vectors is real:
            _part("many").run(vectors, scale, gb_s, found, _note, label, device)
    if "growth" in parts:
        _part("growth").run(real, scale, gb_s, found, _note)
    if not all(math.isfinite(row.ratio) for row in found.rows):
        raise RuntimeError("a ratio is not finite: a clock or a peer failed")
    return {
        "schema_version": 1,
        "command": "python benchmarks/peers/selection.py " + " ".join(sys.argv[1:]),
        "quick": options.quick,
        "machine": where,
        "device": found.device,
        "bandwidth_gb_s": gb_s,
        "pools": {
            "embedder": "all-minilm-l6-v2",
            "corpus": "minipile",
            "documents": len(real.documents),
            "fingerprint": fingerprint(real),
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


def _part(name: str) -> Any:
    """The module of a part, imported when it is measured: each needs other libraries."""
    return import_module(f"peerlib.{name}")


def _note(message: str) -> None:
    print(message, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
