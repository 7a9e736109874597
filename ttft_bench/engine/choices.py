"""The words that the engine's settings may take; no torch here, so that a wrong one is told at once."""

from __future__ import annotations

from ttft_bench.errors import UsageError

GROUPINGS = ("runs", "global")
REUSE_MODES = ("cached", "skip", "scale-lr", "weighted-loss")
ARMS = ("finetune", "none", "in-context", "in-context+finetune")
LONG = ("truncate", "chunk")
BACKENDS = ("auto", "eager", "compiled")
PRECISIONS = ("fp32", "tf32", "bf16")
#: What may be asked for: ``auto`` becomes one of them on the machine that finetunes.
PRECISION_CHOICES = ("auto", *PRECISIONS)
PROTOCOLS = ("window", "document", "prefix")


def check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a word that is none of ``choices``.

    Raises:
        UsageError: naming the setting and what it may be.
    """
    if value not in choices:
        raise UsageError(f"{what} must be one of {', '.join(choices)}, got {value!r}")


__all__ = [
    "ARMS",
    "BACKENDS",
    "GROUPINGS",
    "LONG",
    "PRECISIONS",
    "PRECISION_CHOICES",
    "PROTOCOLS",
    "REUSE_MODES",
    "check_choice",
]
