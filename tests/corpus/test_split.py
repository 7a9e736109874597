from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ttft_bench.corpus.documents import PROMPT, TRAIN, Document
from ttft_bench.corpus.split import hold_out, separate


def corpus(groups: int, size: int, subset: str = "a") -> list[Document]:
    return [
        Document(f"{subset} {group} {item}", subset, f"g{group}") for group in range(groups) for item in range(size)
    ]


def sides(documents: list[Document]) -> tuple[list[Document], list[Document]]:
    return [d for d in documents if d.split == TRAIN], [d for d in documents if d.split == PROMPT]


def test_whole_groups_are_held_out_up_to_a_fifth() -> None:
    train, prompts = sides(hold_out(corpus(20, 10), prompts_per_subset=50, prompts_per_group=4))
    held = {document.group for document in prompts}
    assert len(held) == 4
    assert held.isdisjoint(document.group for document in train)
    assert set(Counter(document.group for document in prompts).values()) == {4}
    assert len(train) == 160


def test_prompts_are_spread_over_groups() -> None:
    _, prompts = sides(hold_out(corpus(100, 10), prompts_per_subset=10, prompts_per_group=4))
    assert set(Counter(document.group for document in prompts).values()) == {2}


def test_the_split_depends_on_content_and_seed_not_on_order() -> None:
    documents = corpus(30, 4)
    one = {(d.text, d.split) for d in hold_out(documents)}
    assert one == {(d.text, d.split) for d in hold_out(documents[::-1])}
    assert one != {(d.text, d.split) for d in hold_out(documents, seed=1)}


def test_a_group_shared_by_subsets_is_held_out_of_all() -> None:
    train, prompts = sides(hold_out(corpus(30, 3, "a") + corpus(30, 3, "b")))
    assert {d.group for d in train}.isdisjoint(d.group for d in prompts)
    assert {d.subset for d in prompts} == {"a", "b"}


def test_a_group_that_is_most_of_a_subset_stays_in_training() -> None:
    documents = corpus(10, 1) + [Document(f"big {n}", "a", "big") for n in range(100)]
    for seed in range(20):
        assert all(d.group != "big" for d in sides(hold_out(documents, seed=seed))[1])


def test_documents_without_group_are_alone_and_their_copies_are_siblings() -> None:
    documents = [Document(f"text {n % 20}") for n in range(40)]
    train, prompts = sides(hold_out(documents))
    assert prompts
    assert {d.text for d in train}.isdisjoint(d.text for d in prompts)


@pytest.mark.parametrize(("groups", "held"), [(1, 0), (2, 1), (4, 1), (10, 2)])
def test_small_corpora(groups: int, held: int) -> None:
    assert len({d.group for d in sides(hold_out(corpus(groups, 2)))[1]}) == held


@given(
    st.lists(
        st.builds(
            Document,
            st.sampled_from("abcdefgh"),
            st.sampled_from("xy"),
            st.sampled_from(["", "1", "2", "3", "4"]),
        ),
        max_size=40,
    ),
    st.integers(0, 3),
)
def test_no_group_or_text_straddles(documents: list[Document], seed: int) -> None:
    train, prompts = sides(hold_out(documents, seed=seed))
    assert {d.sibling_key for d in train}.isdisjoint(d.sibling_key for d in prompts)
    assert {d.text for d in train}.isdisjoint(d.text for d in prompts)


def test_separate_mends_a_split_that_leaks() -> None:
    documents = [
        Document("p", group="1", split=PROMPT),
        Document("sibling", group="1", split=TRAIN),
        Document("p", group="2", split=TRAIN),
        Document("fine", group="2", split=TRAIN),
        Document("p", group="3", split=PROMPT),
    ]
    train, prompts, left_out = separate(documents)
    assert ([d.text for d in train], [d.text for d in prompts], left_out) == (["fine"], ["p"], 3)
