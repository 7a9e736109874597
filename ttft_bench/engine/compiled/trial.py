"""Whether a compiled step does what the module itself does: its loss, and the gradient of every weight.

What a compiler gets wrong it gets wrong without a word, as a gradient of zero or of something else. So every step that
was built is run once beside the module's own, before it is used for anything.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
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
#: The least that the gradient of every weight may be off from the module's own in fp32, by norms.
_GRADIENT = {"fp32": 1e-2, "tf32": 0.05, "bf16": 0.1}
#: In half precision, how many times what the module's own pass is off where it is off most, and never more than so
#: much: a gradient that is lost is off by 1. Trained models have a few activations that dwarf all others, and their
#: rounding is part of what reaches a norm's weights: of SmolLM2, on the tokens here, 0.06 to 0.12, and twice as much in
#: one pass as in the next with weights moved by a ten-thousandth.
_NOISE, _MOST = 3.0, 0.5
#: A single weight's gradient may be so many times as far off as in the module's own pass: some are all rounding.
_OWN = 4.0
#: Elements of a gradient that its rounding is measured on, at most.
_SAMPLE = 1 << 14
#: What any weight's gradient may be off by relative to an average one's; and from where on it counts as noisy or not.
_SMALL, _LARGE = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 1e-2}, 0.1
#: Tokens of a row whose gradient is compared: memory and time of an uncompiled backward pass grow with them.
TRIAL_TOKENS = 128


def trial_tokens(model: LanguageModel, tokens: torch.Tensor) -> torch.Tensor:
    """Tokens in the shape of ``tokens`` (inputs and labels, int64, (2, rows, length)), the first of a row with labels.

    They are drawn, the same every time: on a text, what is compared would depend on which came first, and one that
    repeats itself has gradients that are rounding for the most part.
    """
    _, rows, length = tokens.shape
    generator = torch.Generator().manual_seed(0)
    table = model.module.get_input_embeddings()
    drawn = torch.randint(table.weight.shape[0], (rows, length + 1), generator=generator)
    if getattr(table, "padding_idx", None) is not None:  # the module's own pass has no gradient for its row
        drawn[drawn == table.padding_idx] = (table.padding_idx + 1) % table.weight.shape[0]
    drawn = drawn.to(tokens.device)
    short = torch.stack((drawn[:, :-1], drawn[:, 1:]))
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
    """Compare what a compiled step on :func:`trial_tokens` left in ``gradients`` with the module's own.

    The module's own are those in fp32; in half precision a second pass of its own tells how far rounding alone may
    lead away from them. One parameter at a time: they are never all in memory. Where there is no memory for a pass,
    a warning says that nothing was compared: a compiled step needs less.

    Args:
        model: whose trained parameters are those of ``gradients``.
        tokens: int64, (2, rows, length).
        gradients: parameter -> the gradient of the loss.

    Raises:
        ArithmeticError: one of them is another; names the worst.
    """
    off: dict[nn.Parameter, torch.Tensor] = {}
    samples: dict[nn.Parameter, torch.Tensor] = {}
    rounded: dict[nn.Parameter, torch.Tensor] = {}

    def compare(parameter: nn.Parameter, exact: torch.Tensor) -> None:
        off[parameter] = _norms(gradients[parameter], exact)
        samples[parameter] = _sample(exact)

    def measure(parameter: nn.Parameter, own: torch.Tensor) -> None:
        rounded[parameter] = _norms(_sample(own), samples[parameter])

    short = tokens[:, :, :TRIAL_TOKENS]
    try:
        _backward(model, short, gradients, compare, exact=True)
        if model.precision == "bf16":
            _backward(model, short, gradients, measure, exact=False)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        words = (
            "no memory was left to compare the gradients of a compiled step with the model's own: it is used as it is"
        )
        warnings.warn(words, RuntimeWarning, stacklevel=2)
        return
    pairs = torch.stack(list(off.values())).tolist()
    own: list[tuple[list[float], int]] = []
    if rounded:
        norms = torch.stack([rounded[parameter] for parameter in off]).tolist()
        own = [(pair, samples[parameter].numel()) for pair, parameter in zip(norms, off, strict=True)]
    limits = _limits(model.precision, pairs, [parameter.numel() for parameter in off], own)
    excess = [
        difference / limit if math.isfinite(difference) else math.inf
        for (difference, _), limit in zip(pairs, limits, strict=True)
    ]
    worst = max(range(len(excess)), key=excess.__getitem__)
    if not excess[worst] <= 1:
        names = {id(parameter): name for name, parameter in model.module.named_parameters()}
        name, (difference, norm) = names[id(list(off)[worst])], pairs[worst]
        share = difference / norm if norm else math.inf
        raise ArithmeticError(f"its gradient of {name} differs from the model's own by {share:.2g} of its norm")


def _limits(
    precision: str,
    pairs: Sequence[Sequence[float]],
    counts: Sequence[int],
    own: Sequence[tuple[Sequence[float], int]],
) -> list[float]:
    """How far the gradient of each weight may be off.

    Args:
        precision: of the compiled step.
        pairs: per weight, how far it is off, and the norm of the exact gradient.
        counts: per weight, its elements.
        own: per weight the same of the module's own half-precision pass, on a sample, and the sample's elements;
            empty in fp32.
    """
    average = math.sqrt(sum(norm**2 for _, norm in pairs) / sum(counts))
    least, small = _GRADIENT[precision], _SMALL[precision] * average
    noise = [difference / norm for (difference, norm), size in own if norm > _LARGE * average * math.sqrt(size)]
    share = min(max([least, *(_NOISE * one for one in noise if math.isfinite(one))]), _MOST)
    limits = [share * norm + small * math.sqrt(count) for (_, norm), count in zip(pairs, counts, strict=True)]
    for index, ((difference, _), size) in enumerate(own):
        if math.isfinite(difference):
            limits[index] = max(limits[index], _OWN * difference * math.sqrt(counts[index] / size))
    return [max(limit, 1e-30) for limit in limits]


def _backward(
    model: LanguageModel,
    tokens: torch.Tensor,
    parameters: Iterable[nn.Parameter],
    use: Callable[[nn.Parameter, torch.Tensor], None],
    exact: bool,
) -> None:
    """The module's own backward pass; ``use`` is given each parameter's gradient, which is then dropped."""

    def pass_on(parameter: nn.Parameter) -> None:
        gradient, parameter.grad = parameter.grad, None
        assert gradient is not None
        use(parameter, gradient)

    kept = {parameter: parameter.grad for parameter in parameters}
    for parameter in kept:
        parameter.grad = None
    hooks: list[Any] = [
        parameter.register_post_accumulate_grad_hook(pass_on)  # type: ignore[no-untyped-call]
        for parameter in kept
    ]
    try:
        with torch.enable_grad():
            _loss(model, tokens, exact).backward()  # type: ignore[no-untyped-call]
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, own in kept.items():
            parameter.grad = own


def _norms(found: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    """Of the difference, and of ``exact``."""
    return torch.stack([vector_norm(found - exact), vector_norm(exact)])


def _sample(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.flatten()[:: -(-gradient.numel() // _SAMPLE)].clone()


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


def _loss(model: LanguageModel, tokens: torch.Tensor, exact: bool = False) -> torch.Tensor:
    with nullcontext() if exact else model.autocast():
        logits = model.module(input_ids=tokens[0], use_cache=False).logits
    return token_loss(logits, tokens[1])


__all__ = ["TRIAL_TOKENS", "check_gradients", "check_loss", "filled", "trial_tokens"]
