"""A hub is asked once, before loaders are let at it; what a mistyped name costs is one question."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from ttft_bench.corpus.sentence import load_embedder
from ttft_bench.engine.model import load_tokenizer, model_fingerprint
from ttft_bench.errors import ModelError
from ttft_bench.hub import TIMEOUT_S, ask_hub

Answer = Callable[[type[Exception] | None], list[tuple[str, str | None, float]]]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Answer:
    """A hub that answers every question with an error of the kind given, or knows everything; what it was asked."""
    import huggingface_hub
    import transformers
    from huggingface_hub.errors import HfHubHTTPError

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a loader was let at the hub")

    def make(kind: type[Exception] | None) -> list[tuple[str, str | None, float]]:
        asked = []

        def model_info(_: object, repository: str, *, revision: str | None = None, timeout: float) -> None:
            asked.append((repository, revision, timeout))
            if kind is not None and issubclass(kind, HfHubHTTPError):
                raise kind("no", response=SimpleNamespace(headers={}, request=None))
            if kind is not None:
                raise kind("no")

        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
        return asked

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", forbidden)
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", forbidden)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", forbidden)
    return make


class OfTheHTTPLibraryError(Exception):
    """Stands for errors whose class changes with the hub client's HTTP library."""


@pytest.mark.parametrize("load", [load_tokenizer, model_fingerprint, load_embedder])
@pytest.mark.parametrize("reached", [False, True])
def test_a_name_that_the_hub_does_not_know_is_one_question_and_one_error(
    answer: Answer, load: Callable[[str], object], reached: bool
) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    asked = answer(RepositoryNotFoundError if reached else OfTheHTTPLibraryError)
    words = "the hub has no '?some/mistyped" if reached else r"the hub cannot be reached \(no\)"
    with pytest.raises(ModelError, match=words) as caught:
        load("some/mistyped")
    assert asked == [("some/mistyped", None, TIMEOUT_S)]
    assert caught.value.exit_code == 4 and "local folder" in str(caught.value)


def test_a_revision_is_asked_for_and_named(answer: Answer) -> None:
    from huggingface_hub.errors import RevisionNotFoundError

    asked = answer(RevisionNotFoundError)
    with pytest.raises(ModelError, match="the hub has no revision 'refs/pr/9' of 'some/model'"):
        load_embedder("some/model@refs/pr/9")
    assert asked == [("some/model", "refs/pr/9", TIMEOUT_S)]


def test_another_answer_of_a_hub_leaves_it_to_the_loader(answer: Answer) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    for kind in (None, HfHubHTTPError):
        asked = answer(kind)
        ask_hub("some/model")
        assert len(asked) == 1
    for load in (load_tokenizer, load_embedder):
        with pytest.raises((AssertionError, ModelError), match="a loader was let at the hub"):
            load("some/model")


def test_what_is_cached_is_not_asked_for(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(None)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: "config.json")
    ask_hub("some/model")
    assert asked == []
