"""The page in Chromium: continue a sentence, follow a run of words to a training document that holds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the package torch")
playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")

from tests.serve.world import DOCUMENTS, make_model, make_workspace, served  # noqa: E402

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs the program chromium ({CHROMIUM})"),
]
QUIET = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
EVERY_VIEW = [(width, scheme) for width in (320, 1280) for scheme in ("light", "dark")]
SENTENCE = "All human beings are born free and equal in dignity"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("village") / "ledger"
    make_workspace(folder)
    with served("village/model", "--workspace", str(folder)) as (url, _):
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any, url: str) -> Iterator[Any]:
    """Opens the page; at the end, nothing was fetched from elsewhere and nothing was complained of."""
    context = None
    complaints: list[str] = []
    asked: list[str] = []

    def opened(width: int = 1280, scheme: str = "light") -> Any:
        nonlocal context
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        return page

    yield opened
    if context:
        context.close()
    assert complaints == []
    assert not [each for each in asked if not each.startswith(url)]


def continued(page: Any, text: str = SENTENCE) -> Any:
    page.get_by_label("Your words").fill(text)
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("found in training documents").wait_for()
    return page


def fits(page: Any) -> bool:
    wide: bool = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    return wide


@pytest.mark.parametrize(("width", "scheme"), EVERY_VIEW)
def test_a_run_of_words_leads_to_a_document_that_holds_it(open_page: Any, width: int, scheme: str) -> None:
    page = continued(open_page(width, scheme))
    written = page.locator("#output").inner_text()
    assert written.startswith(SENTENCE) and len(written) > len(SENTENCE)
    assert page.locator("#output mark").first.inner_text() in SENTENCE
    assert fits(page)
    span = page.locator("#spans q").first.inner_text()
    page.locator("#spans ul a").first.click()
    page.wait_for_url("**/documents/*")
    text = page.locator("article").inner_text()
    assert text == DOCUMENTS["eng.udhr.example"] and span in text
    assert page.locator("#span").inner_text() == span
    assert (
        "CC0-1.0" in page.locator("dl").inner_text() and "https://eng.udhr.example/" in page.locator("dl").inner_text()
    )
    assert fits(page)


def test_everything_works_by_keyboard(open_page: Any) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    page.get_by_label("Your words").fill(SENTENCE)
    page.get_by_label("Your words").press("Control+Enter")
    page.get_by_text("found in training documents").wait_for()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#spans ul') !== null"):
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/documents/*")


def test_hostile_text_stays_text(open_page: Any) -> None:
    hostile = 'Beware of <script>document.title = "broken"</script> & "quotes" <img src=x onerror=alert(1)>'
    page = continued(open_page(), hostile)
    assert page.locator("#output").inner_text().startswith(hostile)
    assert page.locator("main script, main img").count() == 0
    page.locator("#spans ul a").first.click()
    page.wait_for_url("**/documents/*")
    assert page.locator("article").inner_text() == DOCUMENTS["evil.example"]
    assert page.locator("main script").count() == 0 and "broken" not in page.title()
    assert page.locator("dl a").count() == 0  # its address is javascript:


def test_a_text_too_long_for_the_model_is_explained(browser: Any, url: str) -> None:
    page = browser.new_page()
    page.goto(url)
    page.get_by_label("Your words").fill("word " * 300)
    page.get_by_role("button", name="Continue").click()
    page.get_by_text("the model's context is 128").wait_for()
    assert page.get_by_role("button", name="Continue").is_enabled()
    page.close()


def test_an_answer_can_be_stopped(browser: Any, tmp_path: Path) -> None:
    make_model(tmp_path / "model")
    with served("model", folder=tmp_path) as (url, _):
        page = browser.new_page()
        page.route("**/v1/completions", lambda route: None)  # an answer that never begins
        page.goto(url)
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped.").wait_for()
        assert page.get_by_role("button", name="Stop").is_disabled()
        page.close()
