"""Is it right on this device? Compiled against eager, run against run, lane against lane."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from enginelib.plan import Plan, Row, forget, schedule
from enginelib.shapes import Shape, build, sequences
from ttft_bench.engine.finetune import Engine, Settings
from ttft_bench.engine.lanes import Lane, open_lanes
from ttft_bench.engine.model import state_hash

_LANES = 4
_STEPS = 12
#: Precision -> how far losses may be off, and updates, relative to their norm. A lost gradient is off by 1.
LIMITS = {"fp32": (1e-4, 1e-2), "tf32": (5e-3, 0.1), "bf16": (2e-2, 0.2)}


def check(plan: Plan, shape: Shape) -> Iterator[Row]:
    """Losses and final weights of compiled steps, relative to eager fp32, norm-wise; equal bits of runs and lanes.

    Weights are also compared as updates (final minus first), which hides nothing behind their size.

    Raises:
        ArithmeticError: after the last row, where any was wrong.
    """
    wrong: list[str] = []
    # Of different lengths, but of one bucket: one compilation for each precision.
    lengths = [shape.tokens - 40, shape.tokens - 10, shape.tokens - 1]
    items = sequences(shape, lengths * 10, plan.device)
    exact = _run(Engine(build(shape, plan.device, "fp32"), Settings(), backend="eager"), items)
    start = _weights(build(shape, plan.device, "fp32"))
    for precision in dict.fromkeys(("fp32", plan.precision)):
        forget()
        model = build(shape, plan.device, precision)
        before = state_hash(model.module)
        lanes = open_lanes(model, Settings(), _LANES, backend="compiled", options=plan.options)
        first = _in_lane(lanes[0], items)
        again = _in_lane(lanes[0], items)
        for lane in lanes[1:]:
            _in_lane(lane, items)
        with ThreadPoolExecutor(_LANES) as pool:
            together = list(pool.map(lambda lane: _in_lane(lane, items), lanes))
        difference, update = first["weights"] - exact["weights"], exact["weights"] - start
        row = {
            "who": "ours",
            "what": "check",
            "model": shape.name,
            "precision": precision,
            "backend": lanes[0].engine.backend.name,
            "loss_difference": max(abs(a - b) / abs(b) for a, b in zip(first["losses"], exact["losses"], strict=True)),
            "weight_difference": float(difference.norm() / exact["weights"].norm()),
            "update_difference": float(difference.norm() / update.norm()),
            "restored": state_hash(model.module) == before,
            "same_again": first["hash"] == again["hash"],
            "lanes_equal": all(found["hash"] == first["hash"] for found in together),
        }
        wrong += [f"{shape.name} {precision}: {fault}" for fault in find_faults(row)]
        yield row
        del lanes, model
    forget()
    if wrong:
        raise ArithmeticError("; ".join(wrong))


def find_faults(row: Row) -> list[str]:
    """What is wrong in a row of :func:`check`, in words."""
    (loss, most_loss), (update, most_update) = zip(
        (row["loss_difference"], row["update_difference"]), LIMITS[row["precision"]], strict=True
    )
    right = {
        f"losses are off by {loss:.1e}, more than {most_loss:g}": loss <= most_loss,
        f"updates are off by {update:.1e}, more than {most_update:g}": update <= most_update,
        "the weights were not restored": row["restored"],
        "the same prompt again gave other bits": row["same_again"],
        "another lane gave other bits": row["lanes_equal"],
    }
    return [fault for fault, passed in right.items() if not passed]


def _in_lane(lane: Lane, items: dict[int, torch.Tensor]) -> dict[str, Any]:
    with lane.active() as engine:
        return _run(engine, items)


def _run(engine: Engine, items: dict[int, torch.Tensor]) -> dict[str, Any]:
    """The first steps of a prompt with reuse."""
    with engine.adaptation() as adaptation:
        adaptation.advance(schedule(2)[:_STEPS], items)
        return {
            "losses": list(adaptation.losses),
            "weights": _weights(engine.model),
            "hash": state_hash(engine.model.module),
        }


def _weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().double().cpu().reshape(-1) for p in model.module.parameters()])
