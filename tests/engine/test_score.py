from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tiny import write_model, write_tokenizer
from ttft_bench.engine.model import load_model, resolve_start_token, wrap_model
from ttft_bench.engine.score import make_target, score, tokenize, training_sequence
from ttft_bench.errors import ModelError, UsageError
from ttft_bench.prefix import halves

# Special tokens written out are one token each: here, a token is a byte.
TEXTS = st.text(min_size=1, max_size=60).filter(lambda t: (t.isprintable() or "\n" in t) and "<|" not in t)


@pytest.fixture(scope="module")
def model(tiny_model_dir):
    return load_model(tiny_model_dir, device="cpu")


def reference_bits(model, text, n_tokens, context):
    """Bits of the first tokens, one forward pass per token, float64 log-softmax."""
    tokens = [model.start_id, *tokenize(model, text)[0]]
    bits = 0.0
    for index in range(1, n_tokens + 1):
        begin = max(0, index - context)
        with torch.no_grad():
            logits = model.module(input_ids=torch.tensor([tokens[begin:index]])).logits[0, -1].double()
        bits -= float(torch.log_softmax(logits, -1)[tokens[index]]) / math.log(2)
    return bits


def test_a_short_text_is_scored_whole_by_both_protocols(model):
    text = "a short text, naïve"
    window, document = (make_target(model, text, 64, protocol) for protocol in ("window", "document"))
    assert window.n_bytes == document.n_bytes == len(text.encode())
    assert score(model, window) == score(model, document)
    expected = reference_bits(model, text, window.n_tokens, 64) / len(text.encode())
    assert score(model, window) == pytest.approx(expected, rel=1e-5)


def test_a_uniform_model_costs_its_vocabulary(tiny_model_dir):
    model = load_model(tiny_model_dir, device="cpu")
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.zero_()
    # One token per byte, 257 tokens: log2(257) bits per byte, whatever the text and protocol.
    for text in ("plain", "ünïcödé 你好", "x" * 500):
        for protocol in ("window", "document"):
            assert score(model, make_target(model, text, 32, protocol)) == pytest.approx(math.log2(257), rel=1e-6)


@given(TEXTS, st.integers(4, 40))
@settings(max_examples=60)
def test_document_protocol_scores_every_token_once(model, text, max_tokens):
    target = make_target(model, text, max_tokens, "document")
    n_tokens = len(tokenize(model, text)[0])
    assert target.n_tokens == n_tokens == sum(window.scored for window in target.windows)
    assert target.n_bytes == len(text.encode())
    assert all(len(window.tokens) - 1 <= max_tokens for window in target.windows)
    assert all(window.scored <= len(window.tokens) - 1 for window in target.windows)


@given(TEXTS, st.integers(6, 40))
@settings(max_examples=60)
def test_window_bytes_are_exactly_those_of_the_scored_tokens(model, text, max_tokens):
    target = make_target(model, text, max_tokens)
    # One token is one byte here, so bytes and tokens must agree, also where a character spans tokens.
    assert target.n_bytes == target.n_tokens <= max_tokens - 1
    assert text.encode()[: target.n_bytes].decode("utf-8") == text[: len(text.encode()[: target.n_bytes].decode())]


def test_window_is_cut_back_to_a_character_end(model):
    text = "ab你好"  # 2 + 3 + 3 bytes
    assert make_target(model, text, 1 + 7).n_bytes == 5
    assert make_target(model, text, 1 + 8).n_bytes == 8
    with pytest.raises(ModelError, match="nothing to score"):
        make_target(model, "你好", 1 + 2)


def test_a_longer_text_does_not_dilute_its_bits(model):
    """The published mistake: the first window's bits over the bytes of the whole text."""
    text = "some words that go on. " * 40
    assert make_target(model, text, 64).n_bytes == 63
    assert score(model, make_target(model, text, 64)) > 5


def test_long_documents_see_as_much_context_as_fits(model):
    text = "".join(chr(97 + (i * 7) % 26) for i in range(50))
    target = make_target(model, text, 16, "document")
    tokens = [model.start_id, *tokenize(model, text)[0]]
    done = 1
    for window in target.windows:
        end = done + window.scored
        assert window.tokens.tolist() == tokens[max(0, end - 17) : end]
        done = end
    assert done == len(tokens)


def test_the_cut_is_at_the_end_of_a_word_after_the_middle():
    assert halves("one two three four") == ("one two three", " four")
    assert halves("aa bbbb") == ("aa bbbb"[:3], "bbbb"), "no word ends between the middle and three quarters"
    assert halves("你好你好") == ("你好", "你好")
    assert halves("word  \n  and more") == ("word  \n  and", " more")
    assert halves("x") == ("", "x") and halves("") == ("", "")


@given(TEXTS)
@settings(max_examples=40)
def test_halves_are_the_whole_and_neither_is_small(text):
    first, second = halves(text)
    assert first + second == text
    assert len(text) // 2 <= len(first) <= max(3 * len(text) // 4, 1)


@given(TEXTS, st.integers(4, 40))
@settings(max_examples=60)
def test_prefix_scores_exactly_the_second_half(model, text, max_tokens):
    target = make_target(model, text, max_tokens, "prefix")
    second = halves(text)[1]
    # A token is a byte, so the cut falls between two of them.
    assert target.n_bytes == target.n_tokens == len(second.encode()) == sum(w.scored for w in target.windows)
    tokens = [model.start_id, *tokenize(model, text)[0]]
    done = len(tokens) - target.n_tokens
    for window in target.windows:
        end = done + window.scored
        context = len(window.tokens) - window.scored
        assert window.tokens.tolist() == tokens[end - len(window.tokens) : end]
        assert len(window.tokens) - 1 <= max_tokens and context >= min(done, max_tokens // 2)
        done = end
    assert done == len(tokens)


def test_prefix_reads_the_first_half_but_does_not_count_it(model):
    text = "some words that go on. and others that come after them"
    first, second = halves(text)
    whole, head = (make_target(model, part, 128, "document") for part in (text, first))
    bits = score(model, whole) * whole.n_bytes - score(model, head) * head.n_bytes
    assert score(model, make_target(model, text, 128, "prefix")) == pytest.approx(bits / len(second.encode()), rel=1e-4)


def test_prefix_with_a_tokenizer_without_offsets_or_start(model, without_start):
    slow = wrap_model(model.module, SlowTokenizer(model.tokenizer), name="slow")
    for text in ("plain words and more of them", "ünïcödé 你好 and on 你你", "你"):
        fast, other = (make_target(m, text, 16, "prefix") for m in (model, slow))
        assert (fast.n_bytes, fast.n_tokens) == (other.n_bytes, other.n_tokens)
    assert make_target(without_start, "abcdef", 64, "prefix").n_bytes == 3
    assert make_target(without_start, "ab", 64, "prefix").n_bytes == 1


def test_training_sequence_starts_with_the_start_token_and_is_cut(model):
    sequence = training_sequence(model, "x" * 100, 10)
    assert len(sequence) == 10 and int(sequence[0]) == model.start_id
    assert len(training_sequence(model, "x", 10)) == 2


def test_max_tokens_never_exceeds_the_context(tmp_path):
    model = load_model(write_model(tmp_path / "m", positions=16), device="cpu")
    assert len(training_sequence(model, "x" * 100, 1024)) == 16
    score(model, make_target(model, "x" * 100, 1024))
    score(model, make_target(model, "x" * 100, 1024, "document"))


@pytest.fixture
def without_start(model, tmp_path):
    write_tokenizer(tmp_path, bos=None, specials=())
    return wrap_model(model.module, AutoTokenizer.from_pretrained(tmp_path), name="no-bos")


def test_without_bos_the_head_is_neither_scored_nor_counted(without_start):
    assert without_start.start_token is None
    target = make_target(without_start, "abcdef", 64)
    assert (target.n_tokens, target.n_bytes) == (5, 5)
    assert make_target(without_start, "你b", 64).n_bytes == 1, "the head ends at a character end"
    with pytest.raises(ModelError, match=r"1 token"):
        training_sequence(without_start, "a", 64)


class SlowTokenizer:
    """A tokenizer without offsets, as slow tokenizers are."""

    is_fast = False
    bos_token = eos_token = "<|endoftext|>"

    def __init__(self, inner, clean=True):
        self.inner, self.clean = inner, clean

    def __call__(self, text, return_offsets_mapping=False, **kwargs):
        assert not return_offsets_mapping, "slow tokenizers have no offsets"
        return self.inner(text, **kwargs)

    def get_vocab(self):
        return self.inner.get_vocab()

    def decode(self, tokens, **kwargs):
        text = self.inner.decode(tokens, **kwargs)
        return text if self.clean else text.upper() + "?"


def test_a_tokenizer_without_offsets_gives_the_same_bytes(model):
    slow = wrap_model(model.module, SlowTokenizer(model.tokenizer), name="slow")
    for text in ("plain words and more of them", "ünïcödé 你好 and on"):
        for limit in (6, 9, 12, 64):
            assert make_target(slow, text, limit).n_bytes == make_target(model, text, limit).n_bytes


def test_a_tokenizer_that_can_not_say_where_tokens_end_is_refused(model):
    odd = wrap_model(model.module, SlowTokenizer(model.tokenizer, clean=False), name="odd")
    assert make_target(odd, "short", 64).n_bytes == 5, "a whole text needs no offsets"
    with pytest.raises(ModelError):
        make_target(odd, "a longer text than fits", 8)


def test_start_token_choices(tmp_path):
    write_tokenizer(tmp_path, bos="<|im_start|>", specials=("<|im_start|>", "<|endoftext|>"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert resolve_start_token(tokenizer) == ("<|endoftext|>", 257), "a chat marker opens no document"
    assert resolve_start_token(tokenizer, "none") == (None, None)
    assert resolve_start_token(tokenizer, "<|im_start|>") == ("<|im_start|>", 256)
    with pytest.raises(ModelError, match="not in the tokenizer"):
        resolve_start_token(tokenizer, "<nope>")


def test_impossible_requests(model):
    with pytest.raises(UsageError, match="protocol"):
        make_target(model, "x", 10, "sideways")
    with pytest.raises(UsageError, match="max_tokens"):
        make_target(model, "x", 1)
