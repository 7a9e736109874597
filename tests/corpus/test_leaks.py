"""Near-duplicates: what counts as one, that none is missed or invented, and that work is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_embedder import HashingEmbedder
from ttft_bench.corpus import leaks
from ttft_bench.corpus.documents import Corpus, Document
from ttft_bench.corpus.leaks import find_leaks, shingles
from ttft_bench.corpus.pools import build_pools
from ttft_bench.corpus.substring import longest_common_substring
from ttft_bench.errors import CorpusError


def _words(seed: int, n: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [f"w{number}" for number in rng.integers(0, 5000, n)]


def _text(seed: int, n: int = 120) -> str:
    return " ".join(_words(seed, n))


COPIED, EDITED, INSIDE, FRESH = (Document(_text(seed)) for seed in range(4))
_edited = _words(1, 120)
_edited[30] = _edited[90] = "changed"
TRAIN = tuple(
    Document(text)
    for text in (
        *(_text(seed) for seed in range(100, 140)),
        COPIED.text.replace(" ", "\n  ", 7),
        " ".join(_edited).upper().replace(" ", ", "),
        f"{_text(50, 700)} {INSIDE.text} {_text(51, 900)}",
    )
)
CORPUS = Corpus("leaky", TRAIN, (COPIED, EDITED, INSIDE, FRESH))


def test_every_prompt_gets_the_stratum_it_deserves() -> None:
    found = find_leaks(CORPUS).by_prompt
    assert [leak.stratum for leak in found.values()] == ["exact", "near", "near", "clean"]
    assert [leak.duplicates.tolist() for leak in found.values()] == [[40], [41], [42], []]
    assert [found[prompt.key].closest for prompt in CORPUS.prompts[:3]] == [40, 41, 42]
    copied, edited, inside, fresh = found.values()
    assert (copied.containment, copied.jaccard) == (1.0, 1.0) and copied.common_chars == copied.prompt_chars
    # Two changed words spoil five shingles each, of 116.
    assert edited.containment == pytest.approx(106 / 116)
    assert edited.common_chars is not None and edited.common_chars < edited.prompt_chars
    assert inside.containment == 1.0 and (inside.jaccard or 1) < 0.1, "a prompt inside a long document is a leak"
    assert inside.common_chars == inside.prompt_chars
    assert fresh.containment is None or fresh.containment < leaks.NEAR


def test_strata_are_relative_to_the_corpus() -> None:
    less = Corpus("less", TRAIN[:40], CORPUS.prompts)
    assert {leak.stratum for leak in find_leaks(less).by_prompt.values()} == {"clean"}


@given(st.integers(0, 10_000), st.floats(0, 1))
@settings(max_examples=25)
def test_candidates_are_what_an_exact_count_finds(seed: int, kept: float) -> None:
    """The signatures may propose too much; well above the threshold they must not miss (at 0.5, one in 2,000 is)."""
    words = _words(seed, 150)
    cut = int(kept * 150)
    other = words[:cut] + _words(seed + 1, 150 - cut)
    mine, theirs = set(shingles(" ".join(words))), set(shingles(" ".join(other)))
    share = len(mine & theirs) / len(mine)
    corpus = Corpus("pair", (Document(" ".join(other) + " end"),), (Document(" ".join(words)),))
    (leak,) = find_leaks(corpus).by_prompt.values()
    if share > 0.7:
        assert leak.stratum == "near" and leak.containment == share
    assert (leak.stratum == "clean") == ((leak.containment or 0) < leaks.NEAR)


def test_short_and_wordless_texts_are_one_shingle() -> None:
    assert shingles("Two words") == ["two words"]
    assert shingles(" !?  ;") == ["!? ;"]
    assert shingles("a b c d e f") == ["a b c d e", "b c d e f"]
    corpus = Corpus("short", (Document("two  WORDS"), Document("other")), (Document("two words"), Document("!!!")))
    assert [leak.stratum for leak in find_leaks(corpus).by_prompt.values()] == ["near", "clean"]


@given(st.text("ab ", max_size=40), st.text("abc", max_size=40))
def test_longest_common_substring(first: str, second: str) -> None:
    lengths = [
        end - start
        for start in range(len(first))
        for end in range(start + 1, len(first) + 1)
        if first[start:end] in second
    ]
    assert longest_common_substring(first, second) == max(lengths, default=0)


def test_longest_common_substring_of_long_texts() -> None:
    common = "ünï " * 500
    assert longest_common_substring("x" * 3000 + common + "y", "z" + common + "x" * 100) == len(common)


def test_found_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    first = find_leaks(CORPUS, tmp_path, on_progress=lambda done, total: steps.append(done))
    assert steps[-1] == len(TRAIN)

    def forbidden(*_: object) -> None:
        raise AssertionError("looked again")

    monkeypatch.setattr(leaks, "_search", forbidden)
    again = find_leaks(CORPUS, tmp_path)
    for key, leak in first.by_prompt.items():
        other = again.by_prompt[key]
        assert (leak.stratum, leak.containment, leak.common_chars) == (
            other.stratum,
            other.containment,
            other.common_chars,
        )
        np.testing.assert_array_equal(leak.duplicates, other.duplicates)


def test_stopped_work_goes_on_after_the_last_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = find_leaks(CORPUS)
    monkeypatch.setattr(leaks, "BLOCK", 10)
    real, calls = leaks._scan, []

    def stopping(*arguments: object) -> object:
        calls.append(arguments[2])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(leaks, "_scan", stopping)
    with pytest.raises(KeyboardInterrupt):
        find_leaks(CORPUS, tmp_path)
    found = find_leaks(CORPUS, tmp_path)
    assert calls == [0, 10, 20, 20, 30, 40]
    assert [leak.duplicates.tolist() for leak in found.by_prompt.values()] == [
        leak.duplicates.tolist() for leak in whole.by_prompt.values()
    ]
    assert not list((tmp_path / "leaks").glob("*part*"))


@pytest.mark.parametrize("source", ["embedding", "random"])
def test_near_duplicates_are_kept_out_of_pools(source: str, tmp_path: Path) -> None:
    found = find_leaks(CORPUS)
    plain = build_pools(CORPUS, HashingEmbedder(), k=43, source=source, cache=tmp_path)
    pools = build_pools(CORPUS, HashingEmbedder(), k=43, source=source, leaks=found, cache=tmp_path)
    assert pools.excluded == leaks.PARAMETERS and plain.excluded == "" and pools.hash != plain.hash
    for prompt in CORPUS.prompts:
        out = set(found.by_prompt[prompt.key].duplicates.tolist())
        assert set(pools.pools[prompt.key].ids.tolist()) == set(range(43)) - out
    assert 41 in plain.pools[EDITED.key].ids and 40 not in plain.pools[COPIED.key].ids
    assert plain.pools[FRESH.key].hash == pools.pools[FRESH.key].hash, "nothing to exclude: the same pool"
    assert build_pools(CORPUS, HashingEmbedder(), k=43, source=source, leaks=found, cache=tmp_path).cached


def test_a_corpus_of_nothing_but_duplicates_is_refused() -> None:
    corpus = Corpus("echo", (Document(EDITED.text + " more"),), (EDITED,))
    with pytest.raises(CorpusError, match="equals or nearly equals every training document"):
        build_pools(corpus, HashingEmbedder(), leaks=find_leaks(corpus))
