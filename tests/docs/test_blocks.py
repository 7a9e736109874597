"""What pages say of the code, the code says itself: every block that is made is the one that stands there."""

from __future__ import annotations

import re

import pytest

import blocks
from docstrings import attributes, marked
from ttft_bench import errors
from ttft_bench.registry import entries


@pytest.mark.parametrize(
    ("page", "name", "make"), blocks.BLOCKS, ids=[f"{page}: {name}" for page, name, _ in blocks.BLOCKS]
)
def test_a_block_is_what_the_code_makes(page, name, make):
    text = (blocks.PAGES / page).read_text(encoding="utf-8")
    assert text == blocks.put(text, name, make()), "run make docs"


def test_every_block_of_a_page_is_made():
    there = {
        (path.name, name)
        for path in blocks.PAGES.glob("*.md")
        for name in re.findall(r"<!-- (\S+):begin -->", path.read_text(encoding="utf-8"))
    }
    assert there == {(page, name) for page, name, _ in blocks.BLOCKS}


def test_every_error_and_every_built_in_strategy_has_its_place():
    page = (blocks.PAGES / "errors.md").read_text(encoding="utf-8")
    for name in errors.__all__:
        found = getattr(errors, name)
        if isinstance(found, int):
            assert f"\n| {found} | " in page
        elif found is not errors.TtftBenchError:
            assert f"# {name}\n" in page
    strategies = (blocks.PAGES / "choose-a-strategy.md").read_text(encoding="utf-8")
    for item in entries():
        if item.built_in:
            assert f"| [`{item.name}`](#{item.name}) |" in strategies and f"\n### {item.name}\n" in strategies


def test_a_docstring_that_lacks_what_a_table_needs_is_named():
    class Silent:
        """Says nothing.

        Attributes:
            depth: how deep,
                in metres.
            width: how wide.
        """

    with pytest.raises(ValueError, match="Silent has no sentence that begins with 'Cost:'"):
        marked(Silent, "Cost:", "$")
    assert attributes(Silent) == {"depth": "how deep, in metres.", "width": "how wide."}


def test_a_block_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="0 blocks are named x"):
        blocks.put("<!-- y:begin -->\n<!-- y:end -->", "x", "text")
