"""Label Studio's results, put together to regions: which of them draw a region, which are its labels, which are ghosts.

Annotations are not only the editor's: scripts write them too, and Label Studio keeps whatever they say. So nothing here
takes a value's type for granted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labeling.config import MASK_SHAPES, PALETTE, SHAPES

Result = dict[str, Any]


@dataclass(frozen=True)
class RegionResults:
    """The results of one region, each kind in the order in which they were drawn.

    Attributes:
        shapes: what draws it, with a value that is of its type. Where no result is so, all of a shape's type: then the
            region cannot be read, unless it is a point.
        palettes: what labels it, of `<Labels>`.
        ghosts: how many others there are: second results, with the label of another tag, of what `shapes` draw.
    """

    shapes: Sequence[Result]
    palettes: Sequence[Result]
    ghosts: int

    @property
    def kind(self) -> str:
        """What the type says: brush, bitmask, polygon, rectangle, ellipse, keypoint, vector; empty of labels alone."""
        return shape_of_type(self.shapes[0]) if self.shapes else ""

    @property
    def is_a_point(self) -> bool:
        """Whether it is a key point. A mask of which only a key point tag's result is left is none."""
        return self.kind == "keypoint" and _shape_of_value(value_of(self.shapes[0])) not in MASK_SHAPES

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels; a label without a name could be given no number, and would break the file of the numbers."""
        found: list[str] = []
        for one in (*self.shapes, *self.palettes):
            given = value_of(one).get(str(one.get("type", "")))
            found.extend(str(each) for each in (given if isinstance(given, list) else []))
        return tuple(dict.fromkeys(filter(None, found)))


def regions_in(results: Sequence[Result]) -> Iterator[RegionResults]:
    """The results of one annotation by region. Answers about a region and relations are in none.

    Args:
        results: each with an id, see `with_ids`.
    """
    groups: dict[tuple[str, str, int | None], list[Result]] = {}
    for one in results:
        if is_spatial(one):
            groups.setdefault(key_of(one), []).append(one)
    for group in groups.values():
        shapes = [one for one in group if shape_of_type(one)]
        # A ghost lies beside the result that draws. Alone it is all that is left of a region.
        true = [one for one in shapes if shape_of_type(one) == _shape_of_value(value_of(one))] or shapes
        yield RegionResults(true, [one for one in group if one.get("type") == PALETTE], len(shapes) - len(true))


def with_ids(results: Sequence[Result]) -> list[Result]:
    """The results of one annotation; a region without an id, as scripts write them, gets one.

    Else all of them would be one region. Whoever takes the results of one image out gives the ids before.
    """
    return [
        {**one, "id": f"region-{number}"} if is_spatial(one) and not one.get("id") else one
        for number, one in enumerate(results, 1)
    ]


def is_spatial(one: Result) -> bool:
    """Whether a result is a shape or its labels; an answer about a region has the region's key and is neither."""
    return bool(shape_of_type(one)) or one.get("type") == PALETTE


def key_of(one: Mapping[str, Any]) -> tuple[str, str, int | None]:
    """What the results of one region have in common: image, id, and which image of a list."""
    return str(one.get("to_name", "")), str(one.get("id", "")), item_index_of(one)


def item_index_of(one: Mapping[str, Any]) -> int | None:
    """Which image of a list a result is on; None where it does not say, or not with a number."""
    index = one.get("item_index")
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def size_of_result(one: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of the image as a result tells them; 0 where it does not."""
    return _size(one, "original_width"), _size(one, "original_height")


def value_of(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is drawn and its labels; empty where that is no object."""
    value = one.get("value")
    return value if isinstance(value, Mapping) else {}


def shape_of_type(one: Mapping[str, Any]) -> str:
    """The shape that the type of a result names; empty of labels, answers and relations."""
    shape = str(one.get("type", "")).removesuffix("labels")
    return shape if shape in SHAPES else ""


def _shape_of_value(value: Mapping[str, Any]) -> str:
    for name, shape in (("rle", "brush"), ("imageDataURL", "bitmask"), ("vertices", "vector"), ("points", "polygon")):
        if name in value:
            return shape
    if "radiusX" in value:
        return "ellipse"
    return "rectangle" if "height" in value else "keypoint"


def _size(one: Mapping[str, Any], name: str) -> int:
    size = one.get(name)
    if isinstance(size, float) and size.is_integer():
        size = int(size)
    return size if isinstance(size, int) and not isinstance(size, bool) else 0
