"""Bits per byte: ``-sum log2 p(scored tokens) / UTF-8 bytes of exactly those tokens``.

Three protocols, never mixed in one table:

``window``
    the first ``max_tokens`` tokens (start token included), cut back to a character end; the denominator
    is the bytes of the text up to there, less any unscored head.
``document``
    rolling windows over the whole text, every token scored once; the denominator is the bytes of the
    whole text, less any unscored head.
``prefix``
    the second half of the text alone, the first half being context; the denominator is the bytes of the tokens from
    the cut on (:func:`ttft_bench.prefix.cut_position`). Every window keeps at least half its length as context. A
    token that reaches over the cut is context too.

A head stays unscored only where the tokenizer offers no token to start from (see
:func:`ttft_bench.engine.model.resolve_start_token`).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from ttft_bench.engine.choices import PROTOCOLS, check_choice
from ttft_bench.engine.model import LanguageModel
from ttft_bench.errors import ModelError, NonFiniteError, UsageError
from ttft_bench.prefix import cut_position


@dataclass(frozen=True)
class Window:
    """One forward pass: ``tokens`` as input but the last; the final ``scored`` tokens are predicted."""

    tokens: torch.Tensor
    scored: int


@dataclass(frozen=True)
class Target:
    """A text made ready for scoring, tokenised outside any clock.

    Attributes:
        windows: forward passes.
        n_bytes: UTF-8 bytes of exactly the scored tokens.
        n_tokens: number of scored tokens.
    """

    windows: tuple[Window, ...]
    n_bytes: int
    n_tokens: int


def tokenize(model: LanguageModel, text: str) -> tuple[list[int], list[tuple[int, int]] | None]:
    """Token ids of ``text`` without special tokens, and their character spans if the tokenizer has them.

    Raises:
        ModelError: the model has no such token; on a GPU reading it would end the process's use of the device.
    """
    fast = bool(getattr(model.tokenizer, "is_fast", False))
    # `verbose=False`: texts longer than the context are cut here, so the tokenizer need not warn.
    encoded = model.tokenizer(
        text,
        add_special_tokens=False,
        return_offsets_mapping=fast,
        return_attention_mask=False,
        verbose=False,
    )
    offsets = [(int(a), int(b)) for a, b in encoded["offset_mapping"]] if fast else None
    tokens = [int(token) for token in encoded["input_ids"]]
    known = model.module.get_input_embeddings().num_embeddings
    if max(tokens, default=0) >= known:
        raise ModelError(
            f"the tokenizer of {model.name} makes token {max(tokens)} of this text, and the model knows 0..{known - 1} "
            "only: give a model with its own tokenizer, or take such texts out of the corpus"
        )
    return tokens, offsets


def training_sequence(model: LanguageModel, text: str, max_tokens: int) -> torch.Tensor:
    """Token ids to train on, shape (T,), 2 <= T <= max_tokens: the start token, then the text, cut.

    Raises:
        ModelError: fewer than two tokens, so that nothing can be predicted.
    """
    tokens, _ = tokenize(model, text)
    head = [] if model.start_id is None else [model.start_id]
    sequence = (head + tokens)[: _context(model, max_tokens)]
    if len(sequence) < 2:
        raise ModelError(
            f"a document of {len(tokens)} token(s) cannot be trained on without a start token: "
            "remove it from the corpus or set start_token"
        )
    return torch.tensor(sequence, dtype=torch.int64, device=model.device)


def training_chunks(model: LanguageModel, text: str, max_tokens: int) -> list[torch.Tensor]:
    """All of a text as sequences to train on, each like one of :func:`training_sequence`, none overlapping.

    TTT-NN (arXiv 2305.18466) takes one step per chunk of a long neighbour. A last chunk in which nothing could be
    predicted is left out.

    Raises:
        ModelError: fewer than two tokens in all.
    """
    tokens, _ = tokenize(model, text)
    head = [] if model.start_id is None else [model.start_id]
    room = _context(model, max_tokens) - len(head)
    parts = [head + tokens[start : start + room] for start in range(0, len(tokens), room)]
    chunks = [torch.tensor(part, dtype=torch.int64, device=model.device) for part in parts if len(part) >= 2]
    return chunks or [training_sequence(model, text, max_tokens)]


def make_target(model: LanguageModel, text: str, max_tokens: int, protocol: str = "window") -> Target:
    """Prepare ``text`` for :func:`score`.

    Args:
        model: gives tokenizer, start token and context length.
        text: not empty.
        max_tokens: longest input, start token included, at least 2.
        protocol: ``window``, ``document`` or ``prefix``.

    Raises:
        ModelError: nothing can be scored, or the tokenizer cannot tell where a token ends.
        UsageError: unknown protocol.
    """
    check_choice("protocol", protocol, PROTOCOLS)
    length = _context(model, max_tokens)
    tokens, offsets = tokenize(model, text)
    head = 0 if model.start_id is not None else _first_boundary(model, text, tokens, offsets, start=1)
    room = length if model.start_id is None else length - 1
    end = len(tokens)
    if protocol == "prefix":
        head = max(head, _cut(model, text, tokens, offsets))
    if protocol == "window" and end > room:
        end = _last_boundary(model, text, tokens, offsets, room)
    if end <= head:
        raise ModelError(f"a text of {len(tokens)} token(s) leaves nothing to score at max_tokens={max_tokens}")
    scored_text = text[
        _character_end(model, text, tokens, offsets, head) : _character_end(model, text, tokens, offsets, end)
    ]
    prefix = [] if model.start_id is None else [model.start_id]
    cut = _with_context if protocol == "prefix" else _rolling
    windows = cut(prefix + tokens[:end], first=head + len(prefix), length=length)
    return Target(
        windows=tuple(Window(torch.tensor(part, device=model.device), scored) for part, scored in windows),
        n_bytes=len(scored_text.encode()),
        n_tokens=end - head,
    )


def score(model: LanguageModel, target: Target, context: Any = None) -> float:
    """Bits per byte of ``target`` under the model's present weights, in fp32 (or tf32) whatever steps are taken in.

    Args:
        model: the model.
        target: of :func:`make_target`.
        context: what :func:`ttft_bench.engine.context.read_context` kept of the documents before it.

    Raises:
        NonFiniteError: the model's probabilities are NaN or zero.
    """
    module = model.module
    total = torch.zeros((), dtype=torch.float64, device=model.device)
    with torch.inference_mode():
        for window in target.windows:
            # Without autocast: rounding weights to bf16 would throw away much of what small steps changed in them.
            inputs = window.tokens[None, :-1]
            if context is None:
                logits = module(input_ids=inputs, use_cache=False).logits
            else:  # a copy: every window is read after the same context
                logits = module(input_ids=inputs, past_key_values=deepcopy(context), use_cache=True).logits
            scored = logits[0, -window.scored :].float()
            total += cross_entropy(scored, window.tokens[-window.scored :], reduction="sum").double()
    bits = float(total) / math.log(2)
    if not math.isfinite(bits):
        raise NonFiniteError(f"the prompt's log-likelihood is {-bits}: the model diverged")
    return bits / target.n_bytes


def _rolling(tokens: list[int], first: int, length: int) -> list[tuple[list[int], int]]:
    """Cut into windows of at most ``length`` inputs; each token from ``first`` on is predicted once.

    As in the rolling log-likelihood of evaluation harnesses: every window predicts as many new tokens as
    fit, the last one reaches back for as much context as it can hold.
    """
    windows = []
    done = first
    while done < len(tokens):
        # The first window's inputs start at token 0; a later one predicts `length` new tokens.
        end = min(len(tokens), length + 1 if done == first else done + length)
        begin = max(0, end - 1 - length)
        windows.append((tokens[begin:end], end - done))
        done = end
    return windows


def _with_context(tokens: list[int], first: int, length: int) -> list[tuple[list[int], int]]:
    """Like :func:`_rolling`, but every window's first ``length // 2`` inputs at least were scored before, or are head.

    A text that fits is one window.
    """
    windows = []
    done = first
    while done < len(tokens):
        end = min(len(tokens), max(done + max(1, length // 2), length + 1))
        windows.append((tokens[max(0, end - 1 - length) : end], end - done))
        done = end
    return windows


def _cut(model: LanguageModel, text: str, tokens: list[int], offsets: Any) -> int:
    """The first token of the second half: it begins at the cut, or is the first one after it."""
    cut = cut_position(text)

    def end_of(count: int) -> int:
        if count == 0:
            return 0
        return int(offsets[count - 1][1]) if offsets is not None else len(_decode(model, tokens[:count]))

    start = bisect_left(range(len(tokens) + 1), cut, key=end_of)
    return _first_boundary(model, text, tokens, offsets, start=start) if start else 0


def _context(model: LanguageModel, max_tokens: int) -> int:
    if max_tokens < 2:
        raise UsageError(f"max_tokens must be at least 2, got {max_tokens}")
    return min(max_tokens, model.max_positions)


def _is_boundary(offsets: list[tuple[int, int]], index: int) -> bool:
    """Whether a character ends between tokens ``index - 1`` and ``index``.

    Byte-level tokenizers split one character over several tokens and give each of them its whole span.
    """
    return index == len(offsets) or offsets[index][0] >= offsets[index - 1][1]


def _last_boundary(model: LanguageModel, text: str, tokens: list[int], offsets: Any, limit: int) -> int:
    index = limit
    while index > 0 and not _ends_character(model, text, tokens, offsets, index):
        index -= 1
    return index


def _first_boundary(model: LanguageModel, text: str, tokens: list[int], offsets: Any, start: int) -> int:
    index = start
    while index < len(tokens) and not _ends_character(model, text, tokens, offsets, index):
        index += 1
    return index


def _ends_character(model: LanguageModel, text: str, tokens: list[int], offsets: Any, index: int) -> bool:
    if offsets is not None:
        return _is_boundary(offsets, index)
    return text.startswith(_decode(model, tokens[:index]))


def _character_end(model: LanguageModel, text: str, tokens: list[int], offsets: Any, index: int) -> int:
    """Number of characters that the first ``index`` tokens cover."""
    if index == 0:
        return 0
    if index == len(tokens):
        return len(text)
    if offsets is not None:
        return int(offsets[index - 1][1])
    decoded = _decode(model, tokens[:index])
    if not text.startswith(decoded):
        raise ModelError(
            f"the tokenizer of {model.name} gives no character offsets and does not decode to the text it "
            "encoded, so bits per byte of a cut text cannot be computed: use a fast tokenizer or the "
            "document protocol"
        )
    return len(decoded)


def _decode(model: LanguageModel, tokens: list[int]) -> str:
    return str(model.tokenizer.decode(tokens, clean_up_tokenization_spaces=False))


__all__ = ["Target", "Window", "make_target", "score", "tokenize", "training_chunks", "training_sequence"]
