"""The page in a real browser: the system's Chromium, without a window and without a network."""

import re
import shutil
import threading

import numpy as np
import pytest
import run_folders

from genjax_zoo.report import gather as pages
from genjax_zoo.report.page import render
from genjax_zoo.report.watch import port_of, server_of

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on PATH: apt-get install chromium"),
]
QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
QUIET += " --disable-component-update --disable-sync"
EVIL = "<script>window.stolen = 1</script><img src=x onerror='window.stolen = 1'>"

CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = parse(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")].filter(e => !["SCRIPT", "STYLE"].includes(e.tagName))
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map(e => {
      const style = getComputedStyle(e), svg = e instanceof SVGElement;
      const [a, b] = [light(parse(svg ? style.fill : style.color)), light(behind(e))].sort((p, q) => q - p);
      return [(a + .05) / (b + .05), e.tagName, e.className, e.textContent.slice(0, 20)];
    });
}"""


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    a = run_folders.trained(folder / "a_rather_long_name_of_a_run_that_does_not_end", warning=EVIL, note=EVIL * 3)
    b, c = (run_folders.trained(folder / name) for name in ("b", "<script>window.stolen = 2"))
    run_folders.show(a, "wide", 1, np.zeros((60, 900), np.uint8))
    cells = {"frechet": {"value": 9.5, "floor": 2.0, "low": 9.0, "high": 10.0, "n": 125}}
    run_folders.score(a, nats=100.0, cells=cells, precision="no sampler", parameters=2_000)
    run_folders.score(b, nats="no likelihood: a GAN", frechet=80.0, precision=0.9, parameters=10_000)
    run_folders.score(c, nats=20.0, frechet=10.0, precision=0.5, parameters=900, model=EVIL)
    path = folder / "page.html"
    path.write_text(render(pages.gather([a, b, c])))
    return path


class Opened:
    """A page, with all that the browser said and asked for."""

    def __init__(self, context, url):
        self.page = context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)

    def texts(self, selector):
        return [text.strip() for text in self.page.locator(selector).all_text_contents()]


@pytest.fixture
def opened(chromium, file):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    yield Opened(context, file.as_uri())
    context.close()


def test_everything_loads_and_nothing_leaves(opened, file):
    broken = "() => [...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).length"
    assert opened.page.evaluate(broken) == 0 and opened.page.locator("img").count() > 12
    durations = "() => Promise.all([...document.querySelectorAll('audio')].map(a => a.readyState ? a.duration : "
    durations += "new Promise(r => a.addEventListener('loadedmetadata', () => r(a.duration)))))"
    assert opened.page.evaluate(durations) == pytest.approx([0.25] * 3)
    assert opened.page.evaluate("() => window.stolen") is None
    assert EVIL in opened.page.locator("body").text_content()
    assert opened.said == []
    assert {url for url in opened.asked if not url.startswith("data:")} == {file.as_uri()}


def test_control_the_policy_stops_what_gets_in(opened):
    opened.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.stolen = 3";
          document.body.append(script);
          document.body.append(Object.assign(new Image(), { src: "http://127.0.0.1:9/x.png", id: "far" }));
        }"""
    )
    opened.page.wait_for_timeout(100)
    assert opened.page.evaluate("() => [window.stolen, document.getElementById('far').naturalWidth]") == [None, 0]
    assert len([text for text in opened.said if "Content Security Policy" in text]) == 2


def test_slider(opened):
    frames = opened.page.locator(".frames").first
    visible = "frames => [...frames.querySelectorAll('img')].map(image => image.checkVisibility())"
    assert frames.evaluate(visible) == [False, False, True]
    slider = frames.get_by_role("slider")
    slider.focus()
    slider.press("ArrowLeft")
    assert frames.evaluate(visible) == [False, True, False]
    assert frames.locator("output").text_content() == "step 100" == slider.get_attribute("aria-valuetext")
    slider.press("Home")
    assert frames.evaluate(visible) == [True, False, False]


def test_leaderboard_sorts(opened):
    names = ["a_rather_long_name_of_a_run_that_does_not_end", "b", "<script>window.stolen = 2"]

    def order():
        return ["abc"[names.index(text.split(" ")[0] if "<" not in text else names[2])] for text in rows()]

    def rows():
        return [re.sub(r"\s+", " ", text) for text in opened.texts(".board tbody th")]

    def click(title):
        head = opened.page.locator(".board thead th").filter(has_text=title)
        head.get_by_role("button").click()
        return "".join(order()), head.get_attribute("aria-sort")

    assert click("Fréchet") == ("acb", "ascending")  # 9.5, 10, 80: not as text
    assert click("Fréchet") == ("bca", "descending")
    assert click("parameters") == ("bac", "descending")
    assert click("likelihood") == ("cab", "ascending") and click("likelihood") == ("acb", "descending")  # b has none
    assert click("precision") == ("bca", "descending") and click("precision") == ("cba", "ascending")  # a has none
    assert opened.page.locator("th[aria-sort]").count() == 1
    opened.page.locator(".board thead button").first.press("Enter")
    assert "".join(order()) == "cab"


def test_plots_read_and_zoom(opened):
    svg, figure = opened.page.locator(".plot svg[data-panel]").first, opened.page.locator(".plot").first
    line = svg.locator("polyline").first
    every = "[...document.querySelectorAll('article:first-of-type polyline')].map(line => line.getAttribute('points'))"
    drawn = opened.page.evaluate(every)
    server_side, ticks = line.get_attribute("points"), figure.locator(".ticks text").all_text_contents()
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    assert "step" not in figure.locator(".readout").text_content()
    opened.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    read = re.search(r"vae\s*([\d.]+).*test\s*([\d.]+).*step (\d+)", figure.locator(".readout").text_content())
    assert read and float(read[1]) == pytest.approx(100 / int(read[3]), rel=1e-4) and 80 <= int(read[3]) <= 120
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"])
    opened.page.mouse.up()
    zoomed = figure.locator(".ticks text").all_text_contents()
    assert zoomed != ticks and line.get_attribute("points") != server_side
    second = opened.page.locator("article").first.locator(".plot").nth(1).locator(".ticks text").last.text_content()
    assert second == zoomed[-1]  # all plots of a run show the same steps
    opened.page.get_by_role("button", name="Reset zoom").first.click()
    assert figure.locator(".ticks text").all_text_contents() == ticks
    assert len(drawn) == 4  # as the server drew them, but for the rounding
    for ours, again in zip(drawn, opened.page.evaluate(every)):
        assert numbers(again) == pytest.approx(numbers(ours), abs=0.11)


def numbers(points):
    return [float(number) for number in re.split("[ ,]", points)]


def test_plots_by_keyboard(opened):
    svg, figure = opened.page.locator(".plot svg[data-panel]").first, opened.page.locator(".plot").first
    svg.focus()
    svg.press("Home")
    assert "step 10" in figure.locator(".readout").text_content()
    svg.press("ArrowRight")
    assert "step 20" in figure.locator(".readout").text_content()
    before = figure.locator(".ticks text").all_text_contents()
    svg.press("+")
    assert figure.locator(".ticks text").all_text_contents() != before
    svg.press("Escape")
    assert figure.locator(".ticks text").all_text_contents() == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(chromium, file, scheme):
    context = chromium.new_context(color_scheme=scheme)
    opened = Opened(context, file.as_uri())
    found = opened.page.evaluate(CONTRAST)
    assert len(found) > 100 and [text for text in found if text[0] < 4.5] == []
    dark = opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 20, 24)"
    assert dark == (scheme == "dark")
    opened.page.evaluate("document.documentElement.style.setProperty('--muted', '#777f88')")
    assert [text for text in opened.page.evaluate(CONTRAST) if text[0] < 4.5]
    context.close()


def test_nothing_is_wider_than_a_phone(chromium, file):
    width = 360
    context = chromium.new_context(viewport={"width": width, "height": 700}, has_touch=True, is_mobile=True)
    opened = Opened(context, file.as_uri())
    wide = "document.documentElement.scrollWidth"
    assert opened.page.evaluate(wide) == width
    opened.page.evaluate("document.querySelector('.scroll').style.overflow = 'visible'")
    assert opened.page.evaluate(wide) > width  # the table is, and scrolls by itself
    context.close()


def test_structure(opened):
    levels = opened.page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1 and max(np.diff(levels)) == 1
    ids = opened.page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids)) and not any(" " in name for name in ids)
    names = opened.page.evaluate(
        "[...document.querySelectorAll('[aria-labelledby]')].map(e => e.ariaLabelledByElements)"
    )
    assert len(names) > 10 and all(len(found) == 1 for found in names)
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.textContent") == "Skip to the content"


def test_watch_renews_itself(chromium, tmp_path):
    run = run_folders.start(tmp_path / "one")
    with server_of(run) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            context = chromium.new_context(viewport={"width": 800, "height": 500})
            opened = Opened(context, f"http://127.0.0.1:{port_of(server)}/")
            assert "Waiting for the first numbers" in opened.page.content()
            shutil.rmtree(run)
            run_folders.trained(run)
            opened.page.locator(".plot").first.wait_for(timeout=10_000)
            opened.page.get_by_role("slider").press("ArrowLeft")
            opened.page.locator(".plot svg[data-panel]").first.press("+")
            opened.page.locator("summary").click()
            opened.page.evaluate("scrollTo(0, 300)")
            run_folders.log(run, step=300, **{"vae/loss": 0.1})
            opened.page.get_by_text("step 300", exact=False).first.wait_for(timeout=10_000)
            assert opened.texts(".slider output") == ["step 100"]
            assert opened.page.get_by_role("button", name="Reset zoom").is_visible()
            assert opened.page.locator("details").get_attribute("open") is not None
            assert opened.page.evaluate("scrollY") == 300
            assert opened.said == []
            context.close()
        finally:
            server.shutdown()
            thread.join()
