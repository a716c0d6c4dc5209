"""The statistics as one HTML file that needs nothing else: no script, no other host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from statistics import median

from dataset.html_page import filled_page
from dataset.stats.collect import BINS, UNREADABLE, ClassStats, Stats
from dataset.stats.coverage import percent

TEMPLATE = Path(__file__).with_name("page.html")
NO_CLICKS = (
    "Label Studio keeps how long an annotation was open, and not how many clicks a mask took; the time of an "
    "annotation is shared among its masks."
)


@dataclass(frozen=True)
class Picture:
    """An example: the data URL of its thumbnail, and what stands below."""

    url: str
    task: int
    name: str
    labels: Sequence[str]


def render(stats: Stats, colours: Mapping[str, str], pictures: Sequence[Picture], when: datetime) -> str:
    """The page.

    Args:
        colours: CSS colours by class.
    """
    known = {label: one for label, one in stats.by_class.items() if one.masks}
    empty = {label: one for label, one in stats.by_class.items() if not one.masks}
    total = [sum(column) for column in zip(*(one.histogram for one in known.values()), strict=True)] or [0] * len(BINS)
    return filled_page(
        TEMPLATE,
        title=escape(stats.title),
        when=escape(when.strftime("%Y-%m-%d %H:%M %Z")),
        tiles=_tiles(stats),
        classes="\n".join(_row(label, one, colours) for label, one in {**known, **empty}.items()),
        histogram=_histogram(total),
        notes=escape(" ".join([*_remarks(stats), NO_CLICKS])),
        pictures=_pictures(pictures, colours),
    )


def _tiles(stats: Stats) -> str:
    share = f"{100 * stats.annotated / stats.images:.0f} % annotated" if stats.images else "no images"
    coverage = stats.coverage
    tiles = [
        (f"{stats.images:,}", "images"),
        (f"{stats.annotated:,}", share),
        (f"{stats.masks:,}", "masks"),
        (f"{stats.masks / stats.annotated:.1f}" if stats.annotated else "–", "masks in an annotated image"),
        (f"{stats.seconds_per_mask:.1f} s" if stats.seconds_per_mask is not None else "–", "median time of a mask"),
        (percent(coverage.median) if coverage.median is not None else "–", "pixels without a label, median"),
        (f"{len(stats.people)}", "person" if len(stats.people) == 1 else "people"),
    ]
    return "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in tiles
    )


def _row(label: str, one: ClassStats, colours: Mapping[str, str]) -> str:
    swatch = _swatch(label, colours)
    area = [_percent(value) for value in (median(one.areas), min(one.areas), max(one.areas))] if one.areas else [""] * 3
    seconds = f"{median(one.seconds):.1f} s" if one.seconds else ""
    cells = [f"{one.masks:,}", f"{one.images:,}", *area, seconds, _spark(one.histogram) if one.masks else ""]
    style = "" if one.masks else ' class="none"'
    return f"<tr{style}><td>{swatch}{escape(label)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _percent(value: float) -> str:
    return f"{value:.2f} %" if value < 10 else f"{value:.1f} %"


def _spark(counts: Sequence[int]) -> str:
    most, width, height = max(counts), 9, 20
    bars = "".join(
        f'<rect class="bar" x="{number * width}" y="{height - size}" width="{width - 2}" height="{size}"/>'
        for number, count in enumerate(counts)
        if (size := round(height * count / most)) or count
    )
    return f'<svg width="{width * len(counts)}" height="{height}" style="margin-left:auto">{bars}</svg>'


def _histogram(counts: Sequence[int]) -> str:
    width, height, step, top = 900, 190, 96, 20
    most = max(counts) or 1
    parts = [f'<line class="axis" x1="0" x2="{step * len(counts)}" y1="{height - 20}" y2="{height - 20}"/>']
    for number, (count, end) in enumerate(zip(counts, BINS, strict=True)):
        size = (height - 20 - top) * count / most
        x, y = number * step + 6, height - 20 - size
        parts.append(f'<rect class="bar" x="{x}" y="{y:.1f}" width="{step - 12}" height="{size:.1f}" rx="3"/>')
        if count:
            parts.append(f'<text x="{x + (step - 12) / 2}" y="{y - 5:.1f}" text-anchor="middle">{count:,}</text>')
        parts.append(f'<text x="{(number + 1) * step}" y="{height - 5}" text-anchor="middle">{end:g} %</text>')
    inside = "".join(parts)
    return f'<svg viewBox="-4 0 {max(width, step * len(counts) + 24)} {height}" width="100%">{inside}</svg>'


def _remarks(stats: Stats) -> list[str]:
    remarks = [f"{line}." for line in stats.coverage.lines()]
    if stats.skipped:
        remarks.append(f"{stats.skipped} annotations were skipped by their annotators and do not count.")
    if stats.unreadable:
        remarks.append(UNREADABLE.format(stats.unreadable))
    if stats.predicted:
        counts = ", ".join(f"{count} of {version}" for version, count in stats.predicted.items())
        remarks.append(f"Predictions: {counts}.")
    return remarks


def _pictures(pictures: Sequence[Picture], colours: Mapping[str, str]) -> str:
    if not pictures:
        return '<p class="note">No mask has been submitted yet.</p>'
    figures = (
        f'<figure class="card" style="padding:0"><img src="{one.url}" alt="{escape(one.name)}" loading="lazy">'
        f"<figcaption>{escape(one.name)}, task {one.task}{_labels(one.labels, colours)}"
        "</figcaption></figure>"
        for one in pictures
    )
    return f'<div class="pictures">{"".join(figures)}</div>'


def _labels(labels: Sequence[str], colours: Mapping[str, str]) -> str:
    inside = " ".join(f"<span>{_swatch(label, colours)}{escape(label)}</span>" for label in labels)
    return f'<span class="labels">{inside}</span>'


def _swatch(label: str, colours: Mapping[str, str]) -> str:
    return f'<span class="swatch" style="background:{escape(colours.get(label, "#888888"))}"></span>'
