"""What the kernels of a gradient and of an update do by themselves: under NVIDIA's Nsight Compute, by kind.

    python benchmarks/kernels.py                       # gpt2 at 1024 and smollm2-135m at 512 tokens, bf16
    python benchmarks/kernels.py --models smollm2-135m
    python benchmarks/kernels.py --library              # gradients of weights by PyTorch's kernels instead of ours
    python benchmarks/kernels.py --show                 # print what is kept; --readme puts it into benchmarks/README.md

Needs a GPU and ``ncu`` on the path, which takes a third of a second for a kernel: models of one and of two layers are
profiled, and what the second layer adds is counted as often as the whole model has more of them. For every kind of
kernel: how many, how long alone, and in which share of that time multiprocessors, tensor cores and memory were at
work. Kernels run one after the other, without graphs, and the update in one piece. ``filled``, time times the share of
multiprocessors that had work, bounds what lanes can gain as long as no two kernels share a multiprocessor: a library's
matrix products do not, small kernels may.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from enginelib.readme import README, replaced
from enginelib.shapes import SHAPES, build, sequences

ROOT = Path(__file__).resolve().parents[1]
#: Ours -> Nsight's name.
METRICS = {
    "ns": "gpu__time_duration.sum",
    "multiprocessors": "sm__cycles_active.avg.pct_of_peak_sustained_elapsed",
    "tensor_cores": "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_elapsed",
    "memory": "dram__throughput.avg.pct_of_peak_sustained_elapsed",
}
#: What comes after a kernel of this name is the optimizer's.
MARK = "bessel_j0"
#: Kind -> what its kernels' names hold; the first that fits.
KINDS = (
    ("attention", ("flex_attention",)),
    ("products", ("gemm", "nvjet", "cutlass", "sm90_xmma", "splitK", "cublas")),
    ("loss and reductions", ("triton_red", "triton_per", "reduce_kernel")),
    ("elementwise", ("triton_poi", "elementwise", "copy", "Copy", "index", "gather", "scatter")),
)
#: Kernels of ours by their whole names.
OURS = {
    "_gradient": "products",
    "_input_gradient": "products",
    "_sums": "loss and reductions",
    "_to_heads": "elementwise",
    "_from_heads": "elementwise",
}


def main(argv: list[str] | None = None) -> int:
    """Profile each model in a process of its own, and write what it took."""
    parser = argparse.ArgumentParser(description="Kernels of a fresh step under Nsight Compute.")
    parser.add_argument("--models", default="gpt2,smollm2-135m", help="shapes, comma-separated")
    parser.add_argument("--output", type=Path, default=ROOT / "reports" / "engine" / "kernels.json")
    parser.add_argument("--library", action="store_true", help="gradients of weights by PyTorch's kernels, not by ours")
    parser.add_argument("--show", action="store_true", help="print the table of what is kept, and measure nothing")
    parser.add_argument("--readme", action="store_true", help="put that table into benchmarks/README.md")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--layers", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.step:
        _step(options.step, options.layers, options.library)
        return 0
    if options.show or options.readme:
        if not options.output.is_file():
            parser.error(f"there are no figures in {options.output}: measure them first, without --show and --readme")
        try:
            table = markdown(json.loads(options.output.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError, AttributeError):
            parser.error(f"{options.output} holds no figures of kernels: give another --output")
        print(table)
        if options.readme:
            README.write_text(replaced(README.read_text(encoding="utf-8"), "kernels", table), encoding="utf-8")
        return 0
    unknown = [name for name in options.models.split(",") if name not in SHAPES]
    if unknown:
        parser.error(f"unknown model {unknown[0]!r}: there are {', '.join(SHAPES)}")
    ncu = shutil.which("ncu")
    if ncu is None:
        parser.error("there is no ncu on the path: install NVIDIA Nsight Compute")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for model in options.models.split(","):
        shallow, deep = (_profile(ncu, model, layers, options.library) for layers in (1, 2))
        gradients = "library" if options.library else "ours"
        found[model] = {"gradients": gradients, **extend(shallow, deep, SHAPES[model].layers)}
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(markdown(found))
    return 0


def _step(model: str, layers: int, library: bool) -> None:
    """What is profiled: one fresh step between two marks, without graphs, everything compiled before."""
    import torch

    from ttft_bench.engine.compiled import Options
    from ttft_bench.engine.finetune import Engine

    shape, device = replace(SHAPES[model], layers=layers), torch.device("cuda", 0)
    options = Options(graphs=False, kernels=not library)
    engine = Engine(build(shape, device, "bf16"), backend="compiled", options=options)
    if engine.backend.name != "compiled":
        sys.exit("the compiled backend cannot be built here")
    items = sequences(shape, [min(shape.tokens, 1023)], device)
    engine.warm_up([items[0]])
    batch = engine.prepare([0], items)[0]
    torch.cuda.synchronize()
    torch.cuda.profiler.start()
    engine.backend.gradient(batch)
    torch.cuda.synchronize()
    torch.special.bessel_j0(torch.ones(1, device=device))  # the mark between the two: MARK is in its kernel's name
    engine.backend.update(5e-5)
    torch.cuda.synchronize()
    torch.cuda.profiler.stop()


def _profile(ncu: str, model: str, layers: int, library: bool) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kernels"
        # Caches and clocks as in a step, where what a kernel reads was just written.
        command = [ncu, "--profile-from-start", "off", "--clock-control", "none", "--cache-control", "none"]
        command += ["--force-overwrite"]
        command += ["--metrics", ",".join(METRICS.values()), "--export", str(kept)]
        step = [sys.executable, __file__, "--step", model, "--layers", str(layers), *(["--library"] if library else [])]
        subprocess.run([*command, *step], check=True, stdout=subprocess.DEVNULL)
        shown = [ncu, "--import", f"{kept}.ncu-rep", "--csv", "--page", "raw", "--print-units", "base"]
        text = subprocess.run(shown, check=True, capture_output=True, text=True).stdout
    return list(read(text))


def read(text: str) -> Iterator[dict[str, Any]]:
    """Kernels of Nsight's table: ``name``, ``kind`` and the keys of :data:`METRICS`."""
    lines = text.splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith('"ID"'))
    gradient = True
    for row in csv.DictReader(lines[first:]):
        name = row["Kernel Name"]
        if MARK in name:
            gradient = False
        elif row["ID"]:  # the line of units has none
            figures = {key: float(row[of].replace(",", "")) for key, of in METRICS.items()}
            yield {"name": name, "kind": _kind(name) if gradient else "update", **figures}


def extend(shallow: list[dict[str, Any]], deep: list[dict[str, Any]], layers: int) -> dict[str, Any]:
    """Sums by kind of a model of so many layers from the kernels of one with one layer and one with two."""
    kinds = {kernel["kind"] for kernel in deep}
    sums = {
        kind: [_sums([kernel for kernel in kernels if kernel["kind"] == kind]) for kernels in (shallow, deep)]
        for kind in kinds
    }
    whole = {
        kind: {key: one[key] + (layers - 1) * (two[key] - one[key]) for key in two} for kind, (one, two) in sums.items()
    }
    everything = {key: sum(row[key] for row in whole.values()) for key in next(iter(whole.values()))}
    ordered = sorted(whole.items(), key=lambda item: -item[1]["us"])
    return {
        "layers": layers,
        "kinds": {kind: _shares(row) for kind, row in ordered},
        "all": _shares(everything),
        "layers_1": shallow,
        "layers_2": deep,
    }


def _sums(kernels: list[dict[str, Any]]) -> dict[str, float]:
    """Launches, and microseconds: of all, and as if each part of the device alone had been at work."""
    busy = {key: sum(kernel[key] * kernel["ns"] for kernel in kernels) / 1e5 for key in METRICS if key != "ns"}
    return {"launches": len(kernels), "us": sum(kernel["ns"] for kernel in kernels) / 1e3, **busy}


def _shares(row: dict[str, float]) -> dict[str, float]:
    shares = {key: 100 * row[key] / max(row["us"], 1e-9) for key in METRICS if key != "ns"}
    return {"launches": row["launches"], "us": row["us"], "filled": row["multiprocessors"], **shares}


def _kind(name: str) -> str:
    return OURS.get(name) or next((kind for kind, marks in KINDS if any(mark in name for mark in marks)), "other")


def markdown(found: dict[str, Any]) -> str:
    """A table of every kind of every model."""
    lines = [
        "| model | kernels | launches | µs alone | multiprocessors at work | tensor cores | memory | µs filled |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for model, one in found.items():
        for kind, row in (*one["kinds"].items(), ("all", one["all"])):
            shares = " | ".join(f"{row[key]:.0f} %" for key in ("multiprocessors", "tensor_cores", "memory"))
            lines.append(
                f"| {model} | {kind} | {row['launches']} | {row['us']:,.0f} | {shares} | {row['filled']:,.0f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
