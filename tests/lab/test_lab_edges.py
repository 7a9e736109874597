"""Prompts, corpora, settings and strategies at the edge: refused with a remedy, or done with a word."""

from __future__ import annotations

import numpy as np
import pytest

import ttft_bench as ttft
from notes import PROMPT, notes
from ttft_bench.engine.model import state_hash
from ttft_bench.engine.score import make_target, score
from ttft_bench.errors import (
    BrokenPluginError,
    CorpusError,
    LabError,
    ModelError,
    SpecError,
    UnknownPluginError,
    UsageError,
)
from ttft_bench.selector import Selection, Selector


def test_a_copy_of_the_prompt_is_told_and_not_trained_on(make_lab):
    copies = ["  alpha beta\ngamma delta alpha  beta", PROMPT]
    lab = make_lab(corpus=[copies[0], *notes(5), copies[1]], strategy="knn", budget=3, pool_k=3)
    with (
        pytest.warns(UserWarning, match=r"leak: .* in 2 documents: kept out of training"),
        lab.adapted(PROMPT) as tuned,
    ):
        pass
    assert tuned.selection.n_candidates == 3, "the next nearest take the places of copies"
    assert not {0, 6} & set(tuned.selection.order)
    assert any(line.startswith("leak") for line in tuned.notes)
    with pytest.raises(CorpusError, match="equals every document"), make_lab(corpus=copies).adapted(PROMPT):
        pass


def test_near_duplicates_are_told_and_kept_out_if_asked_for(make_lab):
    near = f"again: {PROMPT}"
    settings = {"corpus": [near, *notes(5)], "strategy": "knn", "budget": 3}
    with (
        pytest.warns(UserWarning, match=r"near-duplicates .*1 of 3 documents"),
        make_lab(**settings).adapted(PROMPT) as tuned,
    ):
        assert 0 in tuned.selection.order
    lab = make_lab(**settings, exclude_near_duplicates=True)
    with pytest.warns(UserWarning, match="or nearly, in 1 document"), lab.adapted(PROMPT) as tuned:
        assert 0 not in tuned.selection.order and len(tuned.selection.order) == 3
    with pytest.raises(CorpusError, match="or nearly equals every document"):
        make_lab(corpus=[near], exclude_near_duplicates=True).adapted(PROMPT).__enter__()


def test_notes_go_to_the_one_who_asked_for_them(make_lab):
    heard: list[str] = []
    with make_lab(corpus=[PROMPT, *notes(3)], strategy="knn", budget=9, note=heard.append).adapted(PROMPT) as tuned:
        pass
    assert tuned.notes == tuple(heard[-2:])
    assert "budget 9 capped at the pool of 3" in tuned.notes[1], "knn repeats nothing"


def test_small_corpora_and_strategies_that_repeat(make_lab):
    with make_lab(corpus=["one note alone"], budget=5, reuse=5).adapted(PROMPT) as tuned:
        assert tuned.selection.order == (0,) * 5 and tuned.selection.n_candidates == 1
    assert (tuned.timing.steps, tuned.timing.fresh_steps) == (5, 1)


@pytest.mark.parametrize("prompt", ["", " \n\t"])
def test_an_empty_prompt_is_refused(lab, prompt):
    with pytest.raises(UsageError, match="prompt is empty"), lab.adapted(prompt):
        pass


def test_what_is_no_text_is_refused(lab):
    with pytest.raises(UsageError, match=r"the prompt holds a lone surrogate \(character 2\)"), lab.adapted("ab\udcff"):
        pass
    with pytest.raises(CorpusError, match="document 2 holds a lone surrogate"):
        lab.add(["fine", "\udcff"])
    assert len(lab) == 20


def test_a_prompt_beyond_the_context_is_cut_and_that_is_told(lab, tiny_model):
    long = " ".join(notes(20))
    with (
        pytest.warns(UserWarning, match=r"has \d+ tokens; .* first 47 .*protocol document"),
        lab.adapted(long) as tuned,
    ):
        window, document = tuned.bits_per_byte(long), tuned.bits_per_byte(long, "document")
        assert window != document
        assert window == score(tiny_model, make_target(tiny_model, long, 48))
        assert isinstance(tuned.generate(8), str)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"corpus": []}, CorpusError, "corpus is empty"),
        ({"corpus": ["", "  "]}, CorpusError, "corpus is empty"),
        ({"corpus": "no/such/folder"}, CorpusError, "does not exist"),
        ({"corpus": [1]}, UsageError, "document 1 is int"),
        ({"subsets": ["a"]}, UsageError, "subsets"),
        ({"strategy": "sfit"}, UnknownPluginError, "sift"),
        ({"strategy": "sift[lamb=1]"}, SpecError, "lam"),
        ({"strategy": "sift,knn"}, SpecError, "2 strategies"),
        ({"model": "no-such/model at all"}, ModelError, "asset name"),
        ({"embedder": "no such embedder"}, ModelError, "neither an asset"),
        ({"budget": 0}, UsageError, "whole number of steps"),
        ({"budget": True}, UsageError, "whole number of steps"),
        ({"budget": 1, "budget_s": 1.0}, UsageError, "either steps or seconds"),
        ({"budget": None, "budget_s": 0.0}, UsageError, "budget_s"),
        ({"budget": None, "budget_s": float("nan")}, UsageError, "budget_s"),
        ({"reuse": 0}, UsageError, "reuse interval"),
        ({"pool_k": 0}, UsageError, "pool_k"),
        ({"max_tokens": 1}, UsageError, "max_tokens"),
        ({"protocol": "windows"}, UsageError, "protocol"),
        ({"backend": "quick"}, UsageError, "backend"),
        ({"index": "round"}, SpecError, "round"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(make_lab, settings, error, words):
    with pytest.raises(error, match=words):
        make_lab(**settings)


def test_a_slip_is_told_before_anything_is_read(make_lab, monkeypatch):
    monkeypatch.setattr("ttft_bench.lab.lab.read_corpus", lambda *_: pytest.fail("read"))
    with pytest.raises(UnknownPluginError):
        make_lab(strategy="sfit")


class _Leaving(Selector):
    def select(self, problem, rng):
        raise SystemExit("bye")


class _Beyond(Selector):
    def select(self, problem, rng):
        return Selection(np.full(problem.budget, problem.size))


@pytest.mark.parametrize(
    ("kind", "words"), [(_Leaving, "failed on this prompt: SystemExit: bye"), (_Beyond, "outside")]
)
def test_a_strategy_that_misbehaves_costs_its_answer_only(make_lab, tiny_model, monkeypatch, kind, words):
    selector = kind()
    selector.name = "knn"
    before = state_hash(tiny_model.module)
    monkeypatch.setattr("ttft_bench.lab.lab.build_selector", lambda spec: selector)
    lab = make_lab()
    with pytest.raises((BrokenPluginError, ttft.TtftBenchError), match=words), lab.adapted(PROMPT):
        pass
    assert lab.bits_per_byte(PROMPT) > 0 and state_hash(tiny_model.module) == before


def test_one_call_is_for_one_block(lab):
    call = lab.adapted("alpha beta")
    with call as tuned:
        inside = tuned.bits_per_byte("alpha beta")
    with pytest.raises(LabError, match=r"one call is for one block: call adapted\(...\) again"), call:
        pass
    with lab.adapted("alpha beta") as tuned:
        assert tuned.bits_per_byte("alpha beta") == inside


def test_values_of_another_type_are_refused_by_name(lab):
    with pytest.raises(UsageError, match="the prompt is int: give a text"), lab.adapted(5):
        pass
    with pytest.raises(UsageError, match="budget_s must be a finite number of seconds above 0, got 'x'"):
        lab.adapted("alpha", budget_s="x").__enter__()
    with pytest.raises(UsageError, match="documents are NoneType: give a list"):
        lab.add(None)
