"""A film of a person at work: what the page showed, with the pointer and the pressed keys drawn in.

Between two pictures of the page the pointer glides over the older one, as it would for whoever watches.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tests.e2e.browser.desk import XY, Desk
from tests.e2e.browser.hand import eased, fitts_seconds

WIDTH = 760
BAND = 44  # below the picture: what is done, and the keys
FRAMES_A_SECOND = 10
COLOURS = 224
CLICK_MS = 350
ARROW = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))
INK, PAPER, GREY, RING = (32, 32, 36), (248, 248, 250), (110, 110, 118), (255, 196, 0)


class Film:
    """Frames of one desk. Each method does something in the page, and keeps how that looks."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.part = desk.shown()  # of the page, the same all along
        self.frames: list[tuple[Image.Image, int]] = []
        self.words, self.key = "", ""
        self.pointer: XY = (0.0, 0.0)
        self.scale = 1.0
        self.shown = Image.new("RGB", (1, 1))
        self.look()

    @property
    def seconds(self) -> float:
        return sum(ms for _, ms in self.frames) / 1000

    def say(self, words: str) -> None:
        """What is said below the picture from now on."""
        self.words, self.key = words, ""

    def look(self) -> None:
        """See what the page shows now."""
        picture = Image.open(io.BytesIO(self.desk.page.screenshot(clip=self.part))).convert("RGB")
        self.scale = WIDTH / picture.width
        self.shown = picture.resize((WIDTH, round(picture.height * self.scale)), Image.Resampling.LANCZOS)

    def hold(self, seconds: float) -> None:
        """Show it for a while."""
        self.frames.append((self._frame(), round(1000 * seconds)))

    def glide(self, xy: XY, arrive: Callable[[XY], None] | None = None) -> None:
        """Move the mouse to a pixel of the image; at its end `arrive` takes it there."""
        place = self.desk.place(xy)
        end = ((place[0] - self.part["x"]) * self.scale, (place[1] - self.part["y"]) * self.scale)
        steps = max(2, round(1.3 * fitts_seconds(math.dist(self.pointer, end), 30) * FRAMES_A_SECOND))
        (x, y), (to_x, to_y) = self.pointer, end
        for step in range(1, steps + 1):
            done = eased(step / steps)
            self.pointer = (x + (to_x - x) * done, y + (to_y - y) * done)
            self.frames.append((self._frame(), round(1000 / FRAMES_A_SECOND)))
        (arrive or self.desk.rest)(xy)

    def press(self, key: str, shown: str = "") -> None:
        """Press a key; `shown` is how it is drawn."""
        self.key = shown or key.upper()
        self.desk.key(key)

    def click(self) -> None:
        """The button goes down where the pointer is."""
        self.frames.append((self._frame(clicks=True), CLICK_MS))

    def save(self, file: Path) -> None:
        """Write it as a GIF that begins again; frames that look the same are one."""
        joined: list[tuple[Image.Image, int]] = []
        for frame, ms in self.frames:
            if joined and joined[-1][0].tobytes() == frame.tobytes():
                joined[-1] = (joined[-1][0], joined[-1][1] + ms)
            else:
                joined.append((frame, ms))
        palette = _palette([frame for frame, _ in joined])
        few = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame, _ in joined]
        few[0].save(
            file, save_all=True, append_images=few[1:], duration=[ms for _, ms in joined], loop=0, optimize=True
        )

    def _frame(self, *, clicks: bool = False) -> Image.Image:
        frame = Image.new("RGB", (WIDTH, self.shown.height + BAND), PAPER)
        frame.paste(self.shown, (0, 0))
        draw = ImageDraw.Draw(frame)
        x, y = self.pointer
        if clicks:
            draw.ellipse((x - 13, y - 13, x + 13, y + 13), outline=RING, width=4)
        draw.polygon([(x + dx, y + dy) for dx, dy in ARROW], fill="white", outline="black")
        self._band(draw)
        return frame

    def _band(self, draw: ImageDraw.ImageDraw) -> None:
        top, left = self.shown.height, 14.0
        draw.line((0, top, WIDTH, top), fill=(205, 205, 212))
        if self.key:
            font = ImageFont.load_default(17)
            width = max(30.0, draw.textlength(self.key, font) + 20)
            box = (left, top + 8, left + width, top + BAND - 8)
            draw.rounded_rectangle(box, radius=6, fill="white", outline=GREY, width=2)
            draw.text((left + width / 2, top + BAND / 2), self.key, font=font, fill=INK, anchor="mm")
            left += width + 12
        draw.text((left, top + BAND / 2), self.words, font=ImageFont.load_default(18), fill=INK, anchor="lm")


def _palette(frames: list[Image.Image]) -> Image.Image:
    """One palette for all: that of a strip of frames spread over the film."""
    chosen = frames[:: max(1, len(frames) // 12)]
    strip = Image.new("RGB", (chosen[0].width, sum(one.height for one in chosen)))
    top = 0
    for one in chosen:
        strip.paste(one, (0, top))
        top += one.height
    return strip.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
