"""Test-time finetuning as a tool: adapt a model to one prompt, use it, and get the untouched model back.

``Lab`` (``lab.py``) puts the other rooms together: the corpus finds, a strategy selects, the engine finetunes, scores
and restores. ``given.py`` reads and checks what a caller gives, ``gate.py`` who may use a Lab when. ``planning.py``
turns a prompt into a schedule and ``training.py`` takes its steps. ``tuned.py`` is what a ``with`` block gets,
``chosen.py`` the picks with their reasons, ``timing.py`` what took how long and how many steps a time budget has room
for, ``notes.py`` what else is worth knowing. ``adapt.py`` and ``shown.py`` are what ``ttft-bench adapt`` does and
prints.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttft_bench.lab.chosen import Chosen, Pick
    from ttft_bench.lab.lab import Lab
    from ttft_bench.lab.timing import Timing
    from ttft_bench.lab.tuned import Tuned

#: Public names and their files; loaded on first use, so that what a caller gives is checked before torch is imported.
_PUBLIC = {"Chosen": "chosen", "Lab": "lab", "Pick": "chosen", "Timing": "timing", "Tuned": "tuned"}

__all__ = ["Chosen", "Lab", "Pick", "Timing", "Tuned"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
