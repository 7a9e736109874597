"""Using the weights that are in place: bits per byte of a text, and its continuation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from ttft_bench.draws import drawing
from ttft_bench.engine.model import LanguageModel
from ttft_bench.engine.score import make_target, score, tokenize
from ttft_bench.errors import UsageError
from ttft_bench.lab.chosen import Chosen
from ttft_bench.lab.gate import Pass
from ttft_bench.lab.timing import Timing
from ttft_bench.seeds import derive_seed


class Tuned:
    """A model adapted to one prompt, for the block of ``with lab.adapted(prompt) as tuned`` and its thread.

    What it knows of the adaptation stays readable afterwards: ``prompt``, ``selection``, ``timing`` and ``notes``. What
    needs the weights does not: it raises :class:`ttft_bench.errors.LabError` after the block, and in another thread.

    Attributes:
        prompt: what was adapted to.
        selection: what was picked, and why.
        timing: what took how long.
        notes: what is worth knowing, e.g. that a copy of the prompt was left out.
    """

    def __init__(
        self,
        prompt: str,
        selection: Chosen,
        timing: Timing,
        notes: tuple[str, ...],
        model: LanguageModel,
        max_tokens: int,
        protocol: str,
        allowed: Pass,
    ) -> None:
        self.prompt = prompt
        self.selection = selection
        self.timing = timing
        self.notes = notes
        self._model = model
        self._max_tokens = max_tokens
        self._protocol = protocol
        self._allowed = allowed

    def bits_per_byte(self, text: str, protocol: str | None = None) -> float:
        """Bits per byte of a text under the adapted weights; see :mod:`ttft_bench.engine.score`.

        Args:
            text: any; the prompt itself is what the benchmark scores.
            protocol: window | document | prefix; the Lab's if not given.

        Raises:
            LabError: the block is over, or another thread asks.
            ModelError: nothing can be scored.
            UsageError: unknown protocol.
        """
        self._allowed.check("bits_per_byte")
        return bits_per_byte(self._model, text, self._max_tokens, protocol or self._protocol)

    def generate(
        self,
        max_new_tokens: int = 64,
        text: str | None = None,
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> str:
        """Continue the prompt, or ``text``, under the adapted weights.

        Args:
            max_new_tokens: at most so many tokens; fewer where the model ends its text.
            text: what is continued; the prompt if not given. Of one that is too long for the model, the end is read.
            temperature: 0 takes the likeliest token each time; above, all tokens may be drawn. The model's own settings
                of generation (penalties, a limit to the likeliest tokens) play no part.
            top_p: draw from the likeliest tokens that have this probability together.
            seed: of the draws; the global generators are left as found.

        Returns:
            The continuation alone.

        Raises:
            LabError: the block is over, or another thread asks.
            UsageError: a setting cannot be.
        """
        self._allowed.check("generate")
        return generate(self._model, self.prompt if text is None else text, max_new_tokens, temperature, top_p, seed)

    @property
    def module(self) -> Any:
        """The adapted ``transformers`` module itself; do not keep it, its weights change back.

        Raises:
            LabError: the block is over, or another thread asks.
        """
        self._allowed.check("module")
        return self._model.module


def bits_per_byte(model: LanguageModel, text: str, max_tokens: int, protocol: str) -> float:
    """Bits per byte of a text under the present weights."""
    return score(model, make_target(model, text, max_tokens, protocol))


def generate(
    model: LanguageModel, text: str, max_new_tokens: int, temperature: float = 0.0, top_p: float = 1.0, seed: int = 0
) -> str:
    """Continue a text under the present weights; see :meth:`Tuned.generate`. Where it draws, one thread at a time."""
    if max_new_tokens < 1:
        raise UsageError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    if not 0 <= temperature < float("inf"):
        raise UsageError(f"temperature must be a finite number of at least 0, got {temperature}")
    if not 0 < top_p <= 1:
        raise UsageError(f"top_p must be above 0 and at most 1, got {top_p}")
    head = [] if model.start_id is None else [model.start_id]
    room = model.max_positions - max_new_tokens - len(head)
    if room < 1:
        raise UsageError(
            f"max_new_tokens {max_new_tokens} leaves no room for a text before it: {model.name} takes "
            f"{model.max_positions} tokens in all"
        )
    tokens = head + tokenize(model, text)[0][-room:]
    if not tokens:
        raise UsageError("there is nothing to continue: give a text")
    sequence = torch.tensor([tokens], dtype=torch.int64, device=model.device)
    # A model may know several tokens that end a text, more than its tokenizer does.
    ends = getattr(model.module.generation_config, "eos_token_id", None)
    ends = model.tokenizer.eos_token_id if ends is None else ends
    padding = model.tokenizer.pad_token_id or (ends[0] if isinstance(ends, list) else ends)
    drawn = temperature > 0
    # The library's default would draw from the 50 likeliest tokens.
    draws: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "top_k": 0} if drawn else {}
    rules = {
        "max_new_tokens": max_new_tokens,
        "do_sample": drawn,
        "pad_token_id": padding,
        "eos_token_id": ends,
        **draws,
    }
    seeded = drawing(derive_seed("generate", seed), model.device) if drawn else nullcontext()
    with seeded, _governed_by(model.module, rules) as config:
        written = model.module.generate(sequence, attention_mask=torch.ones_like(sequence), generation_config=config)
    return str(model.tokenizer.decode(written[0, len(tokens) :], skip_special_tokens=True))


@contextmanager
def _governed_by(module: Any, rules: dict[str, Any]) -> Iterator[Any]:
    """Let these rules alone govern ``generate``: what they leave open, it would fill in from the module's own."""
    from transformers import GenerationConfig

    own, config = module.generation_config, GenerationConfig(**rules)
    module.generation_config = config
    try:
        yield config
    finally:
        module.generation_config = own


__all__ = ["Tuned", "bits_per_byte", "generate"]
