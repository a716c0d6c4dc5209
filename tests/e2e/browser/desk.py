"""An annotator at a browser: real mouse and keys on Label Studio's pages, and what stands on the screen then."""

from __future__ import annotations

import io
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.converter.brush import decode_rle
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    FloatRect,
    Locator,
    Page,
    Playwright,
    Request,
    Response,
    ViewportSize,
)

from labelstudio.truth import TruthObject

Mask = NDArray[np.bool_]
XY = tuple[float, float]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")  # Debian's, Ubuntu's, a CI machine's
SCREENSHOTS = "LABELRIG_SCREENSHOTS"  # a folder: then each step is kept there
COLOURS = 128  # as many as a page has without the image's noise, and a tenth of the size
EDITOR = ".lsf-main-content"  # the pictures leave the list of tasks and the panels out
# From the editor's pane down to the line below it; the whole page where there is none.
SHOWN = """(editor) => {
  const box = document.querySelector(editor)?.getBoundingClientRect();
  const line = document.querySelector('labelrig-chip:not([hidden])')?.getBoundingClientRect();
  if (!box) return { x: 0, y: 0, width: innerWidth, height: innerHeight };
  return { x: box.x, y: box.y, width: box.width, height: Math.max(box.bottom, line?.bottom ?? 0) - box.y };
}"""
VIEW = ViewportSize(width=1440, height=900)
ANSWER_MS = 30_000  # a click on a busy machine, the image still unread
LOADS = 3  # of a page, until all of its parts came
NOTHING = "about:blank"
NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"
CLICK_ROUTE = "/interactive-annotating"
SELECTED = "Htx.annotationStore.selected"
# Where a point of the image, in percent, is on the screen; a long palette pushes the image out of it.
PLACE = f"""([name, x, y]) => {{
  const image = {SELECTED}.names.get(name), canvas = image.stageRef.content;
  const place = () => {{
    const box = canvas.getBoundingClientRect(), scale = image.stageScale;
    return [box.x + x / 100 * image.stageWidth * scale, box.y + y / 100 * image.stageHeight * scale];
  }};
  if (!canvas.contains(document.elementFromPoint(...place()))) canvas.scrollIntoView({{ block: 'center' }});
  return place();
}}"""
# Label Studio builds the annotation twice while a task opens, and a label that was picked in between is lost: the task
# is open when the same annotation has been there for a while.
OPEN = """([task, name]) => {
  const store = window.Htx, selected = store?.annotationStore?.selected;
  const image = selected?.names?.get(name);
  const there = store?.task?.id === task && !store.isLoading && image?.stageRef && image.imageIsLoaded
    && !selected.history.isFrozen && window.dataManager?.lsf?.task?.id === task;
  const now = there ? selected.id : null, since = window.openSince ?? {};
  if (since.annotation !== now) window.openSince = { annotation: now, at: performance.now() };
  return now !== null && performance.now() - window.openSince.at > 500;
}"""
ANNOTATES = re.compile(r"/api/(tasks|annotations|projects|dm)\b")
PICKED = f"([palette, name]) => {SELECTED}.names.get(palette).selectedValues().includes(name)"
SUGGESTED = f"() => {SELECTED}.suggestions.size > 0 && !Htx.awaitingSuggestions"
REGIONS = f"""() => {SELECTED}.regions.map((one) => ({{
  type: one.type, label: one.labelName, dynamic: one.dynamic, results: one.results.map((result) => result.type),
}}))"""
# For half a second: what was done is noticed within a quarter of one.
SETTLED = f"""() => {{
  const one = {SELECTED}, line = document.querySelector('labelrig-chip');
  const rests = !Htx.isLoading && !Htx.awaitingSuggestions && !one?.isDraftSaving && line?.dataset.mood !== 'busy';
  if (!rests) window.restsSince = undefined;
  else window.restsSince ??= performance.now();
  return rests && performance.now() - window.restsSince > 500;
}}"""
SUGGESTION = f"""() => Array.from({SELECTED}.suggestions.values(), (one) => ({{
  rle: Array.from(one.rle ?? []), label: one.labelName,
  size: [one.object.naturalWidth, one.object.naturalHeight],
}}))"""

# The picture of a mask comes after its region, and only its pixels can be clicked on.
DRAWN = f"""() => {SELECTED}.regions.filter((one) => one.type === 'brushregion' && !one.dynamic).every((one) =>
  one.layerRef?.find('Image').some((node) => node.image()?.width > 0 && node.name() !== 'highlight'))"""
MASK = f"""(number) => {{
  const one = {SELECTED}.regions[number];
  return {{ rle: Array.from(one.rle ?? []), size: [one.object.naturalWidth, one.object.naturalHeight] }};
}}"""


@contextmanager
def chromium(play: Playwright, *options: str, home: Path | None = None) -> Iterator[Browser]:
    """The system's browser, without a window. Its sandbox does not work for root, and everything it loads is ours.

    Args:
        options: further ones of its command line.
        home: the folder of a person with certificates of their own.
    """
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.fail(f"there is none of {', '.join(CHROMIUM)}; as root, ./inv test installs chromium")
    browser = play.chromium.launch(
        executable_path=program,
        args=["--no-sandbox", *options],
        env=None if home is None else {**os.environ, "HOME": str(home)},
    )
    try:
        yield browser
    finally:
        browser.close()


class Desk:
    """One person, signed in, in a browser profile of their own."""

    def __init__(
        self,
        browser: Browser,
        url: str,
        config: str,
        language: str = "en-US",
        cookies: Sequence[Any] = (),
        view: ViewportSize = VIEW,
    ) -> None:
        """
        Args:
            url: of Label Studio.
            config: the labeling configuration, for the labels' keys.
            cookies: of a browser that has signed in; without them this one must.
            view: the size of its window, in pixels.
        """
        self.url = url
        self.config = config
        self.keys = keys_in(config)
        self.context = browser.new_context(viewport=view, locale=language, service_workers="block")
        self.context.add_cookies(list(cookies))
        self.context.set_default_timeout(ANSWER_MS)
        self.page: Page = self.context.new_page()
        self.failures: list[str] = []
        self.expects = ""  # part of an error that one test may bring about
        self.page.on("pageerror", lambda error: self.failures.append(str(error)))
        # Our script catches its own errors, so that nobody's work is lost, and says them here.
        self.page.on("console", self._listen)
        self.lost: list[str] = []  # parts of the page that did not come
        self.page.on("requestfailed", self._note_lost)
        self.asked: set[Request] = set()  # of Label Studio's API, and not answered yet
        self.page.on("request", self._note_asked)
        for ending in ("requestfinished", "requestfailed"):
            self.page.on(ending, self._note_answered)
        self.size_wh = (0, 0)
        self.image, self.palette = "image", "label"

    def close(self) -> None:
        self.context.close()

    def sign_in(self, username: str, password: str) -> None:
        self.load(f"{self.url}/user/login/")
        self.page.fill("input[name=email]", username)
        self.page.fill("input[name=password]", password)
        self.shot("sign-in")
        self.page.click("button[type=submit]")
        self.page.wait_for_url(lambda url: "/user/login" not in url, wait_until="commit")

    def open(self, project: int, task: int, size_wh: tuple[int, int]) -> None:
        """Open a task and wait until it can be drawn on."""
        self.size_wh = size_wh
        self.load(f"{self.url}/projects/{project}/data?task={task}")
        self._wait_open(task)

    def turn_to(self, side: str) -> None:
        """One image of a pair, and its palette: there people click from now on."""
        self.image, self.palette = side, f"label-{side}"
        (palette,) = re.findall(f'<Labels name="{self.palette}".*?</Labels>', self.config, re.DOTALL)
        self.keys = keys_in(palette)

    def opened(self, task: int) -> None:
        """Wait until a task that the page itself opens can be drawn on."""
        self._wait_open(task)

    # -- what people do

    def pick_row(self, row: int, task: int) -> None:
        """Click on another task in the list beside the image: the page is not loaded anew."""
        self.page.locator(".lsf-table-row").nth(row).click()
        self._wait_open(task)

    def label(self, name: str) -> None:
        """Press the label's key, and look that it is picked."""
        self.page.keyboard.press(self.keys[name])
        self.page.wait_for_function(PICKED, arg=[self.palette, name])

    def key(self, name: str) -> None:
        self.page.keyboard.press(name)

    def click(self, xy: XY, *modifiers: str) -> None:
        """Click on a pixel of the image."""
        for modifier in modifiers:
            self.page.keyboard.down(modifier)
        self.page.mouse.click(*self.place(xy))
        for modifier in modifiers:
            self.page.keyboard.up(modifier)

    def select(self, xy: XY) -> None:
        """Click on a mask that can be seen, with no label picked: that selects it."""
        self.page.wait_for_function(DRAWN)
        self.click(xy)

    def rest(self, xy: XY) -> None:
        """Move the mouse to a pixel of the image, and leave it there."""
        self.page.mouse.move(*self.place(xy))

    def drag(self, *way: XY) -> None:
        """Draw from one pixel over others to the last with the button down."""
        places = [self.place(xy) for xy in way]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=4)
        self.page.mouse.up()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """What is done inside asks SAM2; left when its newest answer is on the screen."""
        with self.page.expect_response(is_click, timeout=ANSWER_MS):
            yield
        self.page.wait_for_function("() => !Htx.awaitingSuggestions")

    def ask_about(self, one: TruthObject) -> None:
        """Pick the object's label and click on it; back when the answer is on the screen."""
        self.label(one.label)
        with self.asking():
            self.click(one.click_xy)

    def submit(self) -> int:
        """Press Submit or Update; the annotation's id."""
        saved = re.compile(r"/api/(tasks/\d+/annotations|annotations/\d+)/?\?")
        with self.page.expect_response(
            lambda got: got.request.method in ("POST", "PATCH") and bool(saved.search(got.url))
        ) as got:
            self.page.get_by_role("button", name=re.compile("^(submit|update)", re.IGNORECASE)).first.click()
        assert got.value.ok, got.value.text()
        return int(got.value.json()["id"])

    # -- what they see

    def suggestion(self) -> Mask:
        """The mask that waits to be accepted, ``(H, W)`` bool."""
        self.page.wait_for_function(SUGGESTED)
        (one,) = self.page.evaluate(SUGGESTION)
        return decoded(one["rle"], one["size"])

    def mask_of(self, number: int) -> Mask:
        """The mask of a region, ``(H, W)`` bool, as Label Studio has it."""
        one = self.page.evaluate(MASK, number)
        return decoded(one["rle"], one["size"])

    @property
    def suggestions(self) -> int:
        return int(self.page.evaluate(f"() => {SELECTED}.suggestions.size"))

    def regions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page.evaluate(REGIONS)
        return found

    def prompts(self) -> int:
        return sum(bool(one["dynamic"]) for one in self.regions())

    def masks(self) -> int:
        return sum(one["type"] == "brushregion" and not one["dynamic"] for one in self.regions())

    def undone(self, key: str = "Control+z") -> None:
        """One thing back, or on again; back when SAM2 has answered what it is asked anew, if anything."""
        self.key(key)
        self.settled()

    def settled(self) -> None:
        """Wait until nothing waits for an answer: neither SAM2's nor Label Studio's."""
        self.page.wait_for_function(SETTLED)

    @property
    def chip(self) -> Locator:
        return self.page.locator("labelrig-chip")

    def says(self, text: str, within_s: float = ANSWER_MS / 1000) -> float:
        """Wait until the status chip holds a text; how long that took, in seconds."""
        begun = time.monotonic()
        self.page.wait_for_function(
            "(text) => document.querySelector('labelrig-chip')?.textContent.includes(text)",
            arg=text,
            timeout=within_s * 1000,
        )
        return time.monotonic() - begun

    def said(self) -> str:
        return self.chip.text_content() or ""

    def shot(self, name: str) -> None:
        """Keep what the screen shows, where somebody asked for it."""
        if folder := os.environ.get(SCREENSHOTS):
            self.keep(Path(folder) / f"{name}.png")

    def keep(self, file: Path) -> None:
        """Write what the screen shows as a PNG of few colours."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(400)  # tool tips and colours settle
        few = self.picture().quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(file, optimize=True)

    def picture(self) -> Image.Image:
        """What the screen shows of the editor, RGB; of the whole page where there is none."""
        return Image.open(io.BytesIO(self.page.screenshot(clip=self.shown()))).convert("RGB")

    def shown(self) -> FloatRect:
        """Which part of the page a picture is of."""
        part: FloatRect = self.page.evaluate(SHOWN, EDITOR)
        return part

    def load(self, url: str) -> None:
        """Load a page with all of its scripts.

        Chromium drops its connections whenever a network of the machine comes or goes, as those of other containers do.
        """
        for _ in range(LOADS):
            self.lost, before = [], len(self.failures)
            self.asked.clear()
            try:
                self.page.goto(url)
                self.page.wait_for_load_state("networkidle")
            except Error as error:
                if NETWORK_CHANGED not in error.message:
                    raise
                self.lost.append(error.message)
            if not self.lost:
                return
            print(f"not loaded: {', '.join(self.lost)}")  # noqa: T201
            self.page.goto(NOTHING)  # a page without all of its parts throws errors until it is left
            del self.failures[before:]
        pytest.fail(f"{url} was not loaded in {LOADS} tries: {', '.join(self.lost)}")

    def _note_lost(self, asked: Request) -> None:
        part = asked.resource_type in ("script", "stylesheet") and asked.failure != "net::ERR_ABORTED"
        if part or asked.failure == NETWORK_CHANGED:
            self.lost.append(f"{asked.url} ({asked.failure})")

    def _note_answered(self, asked: Request) -> None:
        self.asked.discard(asked)

    def _listen(self, line: ConsoleMessage) -> None:
        if line.text.startswith("labelrig: the companion stops"):
            self.failures.append(line.text)

    def _wait_open(self, task: int) -> None:
        """Wait until a task can be drawn on, and nothing that is on its way will exchange its annotation."""
        ends = time.monotonic() + ANSWER_MS / 1000
        while True:
            self.page.wait_for_function(OPEN, arg=[task, self.image])
            if not self.asked:
                return
            assert time.monotonic() < ends, [one.url for one in self.asked]
            self.page.wait_for_timeout(100)

    def _note_asked(self, request: Request) -> None:
        if request.method == "GET" and ANNOTATES.search(request.url):
            self.asked.add(request)

    def place(self, xy: XY) -> tuple[float, float]:
        percent = [100 * (value + 0.5) / size for value, size in zip(xy, self.size_wh, strict=True)]
        x, y = self.page.evaluate(PLACE, [self.image, *percent])
        return x, y


def decoded(rle: list[int], size_wh: Sequence[int]) -> Mask:
    """A brush's mask, ``(H, W)`` bool."""
    width, height = size_wh
    flat = np.asarray(decode_rle(rle), dtype=np.uint8)
    return np.asarray(flat.reshape(height, width, 4)[..., 3] > 127)


def keys_in(config: str) -> dict[str, str]:
    """The key of each label, as the browser is told to press it."""
    found = re.findall(r'<Label value="([^"]+)"[^>]*hotkey="([^"]+)"', config)
    return {label: key.replace("shift+", "Shift+") for label, key in found}


def is_click(answer: Response) -> bool:
    """Whether it answers prompts, and not the question how the backend is."""
    return CLICK_ROUTE in answer.url and '"ask"' not in (answer.request.post_data or "")
