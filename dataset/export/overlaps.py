"""One class a pixel: which mask counts where several lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataset.export.classes import Classes
from dataset.export.formats import ExportOptions
from dataset.export.writers.base import ExportImage, NotWritable

LARGEST = 255  # class number


def class_map(image: ExportImage, classes: Classes, options: ExportOptions) -> NDArray[np.uint8]:
    """The class numbers of an image, ``(H, W)`` uint8; what nobody labelled has the value `options.ignore`.

    Labels of `options.priority` lie above all others, the first of them on top; else what was drawn later lies above.

    Raises:
        NotWritable: masks of two classes overlap and `options.overlap` refuses that, or a class number does not fit.
    """
    rank = {label: len(options.priority) - place for place, label in enumerate(options.priority)}
    drawn = sorted(image.objects, key=lambda one: rank.get(one.region.label, 0))
    found = np.full((image.size_wh[1], image.size_wh[0]), options.ignore, np.uint8)
    labelled = np.zeros(found.shape, bool)
    for one in drawn:
        number = classes.id_of(one.region.label)
        if number > LARGEST or number == options.ignore:
            raise NotWritable(
                f"the class {one.region.label!r} has the number {number}, which a class map with the value "
                f"{options.ignore} for unlabelled pixels does not hold; give another --ignore"
            )
        if options.overlap == "refuse":
            under = found[one.mask & labelled]
            if count := int((under != number).sum()):
                raise NotWritable(
                    f"{count} pixels have two classes, one of them {one.region.label!r}; correct them, or leave "
                    "--overlap refuse out"
                )
        found[one.mask] = number
        labelled |= one.mask
    return found
