"""The answer to a question: a word and a sentence that stand on figures, and can come out either way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Answer = Literal["yes", "partly", "no", "not decided"]


@dataclass(frozen=True)
class Verdict:
    """What a question came to, with the figures in words."""

    question: str
    answer: Answer
    sentence: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.question} {self.answer.capitalize()}: {self.sentence}"


__all__ = ["Answer", "Verdict"]
