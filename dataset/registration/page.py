"""A registration as one HTML file: every pair's score, and the worst accepted ones to look at."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dataset.html_page import filled_page
from dataset.registration.judging import PairResult
from dataset.registration.pictures import PicturePair, eight_bit, read_pair
from dataset.registration.register import Registration

TEMPLATE = Path(__file__).with_name("page.html")
SHOWN = 12
SQUARE = 64  # pixels of the working picture
QUALITY = 80


@dataclass(frozen=True)
class Shown:
    """A pair of the page, as data URLs."""

    result: PairResult
    squares: str
    rgb: str
    thermal: str


def worst_pairs(found: Registration, pairs: Sequence[PicturePair], progress: Callable[[str], None]) -> list[Shown]:
    """The accepted pairs with the lowest scores, read once more."""
    files = {one.name: one for one in pairs}
    worst = sorted((one for one in found.pairs if one.accepted), key=lambda one: one.score)[:SHOWN]
    shown = []
    for count, one in enumerate(worst, 1):
        progress(f"picture {count} of {len(worst)}")
        rgb, thermal = read_pair(files[one.name])
        matrix = one.own if one.own is not None else found.matrix
        if matrix is None:
            continue
        inner = thermal.to_work @ matrix @ np.linalg.inv(rgb.to_work)
        height, width = rgb.grey.shape
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        seen = np.asarray(cv2.warpPerspective(thermal.grey, inner, (width, height), flags=flags), dtype=np.float32)
        rows, columns = np.indices((height, width)) // SQUARE
        squares = np.where((rows + columns) % 2 == 0, rgb.grey, seen).astype(np.float32)
        shown.append(Shown(one, *(_url(eight_bit(grey)) for grey in (squares, rgb.grey, seen))))
    return shown


def render(found: Registration, sides: tuple[str, str], shown: Sequence[Shown], when: datetime) -> str:
    """The page. `sides` are what the RGB and the thermal pictures are called."""
    accepted = sum(one.accepted for one in found.pairs)
    tiles = [
        (f"{accepted} of {len(found.pairs)}", "pairs accepted"),
        (found.model if found.matrix is not None else "none", "transform"),
        ("–" if found.residual_px is None else f"{found.residual_px:.1f} px", "between two halves of the pairs"),
        (f"{found.score:.2f}", "mean score of accepted pairs"),
    ]
    return filled_page(
        TEMPLATE,
        rgb=escape(sides[0]),
        thermal=escape(sides[1]),
        when=escape(when.strftime("%Y-%m-%d %H:%M %Z")),
        tiles="".join(f'<div class="tile"><b>{escape(value)}</b><span>{what}</span></div>' for value, what in tiles),
        rows="\n".join(map(_row, sorted(found.pairs, key=lambda one: (one.accepted, one.score)))),
        pictures="".join(map(_figure, shown)),
    )


def _row(one: PairResult) -> str:
    away = "" if one.residual_px is None else f"{one.residual_px:.1f}"
    words = escape(one.reason) or ("its own transform" if one.own is not None else "")
    return f"<tr><td>{escape(one.name)}</td><td>{one.score:.2f}</td><td>{away}</td><td>{words}</td></tr>"


def _figure(one: Shown) -> str:
    blink = f'<div class="blink"><img src="{one.rgb}" alt=""><img src="{one.thermal}" alt=""></div>'
    inside = f'<div class="pair"><img src="{one.squares}" alt="">{blink}</div>'
    caption = f"{escape(one.result.name)}, score {one.result.score:.2f}"
    return f'<figure class="card" style="padding:0">{inside}<figcaption>{caption}</figcaption></figure>'


def _url(pixels: NDArray[np.uint8]) -> str:
    done, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode() if done else ""
