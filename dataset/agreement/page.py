"""An agreement as one HTML file: the figures, and the worst images first, both masks and where they differ."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.agreement.compare import Agreement, ImageAgreement, maps_of
from dataset.agreement.confusion import ClassMap
from dataset.agreement.figures import confusions, decimal, percent
from dataset.agreement.side import Side
from dataset.export.classes import Classes
from dataset.export.writers.png import palette
from dataset.html_page import filled_page

TEMPLATE = Path(__file__).with_name("page.html")
SHOWN_IMAGES = 24
SHOWN_CONFUSIONS = 12
WIDTH = 320  # of a picture, in pixels, at most
EMPTY, SAME, OTHER, ONLY_A, ONLY_B = "#F4F5F7", "#B8BEC9", "#C62828", "#E08A00", "#2F6FD0"

Rgb = tuple[int, int, int]


@dataclass(frozen=True)
class Picture:
    """An image of the page: data URLs of A, B and their difference."""

    image: ImageAgreement
    urls: tuple[str, str, str]


def pictures_of(found: Agreement, a: Side, b: Side) -> list[Picture]:
    """The worst images, read once more and made small."""
    colours = colours_of(found)
    pictures = []
    for one in found.worst_first[:SHOWN_IMAGES]:
        maps = maps_of(a.read(one.pair.in_a), b.read(one.pair.in_b), found.labels)
        if isinstance(maps, str):  # the file was changed meanwhile
            continue
        step = -(-maps[0].shape[1] // WIDTH)
        small_a, small_b = (one[::step, ::step] for one in maps)
        both = (_painted(small_a, colours), _painted(small_b, colours), _difference(small_a, small_b))
        pictures.append(Picture(one, (_url(both[0]), _url(both[1]), _url(both[2]))))
    return pictures


def colours_of(found: Agreement) -> Mapping[int, Rgb]:
    """A colour for each class number; unlabelled is light."""
    return {**palette(Classes().with_labels(found.labels.names), {}), 0: _rgb(EMPTY)}


def render(found: Agreement, pictures: Sequence[Picture], when: datetime) -> str:
    """The page."""
    return filled_page(
        TEMPLATE,
        a=escape(found.a),
        b=escape(found.b),
        when=escape(when.strftime("%Y-%m-%d %H:%M %Z")),
        tiles=_tiles(found),
        classes="\n".join(_rows(found)),
        confusions="\n".join(
            f"<tr><td>{escape(a)}</td><td>{escape(b)}</td><td>{pixels:,}</td></tr>"
            for a, b, pixels in confusions(found)[:SHOWN_CONFUSIONS]
        ),
        notes=" ".join(f"{escape(line)}." for line in (*found.problems, *found.notes)),
        same=SAME,
        other=OTHER,
        only_a=ONLY_A,
        only_b=ONLY_B,
        pictures=f'<div class="wide">{"".join(map(_figure, pictures))}</div>',
    )


def _tiles(found: Agreement) -> str:
    total = found.total
    in_a, in_b = total.unlabelled
    tiles = [
        (f"{len(found.images):,}", "images annotated in both"),
        (percent(total.pixel_agreement), "pixel agreement"),
        (decimal(total.kappa), "Cohen's kappa"),
        (decimal(total.mean_iou), "mean IoU of classes"),
        (decimal(found.mean_iou_per_image), "mean IoU per image"),
        (f"{percent(in_a)} / {percent(in_b)}", "unlabelled in A / B"),
    ]
    return "".join(f'<div class="tile"><b>{value}</b><span>{escape(what)}</span></div>' for value, what in tiles)


def _rows(found: Agreement) -> list[str]:
    colours, overlaps = colours_of(found), found.total.overlaps()
    rows = []
    for label, number in found.labels.names.items():
        one = overlaps.get(number)
        if one is None:
            continue
        objects = (found.objects or {}).get(label)
        matched = (
            ("", "")
            if objects is None
            else (
                f"{len(objects.ious)} of {objects.in_a}, {objects.in_b}",
                decimal(objects.mean_iou),
            )
        )
        cells = (decimal(one.iou), decimal(one.dice), f"{one.in_a:,}", f"{one.in_b:,}", *matched)
        swatch = '<span class="swatch" style="background:#{:02X}{:02X}{:02X}"></span>'.format(*colours[number])
        rows.append(f"<tr><td>{swatch}{escape(label)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return rows


def _figure(one: Picture) -> str:
    images = "".join(f'<img src="{url}" alt="" loading="lazy">' for url in one.urls)
    confusion = one.image.confusion
    figures = f"mean IoU {decimal(confusion.mean_iou)}, pixel agreement {percent(confusion.pixel_agreement)}"
    caption = f"{escape(one.image.pair.in_a)}<br>{figures}"
    inside = f'<div class="three">{images}</div><figcaption>{caption}</figcaption>'
    return f'<figure class="card" style="padding:0">{inside}</figure>'


def _painted(pixels: ClassMap, colours: Mapping[int, Rgb]) -> NDArray[np.uint8]:
    table = np.array([colours[number] for number in range(max(colours) + 1)], dtype=np.uint8)
    return np.asarray(table[pixels])


def _difference(a: ClassMap, b: ClassMap) -> NDArray[np.uint8]:
    kinds = np.select(
        [(a == b) & (a == 0), a == b, b == 0, a == 0],
        [0, 1, 2, 3],
        default=4,
    )
    colours = np.array([_rgb(one) for one in (EMPTY, SAME, ONLY_A, ONLY_B, OTHER)], dtype=np.uint8)
    return np.asarray(colours[kinds])


def _url(pixels: NDArray[np.uint8]) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels).quantize(256).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _rgb(colour: str) -> Rgb:
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
