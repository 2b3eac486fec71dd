"""The page in a real browser: as it is seen, as it is read aloud, and what it asks for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from matplotlib.image import imread
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from cloudmask.cli import main
from cloudmask.report import quicklooks
from tests.report.run_logs import write_log
from tests.scene_files import product_name, write_scene

PHONE, DESK = 360, 1200

# All texts of the page, with the contrast (WCAG 2.1) of each on the paper.
CONTRASTS = """
const parts = (text) => text.match(/[0-9.]+/g).slice(0, 3).map(Number);
const luminance = (rgb) => rgb
    .map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const paper = luminance(parts(getComputedStyle(document.body).backgroundColor));
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const found = {};
while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.tagName === 'STYLE') continue;
    const style = getComputedStyle(element);
    const inFigure = element instanceof SVGElement;
    const ink = luminance(parts(inFigure ? style.fill : style.color));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    found[(inFigure ? 'figure: ' : '') + walker.currentNode.data.trim()] = ratio;
}
return found;
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory, evaluation_folder):
    """A page with every kind of section, long names included."""
    folder = tmp_path_factory.mktemp("browsed")
    for system in ("CPU", "A system with a rather long name"):
        write_log(folder / system / "result_0.txt", platform=system)
        write_log(folder / system / "result_1.txt", (0.7, 0.6), "aborted", platform=system)
    scene = write_scene(folder / product_name(0))
    arguments = ["report", folder / "CPU", folder / "A system with a rather long name"]
    arguments += ["--evaluation", evaluation_folder, "--scenes", scene, "--output", folder / "out"]
    assert main([str(each) for each in arguments]) == 0
    return folder / "out" / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_page_neither_complains_nor_asks_for_anything(browser, page, width, scheme):
    browser.open(page, width, scheme=scheme)
    assert browser.complaints() == []
    assert browser.requests() == [page.resolve().as_uri()]


def test_requests_and_complaints_of_a_page_would_be_seen(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text('<img src="http://example.org/x.png"><script>console.error("no")</script>')
    browser.open(path, PHONE)
    assert "http://example.org/x.png" in browser.requests()
    assert any("no" in message for message in browser.complaints())


def test_policy_of_the_page_would_stop_a_request_and_a_script(browser, page, tmp_path):
    path = tmp_path / "page.html"
    smuggled = '<img src="http://example.org/x.png"><script>document.title = "run"</script>'
    path.write_text(page.read_text().replace("<main", smuggled + "<main"))
    browser.open(path, PHONE)
    assert browser.requests() == [path.resolve().as_uri()]
    assert browser.ask("return document.title") != "run"


@pytest.mark.parametrize("width", [320, PHONE, 768, DESK])
def test_page_is_never_scrolled_sideways_with_everything_unfolded(browser, page, width):
    browser.open(page, width)
    browser.ask("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert browser.ask("return document.documentElement.scrollWidth") <= width
    browser.ask("scrollTo(500, 0)")
    assert browser.ask("return scrollX") == 0


def test_captions_and_notes_of_wide_tables_are_as_wide_as_the_screen_and_stay(browser, page):
    browser.open(page, PHONE)
    ends = browser.ask(
        "document.querySelectorAll('.scrolled').forEach((each) => { each.scrollLeft = 100; });"
        "return [...document.querySelectorAll('caption:not(.unseen) span, .note span')]"
        ".map((each) => each.getBoundingClientRect()).map((box) => [box.left, box.right])"
    )
    assert len(ends) > 10
    assert all(0 <= left < right <= PHONE for left, right in ends)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(browser, page, scheme):
    browser.open(page, PHONE, scheme=scheme)
    contrasts = browser.ask(CONTRASTS)
    assert sum(text.startswith("figure: ") for text in contrasts) > 20
    assert {text: ratio for text, ratio in contrasts.items() if ratio < 4.5} == {}


def test_figures_follow_the_page_into_dark_mode(browser, page, tmp_path):
    brightness = {}
    for scheme in ("light", "dark"):
        browser.open(page, PHONE, scheme=scheme)
        browser.screenshot(tmp_path / f"{scheme}.png")
        brightness[scheme] = imread(tmp_path / f"{scheme}.png")[..., :3].mean()
    assert brightness["light"] > 0.8
    assert brightness["dark"] < 0.3


def test_cards_are_side_by_side_where_the_screen_is_wide_enough(browser, page):
    edges = {}
    for width in (PHONE, DESK):
        browser.open(page, width)
        edges[width] = browser.ask(
            "return [...document.querySelectorAll('.card')]"
            ".map((card) => card.getBoundingClientRect()).map((box) => [box.left, box.top])"
        )
    (left, top), (other_left, other_top) = edges[PHONE]
    assert (left == other_left, top < other_top) == (True, True)
    (left, top), (other_left, other_top) = edges[DESK]
    assert (left < other_left, top == other_top) == (True, True)


def test_legend_has_the_colours_of_the_images(browser, page):
    browser.open(page, DESK)
    shown = browser.ask(
        "return [...document.querySelectorAll('section > .legend .swatch')]"
        ".map((swatch) => [swatch.parentElement.textContent.trim(),"
        " getComputedStyle(swatch).backgroundColor])"
    )
    assert shown == [
        [meaning, f"rgb{colour}"] for colour, meaning in quicklooks.DIFFERENCE_LEGEND.entries
    ]


@pytest.mark.parametrize(("width", "layout"), [(PHONE, "narrow"), (800, "narrow"), (DESK, "wide")])
def test_figures_are_wide_on_wide_screens_only(browser, page, width, layout):
    browser.open(page, width)
    shown = browser.ask(
        "return [...document.querySelectorAll('.drawing svg')]"
        ".filter((svg) => svg.checkVisibility())"
        ".map((svg) => [svg.parentElement.className, svg.getBoundingClientRect().width])"
    )
    assert [name for name, _ in shown] == [layout] * 8
    assert all(drawn > {"narrow": 320, "wide": 900}[layout] for _, drawn in shown)


@pytest.mark.parametrize("width", [PHONE, 900, DESK])
def test_text_in_figures_is_large_enough(browser, page, width):
    browser.open(page, width)
    heights = browser.ask(
        "return [...document.querySelectorAll('svg text')]"
        ".filter((text) => text.checkVisibility())"
        ".map((text) => parseFloat(getComputedStyle(text).fontSize)"
        " * text.ownerSVGElement.getBoundingClientRect().width"
        " / text.ownerSVGElement.viewBox.baseVal.width)"
    )
    assert min(heights) >= 8.5


def test_screen_reader_finds_landmarks_headings_in_order_and_named_images(browser, page):
    browser.open(page, PHONE)
    nodes = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    seen = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]
    roles = [role for role, _ in seen]
    for landmark in ("main", "banner", "navigation", "contentinfo"):
        assert roles.count(landmark) == 1
    images = [name for role, name in seen if role in ("image", "img")]
    assert len(images) == 2 * 2 + 4 + 4  # each figure once, of its two layouts
    assert all(any(letter.isdigit() for letter in name) for name in images)
    levels = browser.ask(
        "return [...document.querySelectorAll('h1, h2, h3, h4')].map((h) => Number(h.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert browser.ask("return document.documentElement.lang") == "en-GB"


def test_every_figure_has_its_numbers_in_a_table(browser, page):
    browser.open(page, DESK)
    assert browser.ask(
        "return [...document.querySelectorAll('section > figure')]"
        ".every((figure) => figure.nextElementSibling.querySelector('table'))"
    )


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_quicklook_opens_large_and_closes_by_keyboard(browser, page, width):
    browser.open(page, width)
    link = browser.driver.find_element(By.CSS_SELECTOR, "#content .panel .enlarge")
    small = link.find_element(By.TAG_NAME, "img").size["width"]
    link.send_keys(Keys.ENTER)
    figure = browser.driver.find_element(By.CSS_SELECTOR, ".panel:target")
    assert figure.size["width"] == width
    large = figure.find_element(By.TAG_NAME, "img").size["width"]
    assert large > 1.5 * small
    assert browser.ask("return document.documentElement.scrollWidth") <= width

    def press(key):
        ActionChains(browser.driver).send_keys(key).perform()
        return browser.ask("return document.activeElement.textContent.trim()")

    assert press(Keys.TAB) == "Close"
    assert press(Keys.TAB) == "Next: Label (bayes)"
    press(Keys.ENTER)
    assert browser.ask(
        "return document.querySelector(':target figcaption').textContent"
    ).startswith("Label")
    assert press(Keys.TAB) == "Close"
    press(Keys.ENTER)
    assert browser.ask("return document.querySelector('.panel:target')") is None
    assert browser.ask("return document.activeElement.className") == "enlarge"


def test_nothing_behind_a_large_quicklook_has_the_keyboard(browser, page):
    browser.open(page, DESK)
    browser.driver.find_element(By.CSS_SELECTOR, ".panel .enlarge").send_keys(Keys.ENTER)
    reached = browser.ask(
        "return [...document.querySelectorAll('a, summary, [tabindex]')]"
        ".filter((each) => each.checkVisibility({visibilityProperty: true}))"
        ".map((each) => each.textContent.trim())"
    )
    assert reached == ["Close", "Next: Label (bayes)"]
