"""Decide which documents are prompts: whole groups are held out, so that siblings do not leak.

Groups are held out in the order of a hash of their name, subset by subset, until a subset has its prompts.
The order depends on the group alone, so a group that several subsets share (the module whose code is in one
and whose docstrings are in another) tends to be held out for all of them, and a held-out group is absent
from the training documents of every subset.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from ttft_bench.corpus.documents import PROMPT, TRAIN, Document
from ttft_bench.seeds import derive_seed

#: Prompts held out per subset. Fixed: a smaller request takes a part of them and moves nothing else.
PROMPTS_PER_SUBSET = 50
#: Most prompts from one group, so that no article or module dominates. Half as many are counted on when
#: groups are held out, so that the prompts spread over more groups than would just do.
PROMPTS_PER_GROUP = 4
#: Share of a subset's groups, and largest share of its documents in one group, that may be held out.
HELD_OUT_SHARE = 0.2


def hold_out(
    documents: Sequence[Document],
    *,
    prompts_per_subset: int = PROMPTS_PER_SUBSET,
    prompts_per_group: int = PROMPTS_PER_GROUP,
    seed: int = 0,
) -> list[Document]:
    """Say of every document whether it is a training document or a prompt; what is neither is left out.

    At most a fifth of a subset's groups are held out (but one, if there are two), and never a group with
    more than a fifth of its documents. Documents of held-out groups beyond ``prompts_per_group``, and
    training documents whose text is also a prompt, are left out.

    Args:
        documents: in any order; their own ``split`` is ignored.
        prompts_per_subset: prompts wanted per subset; fewer come back where groups do not suffice.
        prompts_per_group: most prompts from one group.
        seed: changes which groups are held out.

    Returns:
        Documents with their ``split`` set, in the order given.
    """
    by_subset: dict[str, dict[str, list[Document]]] = defaultdict(lambda: defaultdict(list))
    for document in documents:
        by_subset[document.subset][document.sibling_key].append(document)
    held_out: set[str] = set()
    for groups in by_subset.values():
        held_out |= _held_out_groups(groups, prompts_per_subset, prompts_per_group, seed)
    prompts: set[int] = set()
    for groups in by_subset.values():
        ranked: list[tuple[int, Document]] = []
        for name in sorted(held_out & groups.keys(), key=lambda name: _order(name, seed)):
            siblings = sorted(_distinct(groups[name]), key=lambda document: _order(document.key, seed))
            ranked += enumerate(siblings[:prompts_per_group])
        ranked.sort(key=lambda pair: pair[0])  # in turns: the first of every group, then the second of each
        prompts |= {id(document) for _, document in ranked[:prompts_per_subset]}
    prompt_keys = {document.key for document in documents if id(document) in prompts}
    return [
        replace(document, split=PROMPT if id(document) in prompts else TRAIN)
        for document in documents
        if id(document) in prompts or (document.sibling_key not in held_out and document.key not in prompt_keys)
    ]


def separate(documents: Sequence[Document]) -> tuple[list[Document], list[Document], int]:
    """Take the sides apart and keep them apart: training documents, prompts, how many were left out.

    A training document goes if a prompt has its group or text; a prompt goes if an earlier one has its text.
    """
    prompts = _distinct([document for document in documents if document.split == PROMPT])
    groups = {document.sibling_key for document in prompts}
    keys = {document.key for document in prompts}
    train = [
        document
        for document in documents
        if document.split != PROMPT and document.sibling_key not in groups and document.key not in keys
    ]
    return train, prompts, len(documents) - len(train) - len(prompts)


def _held_out_groups(groups: dict[str, list[Document]], wanted: int, per_group: int, seed: int) -> set[str]:
    size = sum(len(siblings) for siblings in groups.values())
    allowed = max(int(len(groups) * HELD_OUT_SHARE), 1 if len(groups) > 1 else 0)
    # A group that is most of the subset stays in training, unless every group is like that.
    small = [name for name, siblings in groups.items() if len(siblings) <= HELD_OUT_SHARE * size]
    candidates = small or list(groups)
    chosen: set[str] = set()
    found = 0
    for name in sorted(candidates, key=lambda name: _order(name, seed)):
        if len(chosen) >= allowed or found >= wanted:
            break
        chosen.add(name)
        found += min(len(_distinct(groups[name])), (per_group + 1) // 2)
    return chosen


def _distinct(documents: Sequence[Document]) -> list[Document]:
    return list({document.key: document for document in reversed(documents)}.values())[::-1]


def _order(name: str, seed: int) -> tuple[int, str]:
    return derive_seed("corpus", "split", seed, name), name


__all__ = ["HELD_OUT_SHARE", "PROMPTS_PER_GROUP", "PROMPTS_PER_SUBSET", "hold_out", "separate"]
