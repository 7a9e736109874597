"""How to finetune, as plain data: optimizer, trainable set, batch. No torch, so that a slip is told at once.

Optimizers and trainable sets are written as strategies are, ``name[key=value]``::

    adam[beta1=0.9,beta2=0.999,eps=1e-8]    adamw[weight_decay=0.01]    sgd[momentum=0.0]
    full    last[k=1]    bias+norm    lora[r=8,alpha=16,targets=q_proj+v_proj]
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from ttft_bench.errors import SpecError, UsageError
from ttft_bench.specs import Spec, fit_parameters, format_spec, nearest, parse_spec


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015), as HullFT and SIFT use it."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise SpecError(f"an optimizer's {name} must be in [0, 1), got {getattr(self, name)}")
        if not self.eps >= 0:
            raise SpecError(f"an optimizer's eps must be at least 0, got {self.eps}")


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), as TTT-NN uses it."""

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least_zero("adamw", "weight_decay", self.weight_decay)


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent."""

    momentum: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise SpecError(f"sgd: momentum must be in [0, 1), got {self.momentum:g}")


@dataclass(frozen=True)
class Full:
    """Every weight."""


@dataclass(frozen=True)
class Last:
    """The last ``k`` blocks, the final norm, and the output head unless it is tied to the input embedding."""

    k: int = 1

    def __post_init__(self) -> None:
        if self.k < 1:
            raise SpecError(f"last: k must be at least 1, got {self.k}")


@dataclass(frozen=True)
class BiasNorm:
    """Biases and the weights of normalisation layers."""


@dataclass(frozen=True)
class LoRA:
    """Low-rank adapters (Hu et al. 2022) of rank ``r``, scaled by ``alpha / r``, on the linear layers whose
    last names are joined by + in ``targets``; ``all-linear`` takes all but the output head.
    """  # noqa: D205 - one sentence

    r: int = 8
    alpha: float = 16.0
    targets: str = "all-linear"

    def __post_init__(self) -> None:
        if self.r < 1 or not self.alpha > 0:
            raise SpecError(f"lora: r must be at least 1 and alpha above 0, got r={self.r}, alpha={self.alpha:g}")


OPTIMIZERS: Mapping[str, type[Any]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}
TRAINABLE: Mapping[str, type[Any]] = {"full": Full, "lora": LoRA, "last": Last, "bias+norm": BiasNorm}


@dataclass(frozen=True)
class Settings:
    """How to finetune.

    Attributes:
        lr: learning rate; a run may give another one.
        optimizer: spec of the optimizer.
        trainable: spec of the weights that are trained.
        clip: largest norm of a gradient, over all trained weights together; None does not clip.
        batch: items that one step trains on, each counting the same.
        dropout: train with the model's dropout on (drawn from a seed of its own); off by default.
    """

    lr: float = 5e-5
    optimizer: str = "adam"
    trainable: str = "full"
    clip: float | None = None
    batch: int = 1
    dropout: bool = False

    def __post_init__(self) -> None:
        check_lr(self.lr)
        if self.clip is not None and not (_is_a(Real, self.clip) and 0 < self.clip < float("inf")):
            raise UsageError(f"clip must be a finite number above 0, got {self.clip}")
        if not (_is_a(Integral, self.batch) and self.batch >= 1):
            raise UsageError(f"batch must be at least 1 and a whole number, got {self.batch}")
        parse_optimizer(self.optimizer)
        parse_trainable(self.trainable)

    def describe(self) -> str:
        """The optimizer as a result row names it."""
        rule = parse_optimizer(self.optimizer)
        parts = []
        if isinstance(rule, Adam):
            parts += [f"betas={rule.beta1:g},{rule.beta2:g}", f"eps={rule.eps:g}"]
        if isinstance(rule, AdamW):
            parts.append(f"weight_decay={rule.weight_decay:g}")
        if isinstance(rule, SGD):
            parts.append(f"momentum={rule.momentum:g}")
        parts += [f"clip={self.clip:g}"] if self.clip is not None else []
        parts += [f"batch={self.batch}"] if self.batch > 1 else []
        parts += ["dropout=on"] if self.dropout else []
        return f"{type(rule).__name__.lower()}[{';'.join(parts)}]"


def _is_a(kind: type, value: object) -> bool:
    """Checked although annotated: who calls from Python may hand in anything."""
    return isinstance(value, kind)


def check_lr(lr: float) -> None:
    """Refuse a learning rate that is not a finite number above 0."""
    if not (_is_a(Real, lr) and 0 < lr < float("inf")):
        raise UsageError(f"lr must be a finite number above 0, got {lr}")


def check_lanes(count: int, dropout: bool) -> None:
    """Refuse fewer than one lane, and several with dropout: masks are drawn from one generator per device."""
    if count < 1:
        raise UsageError(f"lanes must be at least 1, got {count}")
    if count > 1 and dropout:
        raise UsageError("dropout needs one lane: masks of several would depend on who draws first")


def parse_optimizer(text: str) -> Adam | SGD:
    """Read an optimizer's spec.

    Raises:
        SpecError: unknown name or parameter, or a value that cannot be.
    """
    rule: Adam | SGD = _build(parse_spec(text, "optimizer"), OPTIMIZERS, "optimizer")
    return rule


def parse_trainable(text: str) -> Full | LoRA | Last | BiasNorm:
    """Read the spec of a trainable set; for the errors see :func:`parse_optimizer`."""
    chosen: Full | LoRA | Last | BiasNorm = _build(parse_spec(text, "trainable set"), TRAINABLE, "trainable set")
    return chosen


def canonical(text: str, kinds: Mapping[str, type[Any]], what: str) -> str:
    """The spec with its non-default parameters only, sorted: the name under which results are kept."""
    spec = parse_spec(text, what)
    built = _build(spec, kinds, what)
    return format_spec(
        spec.name, {f.name: getattr(built, f.name) for f in fields(built) if getattr(built, f.name) != f.default}
    )


def _build(spec: Spec, kinds: Mapping[str, type[Any]], what: str) -> Any:
    if spec.name not in kinds:
        known = ", ".join(kinds)
        raise SpecError(f"unknown {what} {spec.name!r}{nearest(spec.name, kinds)} (there are: {known})")
    kind = kinds[spec.name]
    return kind(**fit_parameters(spec, inspect.signature(kind).parameters))


def _at_least_zero(name: str, key: str, value: float) -> None:
    if not 0 <= value < float("inf"):
        raise SpecError(f"{name}: {key} must be a finite number of at least 0, got {value:g}")


__all__ = [
    "OPTIMIZERS",
    "SGD",
    "TRAINABLE",
    "Adam",
    "AdamW",
    "BiasNorm",
    "Full",
    "Last",
    "LoRA",
    "Settings",
    "canonical",
    "check_lanes",
    "check_lr",
    "parse_optimizer",
    "parse_trainable",
]
