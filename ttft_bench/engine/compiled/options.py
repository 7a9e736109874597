"""What the compiled backend does, switch by switch: the benchmark measures each one alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ttft_bench.engine.choices import check_choice
from ttft_bench.errors import UsageError

ATTENTION = ("auto", "flex", "sdpa", "flash", "cudnn", "math", "model")


@dataclass(frozen=True)
class Options:
    """Switches; the defaults are what a sweep uses.

    Attributes:
        shadow: with bf16, keep bf16 copies of the matrix weights, written by the optimizer, instead of
            casting them on every forward pass.
        dither: round shadows at random instead of to the nearest, so that small steps are not lost.
        split: embed outside the compiled part and multiply with a head of our own, padded to a multiple of
            64 rows; else take the module as it is.
        stack: make one product of layers that read the same tensor.
        heads: go from the stacked product of queries, keys and values to rotated heads in one kernel
            (:mod:`ttft_bench.engine.compiled.heads`); needs ``stack``.
        attention: ``flex`` has the compiler write the kernels, ``sdpa`` leaves the choice among PyTorch's own
            to PyTorch, ``flash``, ``cudnn`` and ``math`` insist on one of those, ``model`` keeps what the module
            does. ``auto`` is sdpa on a CPU; on a GPU, where most of PyTorch's add in whatever order thread blocks
            finish, it is flex where that can be compiled, else math: the same bits every time.
        compile: use torch.compile.
        direct: put gradients of linear layers straight into the flat buffer.
        norms: put gradients of norms' weights there too; needs ``direct``.
        kernels: compute the gradients of direct layers and norms in kernels that leave room for what is at work beside
            them (:mod:`ttft_bench.engine.compiled.kernels`), where code is compiled for a GPU.
        chain: take small products that the backward pass waits for from there too; needs ``kernels``.
        aside: compute gradients of direct layers and norms on a stream of their own, beside the rest of the backward
            pass; needs ``direct``.
        beside: begin the optimizer step of a block as soon as its gradients are there; needs ``direct``.
        narrow: share of the multiprocessors that an update beside the backward pass keeps to; 0 for no such limit, as
            without ``compile`` or ``graphs``.
        graphs: capture CUDA graphs (on a CUDA device).
        priorities: let a lane's optimizer step, and gradients that are computed aside, wait wherever the rest of
            another lane's forward or backward pass wants the device.
        inductor: settings of the compiler, as (name, value) pairs, for trying them out.
    """

    shadow: bool = True
    dither: bool = True
    split: bool = True
    stack: bool = True
    heads: bool = True
    attention: str = "auto"
    compile: bool = True
    direct: bool = True
    norms: bool = True
    kernels: bool = True
    chain: bool = True
    aside: bool = True
    beside: bool = True
    narrow: float = 0.36
    graphs: bool = True
    priorities: bool = True
    inductor: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        check_choice("attention", self.attention, ATTENTION)
        if not 0 <= self.narrow <= 1:
            raise UsageError(f"narrow must be a share of the multiprocessors, from 0 to 1, got {self.narrow}")


__all__ = ["ATTENTION", "Options"]
