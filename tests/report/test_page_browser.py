"""The page in a real browser: nothing is fetched, nothing complains, and people can work with it."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from ttft_bench.report import build_report
from ttft_bench.sweep import store
from ttft_bench.sweep.schema import make_row

from paired_rows import budgets  # isort: skip

CONTROLS = ["random-corpus", "twin", "far", "none"]
EVIL = "<img src=x onerror=alert(1)>"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no browser on this machine: apt-get install chromium to test the page in one"
)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a synthetic run: two scopes, a hostile name, a failure."""
    folder = tmp_path_factory.mktemp("run")
    curves = {"a": [(1, 95.0, 1.0), (5, 85.0, 2.0)], "b": [(1, 94.0, 1.2), (5, 88.0, 2.2)], EVIL: [(5, 90.0, 2.5)]}
    rows = budgets(curves, n=12, residual=0.4, n_distinct=1, gap=1e-6, embed_s=0.1)
    rows += budgets({"random-corpus": [(5, 96.0, 2.0)], "twin": [(5, 95.8, 2.0)], "far": [(5, 89.0, 2.0)]}, n=12)
    rows += budgets({"none": [(0, 100.0, 0.1)]}, n=12, arm="none")
    rows += budgets({"a": [(1, 93.0, 1.0)], "=1+1": [(1, 94.0, 1.2)]}, n=6, model="other", subset=EVIL)
    rows.append(
        make_row(cell_id="bad", strategy="b", budget=5, prompt_id="p000", status="oom", reason=EVIL, model="tiny")
    )
    with store.Journal(folder / store.RESULTS) as journal:
        for row in rows:
            journal.append(row)
    manifest: dict[str, Any] = {"run_id": "r1", "suite": {"name": "synthetic"}, "provenance": {"argv": ["x", EVIL]}}
    manifest["plan"] = {"controls": CONTROLS}
    store.write_manifest(folder, manifest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ttft_bench.report.paired.resample.N_RESAMPLES", 199)
        build_report(folder)
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # A container's root has no sandbox, and the page has nothing to keep in one.
        found = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture
def open_page(browser: Browser, page_file: Path) -> Iterator[Callable[..., Page]]:
    """Open the page; whatever it complains about or asks for fails the test in the end."""
    complaints: list[str] = []
    contexts = []

    def _open(width: int = 1200, scheme: Any = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: complaints.append(request.url) if request.url != address else None)
        page.goto(address)
        page.wait_for_selector(".plot .main-svg")
        return page

    address = page_file.as_uri()
    yield _open
    for context in contexts:
        context.close()
    assert [text for text in complaints if not text.startswith(("blob:", "data:"))] == []


def draw_all(page: Page) -> None:
    """Scroll through the page, so that every chart is drawn."""
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_function(
        "[...document.querySelectorAll('.scope:not([hidden]) .plot')].every(p => p.querySelector('.main-svg'))"
    )


def column(page: Page, key: str) -> list[str]:
    return page.evaluate(
        """key => { const table = document.getElementById('settings');
        const at = [...table.tHead.rows[0].cells].findIndex(cell => cell.dataset.key === key);
        return [...table.tBodies[0].rows].filter(row => !row.hidden).map(row =>
            row.cells[at].dataset.value ?? row.cells[at].textContent.trim()); }""",
        key,
    )


def test_it_is_small_enough_and_draws_every_figure_without_a_request_or_complaint(
    open_page: Callable[..., Page], page_file: Path
) -> None:
    assert page_file.stat().st_size < 10_000_000
    page = open_page()
    draw_all(page)
    assert page.locator(".plot .main-svg").count() > 10
    assert page.locator("img").count() == 0
    assert page.evaluate("document.querySelector('#s0-forest').textContent").count(EVIL) > 0, "shown, not obeyed"
    assert EVIL in page.evaluate("document.querySelector('#failures').textContent")


@pytest.mark.parametrize("width", [1200, 400])
def test_charts_that_are_drawn_move_nothing(open_page: Callable[..., Page], width: int) -> None:
    page = open_page(width=width)
    # Titles and legends around a chart are there from the start; how wide a scroll bar is must not matter.
    height = "document.documentElement.scrollHeight"
    before = page.evaluate(height)
    count = page.locator(".plot .main-svg").count()
    draw_all(page)
    assert page.locator(".plot .main-svg").count() > count, "some were drawn later"
    assert abs(page.evaluate(height) - before) <= 2


def test_the_table_sorts_and_filters(open_page: Callable[..., Page]) -> None:
    page = open_page()
    head = page.locator("#settings th[data-key=bpb_pct_mean]")
    head.get_by_role("button").click()
    ascending = [float(value) for value in column(page, "bpb_pct_mean") if value]
    assert ascending == sorted(ascending) and head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").click()
    assert [float(value) for value in column(page, "bpb_pct_mean") if value] == ascending[::-1]
    everything = len(column(page, "strategy"))
    page.fill("#filter", "model=tiny b")
    page.select_option("#filter-budget", "5")
    assert set(column(page, "budget_n")) == {"5"} and 0 < len(column(page, "strategy")) < everything
    assert page.inner_text("#shown").endswith(f"of {everything} settings shown")
    page.fill("#filter", "")
    page.select_option("#filter-budget", "")
    page.check("#filter-frontier")
    assert set(column(page, "on_frontier")) == {"yes"}


def test_downloads_carry_what_is_shown(open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page()
    draw_all(page)  # what is drawn while somebody clicks takes its time

    def download(kind: str) -> bytes:
        with page.expect_download(timeout=120_000) as waiting:  # a busy machine takes its time
            page.click(f"[data-download={kind}]")
        waiting.value.save_as(tmp_path / kind)
        return (tmp_path / kind).read_bytes()

    lines = list(csv.DictReader(io.StringIO(download("csv").decode())))
    assert len(lines) == len(column(page, "strategy"))
    named = {"untouched model" if name == "none" else name for name in CONTROLS}
    assert {"a", "b", EVIL, "'=1+1", *named} == {line["strategy"] for line in lines}, "no name is a formula"
    best = min(lines, key=lambda line: float(line["bpb_pct_mean"] or "inf"))
    assert best["strategy"] == "a" and float(best["bpb_pct_mean_low"]) < 85 < float(best["bpb_pct_mean_high"]) + 10
    page.fill("#filter", "b")
    page.select_option("#filter-budget", "5")
    shown = len(column(page, "strategy"))
    markdown = download("markdown").decode().splitlines()
    assert len(markdown) == shown + 2 and markdown[0].startswith("| strategy |") and "<img" not in "".join(markdown)
    latex = download("latex").decode()
    assert latex.count("\\\\") == shown + 1 and "BPB\\%" in latex and "\\toprule" in latex
    for value in map(float, filter(None, column(page, "bpb_pct_mean"))):
        assert f"& {value:.2f} (" in latex and f"| {value:.2f} (" in "".join(markdown), "as shown, with the interval"
    assert pq.read_table(io.BytesIO(download("parquet"))).num_rows == 12 * (5 + len(CONTROLS)) + 6 * 2 + 1


def test_a_legend_shows_and_hides_a_strategy(open_page: Callable[..., Page]) -> None:
    page = open_page()
    visible = "document.querySelector('#s0-quality_vs_time .plot').data.filter(t => t.name === 'a' && t.visible).length"
    before = page.evaluate(visible)
    button = page.locator("#s0-quality_vs_time .legend button").filter(has_text=re.compile("^a$"))
    button.focus()
    page.keyboard.press("Enter")
    assert before > 0 and page.evaluate(visible) == 0 and button.get_attribute("aria-pressed") == "false"
    page.keyboard.press("Enter")
    assert page.evaluate(visible) == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_follow_the_theme(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(scheme=scheme)
    ink = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    paper = "getComputedStyle(document.body).backgroundColor"

    def luminance(code: str) -> int:
        return sum(int(part) for part in page.evaluate(code).strip("rgba()").split(",")[:3])

    is_dark = scheme == "dark"
    assert (luminance(ink) > luminance(paper)) == is_dark
    page.click("#theme")
    page.wait_for_timeout(500)
    assert (luminance(ink) > luminance(paper)) != is_dark


def test_pointing_at_a_bar_tells_its_name_as_text(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.locator("#s0-time_per_stage").scroll_into_view_if_needed()
    page.locator("#s0-time_per_stage .point path").first.hover(force=True)
    page.wait_for_selector("#s0-time_per_stage .hovertext")
    assert EVIL in page.evaluate("document.querySelector('#s0-time_per_stage .hovertext').textContent")
    buttons = page.evaluate(
        "[...document.querySelectorAll('#s0-time_per_stage .modebar-btn')].map(b => b.dataset.title)"
    )
    assert len(buttons) == 4 and not any("hare" in title for title in buttons), "nothing offers to send a chart away"


def test_a_phone_scrolls_in_one_direction_only(open_page: Callable[..., Page]) -> None:
    page = open_page(width=400)
    draw_all(page)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.evaluate("[...document.querySelectorAll('.plot')].every(plot => plot.offsetWidth <= 400)")


@pytest.mark.parametrize("width", [400, 1280])
def test_names_of_lines_do_not_run_into_each_other(open_page: Callable[..., Page], width: int) -> None:
    page = open_page(width=width)
    boxes = page.evaluate(
        """[...document.querySelectorAll('#s0-quality_vs_time .annotation-text')].map(text => {
        const box = text.getBoundingClientRect(); return [box.left, box.right, box.top, box.bottom]; })"""
    )
    assert len(boxes) == 3, "the untouched model and two controls"
    for place, (left, right, top, bottom) in enumerate(boxes):
        assert left >= 0 and right <= width
        for other in boxes[:place]:
            assert right <= other[0] or other[1] <= left or bottom <= other[2] or other[3] <= top


def test_the_long_table_keeps_its_headings_in_sight(open_page: Callable[..., Page]) -> None:
    page = open_page(width=400)
    window = page.locator(".scroll.tall")
    window.evaluate("window => window.scrollTo(200, window.scrollHeight)")
    top = window.bounding_box()["y"]  # type: ignore[index]
    head = page.locator("#settings thead th").first.bounding_box()
    last = page.locator("#settings tbody tr").last.bounding_box()
    assert head and last and abs(head["y"] - top) <= 2 and last["y"] > head["y"]
    assert head["x"] == pytest.approx(window.bounding_box()["x"], abs=2)  # type: ignore[index]


def test_the_keyboard_reaches_everything_that_acts(open_page: Callable[..., Page]) -> None:
    page = open_page()
    reached = set()
    for _ in range(400):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => { const e = document.activeElement;
                return e.id || e.dataset.download || e.dataset.entry || e.closest('th')?.dataset.key || e.tagName; }"""
            )
        )
        if "provenance-end" in reached or page.evaluate("document.activeElement === document.body"):
            break
    wanted = {"theme", "scope", "filter", "filter-budget", "filter-frontier", "csv", "latex", "bpb_pct_mean", "0"}
    assert wanted <= reached
    page.locator("#settings th[data-key=budget_n] button").focus()
    page.keyboard.press("Space")
    budgets = column(page, "budget_n")
    assert budgets[-1] == "", "the untouched model has no budget, and stands last however it is sorted"
    assert budgets[:-1] == sorted(budgets[:-1], key=int)


def test_another_scope_can_be_shown(open_page: Callable[..., Page]) -> None:
    page = open_page()
    names = page.locator("#scope option").all_inner_texts()
    assert len(names) == 2 and "model=tiny" in names[0]
    page.select_option("#scope", "1")
    assert page.locator("#s0-quality_vs_time").is_hidden() and page.locator("#s1-quality_vs_time").is_visible()
    page.wait_for_selector("#s1-quality_vs_time .main-svg")
