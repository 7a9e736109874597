"""What the headers of a model's weight files say: names and shapes, and so whether a trainable set fits. No torch.

A run is refused by this before anything is spent on it, and a dry run as the run would be.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from math import prod
from pathlib import Path

from ttft_bench.engine.settings import Last, LoRA, parse_trainable
from ttft_bench.errors import ModelError, UsageError

_BLOCK = re.compile(r"(?P<parent>.+?)\.(?P<number>\d+)\.")


def weight_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight in a folder of safetensors, from the headers alone.

    Raises:
        ModelError: a file is not in that format.
    """
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(str(file), framework="numpy") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - not a dict
                    shapes[name] = tuple(tensors.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{file} is not a whole safetensors file ({error}): fetch or copy it again") from error
    return shapes


def check_trainable(spec: str, source: str | Path) -> None:
    """Refuse a trainable set that the model cannot have; :func:`ttft_bench.engine.trainable.select_trainable` would.

    Args:
        spec: see :mod:`ttft_bench.engine.settings`.
        source: folder of the model; of a hub id nothing is known before it is loaded.

    Raises:
        UsageError: more blocks than there are, or no layer of the names given.
        ModelError: peft is missing.
        SpecError: it is no trainable set.
    """
    chosen, folder = parse_trainable(spec), Path(source)
    if isinstance(chosen, LoRA) and find_spec("peft") is None:
        raise ModelError(needs_peft(spec))
    if not folder.is_dir() or not isinstance(chosen, Last | LoRA):
        return
    shapes = weight_shapes(folder)
    if isinstance(chosen, Last):
        blocks = _count_blocks(shapes)
        if 0 < blocks < chosen.k:
            raise UsageError(f"{spec}: {_class_name(folder)} has {blocks} blocks")
    elif chosen.targets != "all-linear":
        layers = {name.removesuffix(".weight") for name in shapes if name.endswith(".weight")}
        wanted = tuple(f".{target}" for target in chosen.targets.split("+"))
        if not any(f".{layer}".endswith(wanted) for layer in layers):
            inside = [layer for layer in layers if _BLOCK.match(layer) and len(shapes[f"{layer}.weight"]) == 2]
            there = sorted({layer.rpartition(".")[2] for layer in inside})
            raise UsageError(f"{spec}: no layer of {_class_name(folder)} fits (it has: {', '.join(there)})")


def needs_peft(spec: str) -> str:
    """The error of adapters without the library that makes them."""
    return f"the trainable set {spec!r} needs peft: pip install 'ttft-bench[lora]'"


def _count_blocks(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Length of the numbered list that holds most weights; 0 if there is none."""
    size: Counter[str] = Counter()
    numbers: dict[str, set[str]] = {}
    for name, shape in shapes.items():
        # The outermost list: experts are numbered within a block.
        if found := _BLOCK.match(name):
            size[found["parent"]] += prod(shape)
            numbers.setdefault(found["parent"], set()).add(found["number"])
    return len(numbers[size.most_common(1)[0][0]]) if size else 0


def _class_name(folder: Path) -> str:
    """The model's class as its configuration names it; else the folder."""
    try:
        names = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or []
    except (OSError, ValueError, AttributeError):
        names = []
    return str(names[0]) if names else folder.name


__all__ = ["check_trainable", "needs_peft", "weight_shapes"]
