"""What the compiled backend does, switch by switch: the benchmark measures each one alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ttft_bench.engine.choices import check_choice

ATTENTION = ("auto", "flash", "cudnn", "model")


@dataclass(frozen=True)
class Options:
    """Switches; the defaults are what a sweep uses.

    Attributes:
        shadow: with bf16, keep bf16 copies of the matrix weights, written by the optimizer, instead of
            casting them on every forward pass.
        split: embed outside the compiled part and multiply with a head of our own, padded to a multiple of
            64 rows; else take the module as it is.
        attention: ``auto`` leaves the choice among the kernels without a mask to PyTorch, ``flash`` and
            ``cudnn`` insist on one, ``model`` keeps what the module does.
        compile: use torch.compile.
        graphs: capture CUDA graphs (on a CUDA device).
        inductor: settings of the compiler, as (name, value) pairs, for trying them out.
    """

    shadow: bool = True
    split: bool = True
    attention: str = "auto"
    compile: bool = True
    graphs: bool = True
    inductor: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        check_choice("attention", self.attention, ATTENTION)


__all__ = ["ATTENTION", "Options"]
