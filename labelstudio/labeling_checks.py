"""What is wrong with a labeling configuration, found before Label Studio sees it.

Label Studio's own validation stops at the first problem, gives no line, and accepts much that fails only in the
browser (a label that no smart tool offers, two labels on one key). `config_check` adds keys and colours.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from importlib import resources
from typing import Any

from core.strict_yaml import parse_yaml
from labeling.config import MASK_SHAPES, ControlTag, LabelingConfig, config_of
from labeling.images import ImageTag
from labeling.repeaters import FLAG
from labeling.tags import Tag, XmlProblem, parse_xml

LABELS_TAGS = frozenset(
    ("Labels", "BrushLabels", "KeyPointLabels", "RectangleLabels", "BitmaskLabels", "PolygonLabels", "EllipseLabels")
)
TAGS_FILE = "editor_tags.yaml"
NAMED = (*LABELS_TAGS, "KeyPoint", "Rectangle", "Brush", "Bitmask", "Polygon", "Ellipse")

Problem = tuple[int, str]
"""The line, and what is wrong there."""


@functools.cache
def known_tags() -> frozenset[str]:
    """The tags of the pinned Label Studio's editor, as its documentation writes them."""
    text = resources.files(__package__).joinpath(TAGS_FILE).read_text(encoding="utf-8")
    content: Any = parse_yaml(text, TAGS_FILE)
    # Not registered like the others: the editor replaces it by what it repeats (core/Tree.tsx).
    return frozenset(content["tags"]) | {"Repeater"}


def problems_in(text: str) -> list[Problem]:
    """Everything that is wrong for `up` and `doctor`, which prove one click: they need one image and one brush."""
    try:
        root = parse_xml(text)
    except XmlProblem as problem:
        return [(problem.line, problem.text)]
    config, tags = config_of(text, root), list(root.walk())
    problems = [*structure(root, tags), *names(tags), *repeaters(tags), *_one_image(config), *palettes(tags)]
    # What each label can do is worth saying only once its tags are sound.
    return sorted(problems or list(_one_brush(config)) or abilities(config))


def structure(root: Tag, tags: list[Tag]) -> Iterator[Problem]:
    """What is wrong with the tags themselves."""
    if root.name != "View":
        yield root.line, f"the outermost tag is <{root.name}>; Label Studio needs <View>"
    for tag in tags:
        if tag.name not in known_tags():
            near = next((known for known in known_tags() if known.lower() == tag.name.lower()), None)
            hint = f"; did you mean <{near}>?" if near else ""
            yield tag.line, f"Label Studio 1.23.2 knows no tag <{tag.name}>{hint}"
        for child in tag.children:
            if child.name == "Label" and tag.name not in LABELS_TAGS and tag.name in known_tags():
                yield child.line, f"<Label> stands in <{tag.name}>; it belongs in a tag such as <Labels>"


def repeaters(tags: list[Tag]) -> Iterator[Problem]:
    """Repeaters of no list, and names in them that would be given once for each entry."""
    for repeater in (tag for tag in tags if tag.kind == "repeater"):
        flag = repeater.get("indexFlag") or FLAG
        if not repeater.get("on").startswith("$"):
            yield repeater.line, f'<Repeater> needs a list such as on="$pages", not on="{repeater.get("on")}"'
        for tag in list(repeater.walk())[1:]:
            if tag.get("name") and flag not in tag.get("name"):
                yield tag.line, f'name="{tag.get("name")}" would be given for each entry; put {flag} into it'


def names(tags: list[Tag]) -> Iterator[Problem]:
    """Names that are missing, given twice, or meant and not there."""
    lines: dict[str, int] = {}
    for tag in tags:
        name = tag.attributes.get("name")
        if name is None:
            continue
        if name in lines:
            yield tag.line, f'name="{name}" was given in line {lines[name]} already'
        lines.setdefault(name, tag.line)
    for tag in tags:
        if tag.name in (*NAMED, "Image") and not tag.attributes.get("name"):
            yield tag.line, f"<{tag.name}> has no name"
        if tag.name in NAMED and not tag.attributes.get("toName"):
            yield tag.line, f"<{tag.name}> has no toName"
        for target in tag.attributes.get("toName", "").split(","):
            if target and target not in lines:
                there = ", ".join(sorted(lines))
                yield tag.line, f'toName="{target}": no tag has this name (there are: {there})'


def images(config: LabelingConfig, data: Collection[str] | None = None) -> Iterator[Problem]:
    """Images that are missing, or that name no field of a task. `data` are the fields that tasks have, if known."""
    if not config.images:
        yield config.line, 'there is no <Image>; add <Image name="image" value="$image"/>'
    for image in config.images:
        if not image.fields:
            yield _no_variable(image)
        elif data is not None and (missing := sorted(image.fields - set(data))):
            there = ", ".join(sorted(data)) or "nothing"
            shown = f'{image.attribute}="{image.value}"'
            yield image.line, f"{shown}: the tasks have no {', '.join(missing)} (they have: {there})"


def _no_variable(image: ImageTag) -> Problem:
    shown = f'{image.attribute}="{image.value}"'
    return image.line, f'<Image> needs a variable such as value="$image", not {shown}'


def _one_image(config: LabelingConfig) -> Iterator[Problem]:
    for repeater in config.repeaters:
        yield repeater.line, "what <Repeater> repeats is not one image; exactly one is needed"
    if len(config.images) != 1:
        line = config.images[1].line if config.images else config.line
        yield line, f"there are {len(config.images)} <Image> tags; exactly one is needed"
    for image in config.images:
        if image.is_list or not image.is_reference:
            yield _no_variable(image)


def _one_brush(config: LabelingConfig) -> Iterator[Problem]:
    brushes = [tag for tag in config.controls if tag.shape == "brush"]
    if len(brushes) != 1:
        line = brushes[1].line if brushes else config.line
        yield line, f"there are {len(brushes)} brush tags; exactly one (<Brush> or <BrushLabels>) takes the masks"


def palettes(tags: list[Tag]) -> Iterator[Problem]:
    """Labels that are missing or repeated, and colours that are none."""
    for palette in (tag for tag in tags if tag.name in LABELS_TAGS):
        where = f'<{palette.name} name="{palette.attributes.get("name", "")}">'
        labels = [child for child in palette.children if child.name == "Label"]
        if not labels:
            yield palette.line, f"{where} has no <Label>"
        yield from _repeated(labels, "value", where)
        yield from _repeated(labels, "hotkey", where)
        for label in labels:
            if not label.attributes.get("value"):
                yield label.line, "<Label> has no value"
            colour = label.attributes.get("background")
            if colour is not None and not is_colour(colour):
                yield label.line, f'background="{colour}" is not a colour; write it as #RRGGBB'


def _repeated(labels: list[Tag], attribute: str, where: str) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for label in labels:
        value = label.attributes.get(attribute)
        if not value:
            continue
        key = value.lower() if attribute == "hotkey" else value
        if key in first:
            yield label.line, f'{attribute}="{value}" is used twice in {where} (first in line {first[key]})'
        first.setdefault(key, label.line)


def abilities(config: LabelingConfig) -> Iterator[Problem]:
    """On each image, each label needs a smart prompt to ask SAM2 with, and a tag that takes the answer."""
    for image in config.images:
        yield from _on_image(image, config.on(image.name))


def _on_image(image: ImageTag, controls: Collection[ControlTag]) -> Iterator[Problem]:
    where = f'the image "{image.name}"'
    prompts = [tag for tag in controls if tag.shape in ("keypoint", "rectangle") and tag.smart]
    outputs = [tag for tag in controls if tag.shape in MASK_SHAPES]
    # Without any other, the backend writes boxes.
    outputs = outputs or [tag for tag in controls if tag.shape == "rectangle"]
    if not outputs:
        yield image.line, f"nothing takes the masks of {where}; add <Brush>, <Bitmask> or <Polygon>"
    if not prompts:
        yield image.line, f'{where} has no smart prompt; add <KeyPoint> or <Rectangle> with smart="true"'
    if not outputs or not prompts:
        return
    shared = frozenset(name for tag in controls if tag.kind == "labels" for name in tag.names)
    if not shared and not any(tag.names for tag in controls):
        yield image.line, f"{where} has no labels"
    taken = frozenset(name for tag in outputs for name in _offered(tag, shared))
    prompted = frozenset(name for tag in prompts for name in _offered(tag, shared))
    for tag in controls:
        for name in (label.name for label in tag.labels):
            if name not in taken:
                yield tag.line, f'label "{name}" has no mask output: no brush, bitmask or polygon of {where} offers it'
            if name not in prompted and (tag in outputs or tag.kind == "labels"):
                yield (
                    tag.line,
                    f'label "{name}" has no smart prompt: no smart key point or rectangle of {where} offers it',
                )


def _offered(tag: ControlTag, shared: frozenset[str]) -> frozenset[str]:
    """The labels that a region of this tag can get: its own, or those of the shared palette."""
    return tag.names if tag.has_labels else shared


def is_colour(text: str) -> bool:
    """Whether CSS reads it as a colour."""
    from PIL import ImageColor  # reads what CSS does: names, #hex, rgb(), hsl()

    try:
        ImageColor.getrgb(text)
    except ValueError:
        return False
    return True
