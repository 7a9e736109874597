"""Seeds as hashes of coordinates: no global generator is read or touched.

A draw depends on *where* it stands (prompt, seed, strategy), never on what ran before it, so the order
of prompts, the list of strategies and the number of workers change no result.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np


def derive_seed(*coordinates: str | int | float) -> int:
    """Hash coordinates to a seed in ``[0, 2**63)``.

    Args:
        *coordinates: what the draw may depend on, in a fixed order, e.g.
            ``("finetune", prompt_id, seed)``. Leave out what it must not depend on.
    """
    text = json.dumps(list(coordinates), separators=(",", ":"), ensure_ascii=True)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def derive_rng(*coordinates: str | int | float) -> np.random.Generator:
    """Make a NumPy generator seeded by :func:`derive_seed`."""
    return np.random.default_rng(derive_seed(*coordinates))


__all__ = ["derive_rng", "derive_seed"]
