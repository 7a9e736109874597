"""Whether a compiled step does what the module itself does: its loss, and the gradient of every weight.

What a compiler gets wrong it gets wrong without a word, as a gradient of zero or of something else. So every step that
was built is run once beside the module's own, before it is used for anything.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.linalg import vector_norm

from ttft_bench.engine.compiled.code import token_loss
from ttft_bench.engine.compiled.flat import FlatGroup
from ttft_bench.engine.eager import IGNORED
from ttft_bench.engine.guards import is_out_of_memory
from ttft_bench.engine.model import LanguageModel

#: How far the loss of a compiled step may be from the module's own, relative to it.
_LOSS = {"fp32": 1e-4, "tf32": 5e-3, "bf16": 2e-2}
#: The same for the gradient of every weight, by norms. SmolLM2, real and random, is off by 0.016 at most in bf16.
_GRADIENT = {"fp32": 1e-2, "tf32": 0.05, "bf16": 0.1}
#: A weight whose gradient is as small as that, relative to an average one's, may be off by as much: some are zero but
#: for rounding, as those of keys' biases.
_SMALL = 0.05
#: Tokens of a row whose gradient is compared: memory and time of an uncompiled backward pass grow with them.
TRIAL_TOKENS = 128


def shorten(tokens: torch.Tensor) -> torch.Tensor:
    """``tokens`` (inputs and labels, int64, shape (2, rows, length)) with the labels of the first ones only."""
    short = tokens.clone()
    short[1, :, TRIAL_TOKENS:] = IGNORED
    return short


def check_loss(model: LanguageModel, tokens: torch.Tensor, loss: torch.Tensor) -> None:
    """Compare the ``loss`` of a compiled step on ``tokens`` with the module's own.

    Raises:
        ArithmeticError: it is another.
    """
    with torch.no_grad():
        ours, theirs = float(loss), float(_loss(model, tokens))
    if not abs(ours - theirs) <= _LOSS[model.precision] * max(1.0, abs(theirs)):
        raise ArithmeticError(f"its loss is {ours:.6g} where the model's own is {theirs:.6g}")


def check_gradients(model: LanguageModel, tokens: torch.Tensor, gradients: Mapping[nn.Parameter, torch.Tensor]) -> None:
    """Compare what a compiled step on ``tokens`` made of :func:`shorten` left in ``gradients`` with the module's own.

    One parameter at a time: the module's own gradients are never all in memory. Where there is no memory for its pass,
    a warning says that nothing was compared: a compiled step needs less.

    Args:
        model: whose trained parameters are those of ``gradients``.
        tokens: int64, (2, rows, length).
        gradients: parameter -> the gradient of the loss.

    Raises:
        ArithmeticError: one of them is another; names the worst.
    """
    found: dict[nn.Parameter, torch.Tensor] = {}

    def compare(parameter: nn.Parameter) -> None:
        exact, parameter.grad = parameter.grad, None
        assert exact is not None
        found[parameter] = torch.stack([vector_norm(gradients[parameter] - exact), vector_norm(exact)])

    kept = {parameter: parameter.grad for parameter in gradients}
    for parameter in kept:
        parameter.grad = None
    hooks: list[Any] = [
        parameter.register_post_accumulate_grad_hook(compare)  # type: ignore[no-untyped-call]
        for parameter in gradients
    ]
    try:
        with torch.enable_grad():
            _loss(model, tokens[:, :, :TRIAL_TOKENS]).backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        words = (
            "no memory was left to compare the gradients of a compiled step with the model's own: it is used as it is"
        )
        warnings.warn(words, RuntimeWarning, stacklevel=2)
        return
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, own in kept.items():
            parameter.grad = own
    counts = [parameter.numel() for parameter in found]
    pairs = torch.stack(list(found.values())).tolist()
    average = math.sqrt(sum(norm**2 for _, norm in pairs) / sum(counts))
    off = [
        difference / max(norm + _SMALL * average * math.sqrt(count), 1e-30)
        for (difference, norm), count in zip(pairs, counts, strict=True)
    ]
    worst = max(range(len(off)), key=lambda index: off[index] if math.isfinite(off[index]) else math.inf)
    if not off[worst] <= _GRADIENT[model.precision]:
        names = {id(parameter): name for name, parameter in model.module.named_parameters()}
        name, (difference, norm) = names[id(list(found)[worst])], pairs[worst]
        share = difference / norm if norm else math.inf
        raise ArithmeticError(f"its gradient of {name} differs from the model's own by {share:.2g} of its norm")


@contextmanager
def filled(groups: Sequence[FlatGroup]) -> Iterator[None]:
    """Inside, trained matrices of zeros hold small numbers: zeros hide the gradients of what they multiply.

    Those of low-rank adapters begin as such.
    """
    stacks = [(group, parameter) for group in groups for stack in group.stacks for parameter in stack]
    zeros = [(group, parameter) for group, parameter in stacks if parameter.dim() > 1 and not parameter.any()]
    touched = {id(group): group for group, _ in zeros}.values()
    kept = [(tensor, tensor.clone()) for group in touched for tensor in (group.weights, group.shadow)]
    try:
        with torch.no_grad():
            for _, parameter in zeros:
                numbers = torch.linspace(-0.02, 0.02, parameter.numel(), device=parameter.device)
                parameter.copy_(numbers.view_as(parameter))
            for group in touched:
                group.shadow.copy_(group.weights)
        yield
    finally:
        for tensor, copy in kept:
            tensor.copy_(copy)


def _loss(model: LanguageModel, tokens: torch.Tensor) -> torch.Tensor:
    with model.autocast():
        logits = model.module(input_ids=tokens[0], use_cache=False).logits
    return token_loss(logits, tokens[1])


__all__ = ["TRIAL_TOKENS", "check_gradients", "check_loss", "filled", "shorten"]
