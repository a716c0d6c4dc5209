"""Agreement of objects: which of A is which of B.

Two objects of one class match where their IoU is above 0.5; of masks that do not overlap each then has one match at
most (A. Kirillov et al., "Panoptic Segmentation", CVPR 2019). Where masks of one side do overlap, the pair with the
largest IoU is taken first, and each object once. With B as the reference, precision is the share of A's objects that
match, and recall the share of B's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from dataset.agreement.side import Drawn
from masks.measure import box_xywh, intersection_over_union

LEAST_IOU = 0.5


@dataclass
class Matches:
    """Of one class: how many objects there are in A and in B, and the IoU of each pair that matches."""

    in_a: int = 0
    in_b: int = 0
    ious: list[float] = field(default_factory=list)

    @property
    def precision(self) -> float | None:
        """The share of A's objects that match one of B's."""
        return len(self.ious) / self.in_a if self.in_a else None

    @property
    def recall(self) -> float | None:
        """The share of B's objects that match one of A's."""
        return len(self.ious) / self.in_b if self.in_b else None

    @property
    def mean_iou(self) -> float | None:
        """Of the pairs that match."""
        return sum(self.ious) / len(self.ious) if self.ious else None

    def add(self, other: Matches) -> None:
        """Take the objects of others in."""
        self.in_a += other.in_a
        self.in_b += other.in_b
        self.ious += other.ious


def match_objects(a: Sequence[Drawn], b: Sequence[Drawn]) -> dict[str, Matches]:
    """Match the objects of one image, by label. Masks have one size; those without a pixel or a label do not count."""
    sides: dict[str, tuple[list[Drawn], list[Drawn]]] = defaultdict(lambda: ([], []))
    for number, drawn in enumerate((a, b)):
        for one in drawn:
            if one.label and one.mask.any():
                sides[one.label][number].append(one)
    return {label: _match(ours, theirs) for label, (ours, theirs) in sides.items()}


def _match(a: Sequence[Drawn], b: Sequence[Drawn]) -> Matches:
    boxes_a, boxes_b = ([_box(one) for one in side] for side in (a, b))
    pairs = [
        (iou, i, j)
        for i, one in enumerate(a)
        for j, other in enumerate(b)
        if _meet(boxes_a[i], boxes_b[j]) and (iou := intersection_over_union(one.mask, other.mask)) > LEAST_IOU
    ]
    taken_a: set[int] = set()
    taken_b: set[int] = set()
    found = Matches(len(a), len(b))
    for iou, i, j in sorted(pairs, reverse=True):
        if i not in taken_a and j not in taken_b:
            taken_a.add(i)
            taken_b.add(j)
            found.ious.append(iou)
    return found


def _box(one: Drawn) -> tuple[int, int, int, int]:
    """Left, top, right, bottom."""
    x, y, width, height = box_xywh(one.mask) or (0, 0, 0, 0)
    return x, y, x + width, y + height


def _meet(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> bool:
    return all(max(first[axis], second[axis]) < min(first[axis + 2], second[axis + 2]) for axis in (0, 1))
