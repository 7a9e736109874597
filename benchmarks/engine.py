"""The finetuning engine beside the published loop, in one run: steps, restore, whole prompts, lanes, growth.

    python benchmarks/engine.py                                   # on a GPU: everything, each part kept as it ends
    python benchmarks/engine.py --only published,ours,lanes       # some parts
    python benchmarks/engine.py --quick                           # a smoke run, any machine: 1 to 4 minutes
    python benchmarks/engine.py --show                            # the tables of what was measured
    python benchmarks/engine.py --device cpu --only natural --models smollm2-135m --name engine_cpu
    python benchmarks/engine.py --name engine_cpu --readme        # its tables into benchmarks/README.md

From a source tree that was never installed: ``PYTHONPATH=. python benchmarks/engine.py``. Nothing is fetched and
models have random weights, but for ``natural`` on a CPU: it takes the pinned model and text, fetched where missing,
and random ones where they are not to be had. A second command into the same folder adds to what is there and
replaces the parts that it measures again. What is measured, and against what, is written in
benchmarks/engine_notes.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import torch

from enginelib.parts import PARTS, run_part
from enginelib.plan import Plan, forget, release
from enginelib.readme import rewrite, where
from enginelib.shapes import SHAPES, Shape
from enginelib.studies import IDEAS
from enginelib.table import markdown
from enginelib.timing import ceilings, machine
from ttft_bench.engine.choices import BACKENDS, PRECISION_CHOICES
from ttft_bench.engine.compiled import Options
from ttft_bench.engine.compiled.options import ATTENTION
from ttft_bench.engine.host import fit_threads, keep_freed_memory
from ttft_bench.engine.model import resolve_device
from ttft_bench.engine.precision import resolve_precision
from ttft_bench.errors import UsageError
from ttft_bench.specs import parse_value

ROOT = Path(__file__).resolve().parents[1]
STARTED = time.perf_counter()
#: Parts that are measured on every model: with what one of them compiled, and in a process of their own; all others
#: bring their models or take the first.
TOGETHER = ("published", "ours", "lanes", "gradients", "profile", "check", "natural")
ALONE = ("ideas",)
PER_MODEL = (*TOGETHER, *ALONE)
#: Exit code where nothing was measured because of what was asked for.
REFUSED = 2


def main(argv: list[str] | None = None) -> int:
    """Measure what is asked for; write after every row."""
    options = _options(argv)
    file = options.output / f"{options.name}.json"
    if options.show or options.readme:
        if not file.is_file():
            _refuse(f"there are no figures in {file}: measure them first, without --show and --readme")
        kept = _read(file)
        if options.readme:
            try:
                rewrite(options.name, kept)
            except ValueError as error:
                _refuse(str(error))
        print(f"{markdown(kept)}\n\n{where(kept)}")
        return 0
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _refuse(f"{options.output} cannot be made: {error.strerror}; give another --output")
    shapes = [SHAPES[name] for name in dict.fromkeys(options.models.split(","))]
    parts = options.only.split(",")
    rounds = [(shape, [part for part in parts if part in kind]) for shape in shapes for kind in (TOGETHER, ALONE)]
    rounds.append((shapes[0], [part for part in parts if part not in PER_MODEL]))
    rounds = [(shape, some) for shape, some in rounds if some]
    if len(rounds) > 1:
        failed = _apart(rounds, sys.argv[1:] if argv is None else argv)
    else:
        failed = _here(*rounds[0], options, file)
    if file.exists():
        print(markdown(_read(file)))
        _note(f"written: {file}")
    return 1 if failed else 0


def _apart(rounds: list[tuple[Shape, list[str]]], given: list[str]) -> int:
    """Each model in a process of its own: what one leaves behind, memory or a profiler, is not another's."""
    failed = 0
    for shape, some in rounds:
        command = [sys.executable, __file__, *given, "--models", shape.name, "--only", ",".join(some)]
        code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        if code == REFUSED:  # it said why, and would again
            sys.exit(code)
        failed += code != 0
    return failed


def _here(shape: Shape, parts: list[str], options: argparse.Namespace, file: Path) -> int:
    """Measure parts in this process; how many failed."""
    keep_freed_memory()
    fit_threads()
    try:
        device = resolve_device(options.device)
    except UsageError as error:
        _refuse(str(error))
    plan = _plan(options, device)
    results = _read(file)
    here = machine(device)
    _refuse_others(results, here, options.quick, file)
    results["machine"], results["quick"] = here, options.quick
    _note(f"ceilings of {results['machine']['gpu'] or results['machine']['cpu']}")
    results["ceilings"] = ceilings(device, options.quick)
    _write(file, results)
    release()
    failed = 0
    for part in parts:
        _note(f"{part}: {shape.name} at {shape.tokens} tokens")
        failed += not _measure(part, plan, shape, results, file)
    return failed


def _refuse_others(results: dict[str, Any], here: dict[str, Any], quick: bool, file: Path) -> None:
    """Keep figures of other machines, or of a real run, out of the way of this one's."""
    there = results.get("machine")
    if there is None:
        return
    names = [machine["gpu"] or machine["cpu"] for machine in (there, here)]
    if names[0] != names[1]:
        _refuse(f"{file} holds figures of {names[0]}, this is {names[1]}: give --name or --output")
    if quick and not results.get("quick"):
        _refuse(f"{file} holds figures of a real run, this is a smoke run: give --name or --output")


def _refuse(why: str) -> NoReturn:
    print(why, file=sys.stderr)
    sys.exit(REFUSED)


def _measure(part: str, plan: Plan, shape: Shape, results: dict[str, Any], file: Path) -> bool:
    """Run one part; what it had before is replaced once it gives its first row."""
    first = True
    try:
        for row in run_part(part, plan, shape):
            if first:
                kept = [
                    old
                    for old in results["rows"]
                    if old["part"] != part or (part in PER_MODEL and old["model"] != shape.name)
                ]
                results["rows"], first = kept, False
            results["rows"].append({**row, "gpu": results["machine"]["gpu"]})
            _write(file, results)
            _note("  " + _brief(row))
    except Exception as error:  # the other parts are still worth measuring
        _note(f"  FAILED: {type(error).__name__}: {error}")
        forget()
        return False
    return True


def _brief(row: dict[str, Any]) -> str:
    shown = ("what", "idea", "r", "lanes", "backend", "tokens", "error", "precision")
    shown += ("loss_difference", "weight_difference", "update_difference", "restored", "same_again", "lanes_equal")
    words = [f"{key} {value}" for key, value in row.items() if key in shown]
    for key, value in row.items():
        if key == "compile_s":
            words.append(f"compile {value:.0f} s")
        elif key.endswith("_s") and key != "part_s":
            words.append(f"{key} {1e3 * value:.3f} ms")
    return ", ".join(words)


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The finetuning engine beside the published loop, in one run.")
    parser.add_argument("--only", help=f"parts, comma-separated, of {','.join(PARTS)} (default all)")
    parser.add_argument("--models", help=f"of {','.join(SHAPES)} (default gpt2,smollm2-135m)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default auto)")
    parser.add_argument(
        "--precision", choices=PRECISION_CHOICES, default="auto", help="of ours (default bf16 where it is much faster)"
    )
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="of ours (default auto)")
    parser.add_argument("--attention", choices=ATTENTION, default="auto", help="kernels of the compiled backend")
    parser.add_argument("--inductor", default="", help="settings of the compiler to try, e.g. combo_kernels=true")
    parser.add_argument("--ideas", help="of the part ideas only these, comma-separated, by their beginnings")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a smoke run, 1 to 4 minutes on two cores: tiny models, few repetitions, no compiler on a CPU",
    )
    parser.add_argument("--output", type=Path, default=ROOT / "reports" / "engine", help="folder of the figures")
    parser.add_argument("--name", help="name of their file there, without .json (default engine, or smoke)")
    parser.add_argument("--show", action="store_true", help="print the tables of that file and measure nothing")
    parser.add_argument("--readme", action="store_true", help="put them into benchmarks/README.md, measure nothing")
    options = parser.parse_args(argv)
    options.name = ("smoke" if options.quick else "engine") if options.name is None else options.name
    options.only = ",".join(PARTS) if options.only is None else options.only
    usual = "tiny-gpt2,tiny-llama" if options.quick else "gpt2,smollm2-135m"
    options.models = usual if options.models is None else options.models
    for wanted in () if options.ideas is None else options.ideas.split(","):
        if not wanted or not any(name.startswith(wanted) for name in IDEAS):
            parser.error(f"no idea begins with {wanted!r}: there are {', '.join(IDEAS)}")
    if not options.name or Path(options.name).name != options.name:
        parser.error(f"--name is that of a file in --output, got {options.name!r}")
    if "=" not in options.inductor and options.inductor:
        parser.error(f"a setting of the compiler is NAME=VALUE, got {options.inductor!r}")
    for what, given, known in (("part", options.only, PARTS), ("model", options.models, SHAPES)):
        unknown = [name for name in given.split(",") if name not in known]
        if unknown:
            parser.error(f"unknown {what} {unknown[0]!r}: there are {', '.join(known)}")
    return options


def _plan(options: argparse.Namespace, device: torch.device) -> Plan:
    on_gpu = device.type == "cuda"
    settings = [item.partition("=") for item in options.inductor.split(",") if item]
    return Plan(
        device=device,
        precision=resolve_precision(options.precision, device),
        backend="compiled" if options.quick and options.backend == "auto" else options.backend,
        options=Options(
            attention=options.attention,
            compile=on_gpu or not options.quick,
            inductor=tuple((name, parse_value(value)) for name, _, value in settings),
        ),
        ideas=tuple(options.ideas.split(",")) if options.ideas else (),
        quick=options.quick,
        note=_note,
    )


def _read(file: Path) -> dict[str, Any]:
    if file.exists():
        try:
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            if found.keys() >= {"machine", "ceilings"} and all("part" in row for row in found["rows"]):
                return found
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass
        _refuse(f"{file} holds no figures of this benchmark: move it away, or give --name or --output")
    return {"schema_version": 1, "rows": []}


def _write(file: Path, results: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".tmp")
    aside.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    aside.replace(file)


def _note(message: str) -> None:
    print(f"[{time.perf_counter() - STARTED:6.1f} s] {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
