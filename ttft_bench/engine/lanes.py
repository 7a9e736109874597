"""Lanes: several prompts at once on one device, each with its own weights, optimizer, graphs and stream.

One prompt's small kernels leave a large GPU half idle; another prompt's fill the gaps. A lane computes what
it would compute alone: lanes share nothing but the device. They are for quality runs: latency is measured with one.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from ttft_bench.engine.finetune import Engine
from ttft_bench.engine.model import LanguageModel
from ttft_bench.engine.settings import Settings, check_lanes
from ttft_bench.errors import UsageError


@dataclass
class Lane:
    """An engine and the stream that it works on (None where there are no streams)."""

    engine: Engine
    stream: Any = None

    @contextmanager
    def active(self) -> Iterator[Engine]:
        """Make this thread work on the lane's stream."""
        with on_stream(self.stream):
            yield self.engine


@contextmanager
def on_stream(stream: Any) -> Iterator[None]:
    """Queue this thread's work on ``stream``; None leaves things as they are."""
    if stream is None:
        yield
        return
    with torch.cuda.stream(stream):
        yield


def most_lanes(device: torch.device) -> int | None:
    """How many lanes a device can have; None for no limit.

    PyTorch deals out 32 CUDA streams of a priority in turn, and a lane takes three: two lanes must not share one.
    """
    return 10 if device.type == "cuda" else None


def open_lanes(
    model: LanguageModel,
    settings: Settings | None = None,
    count: int = 1,
    *,
    backend: str = "auto",
    options: Any = None,
    like: Engine | None = None,
) -> list[Lane]:
    """Make ``count`` lanes; the first works on ``model`` itself, the others on copies of it.

    Args:
        model: what to finetune.
        settings: how.
        count: number of lanes.
        backend: as for :class:`ttft_bench.engine.finetune.Engine`.
        options: as there.
        like: as there.

    Warns:
        RuntimeWarning: results of several lanes may differ in their last digits from those of one.

    Raises:
        UsageError: fewer than one, more than a GPU has streams for, or dropout in several (masks are drawn from one
            generator per device).
    """
    check_lanes(count, settings is not None and settings.dropout)
    most = most_lanes(model.device)
    if most is not None and count > most:
        raise UsageError(f"lanes must be at most {most} on a GPU, got {count}: it has no more streams, and 4 fill it")
    # Copied before any engine moves the weights.
    models = [model] + [replace(model, module=copy.deepcopy(model.module)) for _ in range(count - 1)]
    lanes: list[Lane] = []
    for one in models:
        several = count > 1 and model.device.type == "cuda"
        stream = torch.cuda.Stream(model.device) if several else None  # type: ignore[no-untyped-call]
        if stream is not None:
            stream.wait_stream(torch.cuda.current_stream(model.device))
        with on_stream(stream):
            first = lanes[0].engine if lanes else like
            lanes.append(Lane(Engine(one, settings, backend=backend, options=options, like=first), stream))
    if count > 1 and not all(lane.engine.backend.repeatable for lane in lanes):
        name = lanes[0].engine.backend.name
        warnings.warn(
            f"{count} lanes on the {name} backend: its attention kernels add up in no fixed order, so the last digits "
            "of a row may differ from those of one lane",
            RuntimeWarning,
            stacklevel=2,
        )
    return lanes


__all__ = ["Lane", "most_lanes", "on_stream", "open_lanes"]
