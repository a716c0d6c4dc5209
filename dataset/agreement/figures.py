"""An agreement in words and numbers: the table for the terminal, `--json`, and CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from core.text import aligned, inline, some
from dataset.agreement.compare import Agreement, ImageAgreement
from dataset.agreement.confusion import Confusion, Counts, LabelNumbers
from dataset.agreement.objects import Matches

SHOWN_CONFUSIONS = 5
WORST = 5
UNLABELLED = "(unlabelled)"
CSV_COLUMNS = ("image", "class", "iou", "dice", "pixels_a", "pixels_b", "pixels_both")


def as_facts(found: Agreement) -> dict[str, Any]:
    """For `--json`; what has nothing to divide by is null."""
    total = found.total
    return {
        "a": found.a,
        "b": found.b,
        "images": len(found.images),
        "only_a": found.only_a,
        "only_b": found.only_b,
        "pixels": total.pixels,
        "unlabelled": dict(zip("ab", total.unlabelled, strict=True)),
        "pixel_agreement": total.pixel_agreement,
        "kappa": total.kappa,
        "mean_iou": total.mean_iou,
        "mean_iou_per_image": found.mean_iou_per_image,
        "classes": _classes(total, found.labels),
        "objects": None if found.objects is None else {name: _objects(one) for name, one in found.objects.items()},
        "confusion": {"labels": [UNLABELLED, *found.labels.names], "pixels": _square(found).tolist()},
        "per_image": [_image(one, found.labels) for one in found.worst_first],
        "problems": found.problems,
        "notes": found.notes,
    }


def table(found: Agreement) -> str:
    """For people."""
    total = found.total
    columns = ("class", "IoU", "Dice", "A", "B", "matched of A, B", "precision", "recall", "IoU of matches")
    rows: list[tuple[str, ...]] = [columns]
    overlaps = total.overlaps()
    for label, number in found.labels.names.items():
        one, objects = overlaps.get(number), (found.objects or {}).get(label)
        if one is None:  # it lies under others everywhere
            continue
        shares = (percent(one.in_a / total.pixels), percent(one.in_b / total.pixels))
        matched = ("", "", "", "") if objects is None else _matched(objects)
        rows.append((inline(label), decimal(one.iou), decimal(one.dice), *shares, *matched))
    if found.objects is None:
        rows = [row[:5] for row in rows]
    return "\n".join([*_head(found), "", *aligned(rows), "", *_confused(found), *_worst(found), *_remarks(found)])


def as_csv(found: Agreement) -> str:
    """A line for each class of each image, and for each class of all (`image` is empty)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    names = {number: label for label, number in found.labels.names.items()}
    for image, confusion in [*((one.pair.in_a, one.confusion) for one in found.images), ("", found.total)]:
        for number, one in confusion.overlaps().items():
            figures = (f"{one.iou:.6f}", f"{one.dice:.6f}", one.in_a, one.in_b, one.in_both)
            writer.writerow((image, names[number], *figures))
    return out.getvalue()


def confusions(found: Agreement) -> list[tuple[str, str, int]]:
    """Pixels that are one class in A and another in B, the most first."""
    names = [UNLABELLED, *found.labels.names]
    square = _square(found)
    pairs = [
        (names[i], names[j], int(square[i, j]))
        for i in range(len(names))
        for j in range(len(names))
        if i != j and square[i, j]
    ]
    return sorted(pairs, key=lambda one: -one[2])


def _head(found: Agreement) -> list[str]:
    total = found.total
    in_a, in_b = map(percent, total.unlabelled)
    return [
        f"A: {inline(found.a)}",
        f"B: {inline(found.b)}",
        f"{len(found.images)} images annotated in both; pixel agreement {percent(total.pixel_agreement)}, kappa "
        f"{decimal(total.kappa)}, mean IoU {decimal(total.mean_iou)}, per image {decimal(found.mean_iou_per_image)}",
        f"unlabelled pixels: {in_a} in A, {in_b} in B",
    ]


def _confused(found: Agreement) -> list[str]:
    most = confusions(found)[:SHOWN_CONFUSIONS]
    if not most:
        return []
    lines = [f"  {percent(n / found.total.pixels)}  {inline(a)} in A, {inline(b)} in B" for a, b, n in most]
    return ["where they differ most, of all pixels:", *lines]


def _worst(found: Agreement) -> list[str]:
    worst = [one for one in found.worst_first if one.confusion.mean_iou is not None][:WORST]
    if len(found.images) < 2 or not worst:
        return []
    return [
        "worst images, by mean IoU:",
        *(f"  {decimal(w.confusion.mean_iou)}  {inline(w.pair.in_a)}" for w in worst),
    ]


def _remarks(found: Agreement) -> list[str]:
    lines = []
    for side, only in (("A", found.only_a), ("B", found.only_b)):
        if only:
            lines.append(f"{len(only)} images are annotated in {side} only: {some(only)}")
    lines += [f"left out: {inline(one)}" for one in found.problems]
    return [*lines, *map(inline, found.notes)]


def _classes(confusion: Confusion, labels: LabelNumbers) -> dict[str, Any]:
    overlaps = confusion.overlaps()
    return {
        label: {
            "iou": one.iou,
            "dice": one.dice,
            "pixels_a": one.in_a,
            "pixels_b": one.in_b,
            "pixels_both": one.in_both,
        }
        for label, number in labels.names.items()
        if (one := overlaps.get(number)) is not None
    }


def _objects(one: Matches) -> dict[str, Any]:
    counts = {"in_a": one.in_a, "in_b": one.in_b, "matched": len(one.ious)}
    return {**counts, "precision": one.precision, "recall": one.recall, "mean_iou": one.mean_iou}


def _image(one: ImageAgreement, labels: LabelNumbers) -> dict[str, Any]:
    confusion = one.confusion
    return {
        "image": one.pair.in_a,
        "image_b": one.pair.in_b,
        "pixel_agreement": confusion.pixel_agreement,
        "kappa": confusion.kappa,
        "mean_iou": confusion.mean_iou,
        "unlabelled": dict(zip("ab", confusion.unlabelled, strict=True)),
        "classes": _classes(confusion, labels),
    }


def _square(found: Agreement) -> Counts:
    """The matrix with a row for each label that was met, also for one that lies under others everywhere."""
    whole = Confusion(np.zeros((len(found.labels.names) + 1,) * 2, dtype=np.int64))
    whole.merge(found.total)
    return whole.counts


def _matched(one: Matches) -> tuple[str, ...]:
    counts = f"{len(one.ious)} of {one.in_a}, {one.in_b}"
    return (counts, *map(decimal, (one.precision, one.recall, one.mean_iou)))


def decimal(value: float | None) -> str:
    """A figure for people; a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


def percent(share: float | None) -> str:
    """A share for people; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f} %"
