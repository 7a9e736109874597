"""Short notes over ten words, and a prompt that shares some with them."""

from __future__ import annotations

import numpy as np

from tiny import WORDS

PROMPT = "alpha beta gamma delta alpha beta"


def notes(count: int = 20) -> list[str]:
    rng = np.random.default_rng(3)
    return [f"note {i}: " + " ".join(rng.choice(WORDS[:10], size=8)) for i in range(count)]
