"""Everything that can be wrong with a labeling configuration, found before Label Studio sees it.

Label Studio's own validation stops at the first problem, gives no line, and accepts much that fails only in the
browser (a label that no smart tool offers, two labels on one key).
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from typing import Any

from core.strict_yaml import parse_yaml
from labelstudio.labeling_xml import (
    BOX_TAGS,
    LABELS_TAGS,
    MASK_TAGS,
    POINT_TAGS,
    Control,
    Tag,
    control_of,
)

TAGS_FILE = "editor_tags.yaml"
NAMED = (*LABELS_TAGS, *POINT_TAGS, *BOX_TAGS, *MASK_TAGS, "Bitmask", "Polygon", "Ellipse")

Problem = tuple[int, str]
"""The line, and what is wrong there."""


@functools.cache
def known_tags() -> frozenset[str]:
    """The tags of the pinned Label Studio's editor, as its documentation writes them."""
    text = resources.files(__package__).joinpath(TAGS_FILE).read_text(encoding="utf-8")
    content: Any = parse_yaml(text, TAGS_FILE)
    return frozenset(content["tags"])


def problems_in(root: Tag) -> list[Problem]:
    """Return everything that is wrong, in the order of the lines; an empty list for a good configuration."""
    tags = list(root.walk())
    problems = [
        *structure(root, tags),
        *names(tags),
        *_image(tags),
        *palettes(tags),
    ]
    # What each label can do is worth saying only once its tags are sound.
    if not problems:
        problems = [*_abilities(tags)]
    return sorted(problems)


def structure(root: Tag, tags: list[Tag]) -> Iterator[Problem]:
    """What is wrong with the tags themselves."""
    if root.name != "View":
        yield root.line, f"the outermost tag is <{root.name}>; Label Studio wants <View>"
    for tag in tags:
        if tag.name not in known_tags():
            near = next((known for known in known_tags() if known.lower() == tag.name.lower()), None)
            hint = f"; did you mean <{near}>?" if near else ""
            yield tag.line, f"Label Studio 1.23.2 knows no tag <{tag.name}>{hint}"
        for child in tag.children:
            if child.name == "Label" and tag.name not in LABELS_TAGS and tag.name in known_tags():
                yield child.line, f"<Label> stands in <{tag.name}>; it belongs in a tag such as <Labels>"


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


def _image(tags: list[Tag]) -> Iterator[Problem]:
    images = [tag for tag in tags if tag.name == "Image"]
    if len(images) != 1:
        line = images[1].line if images else tags[0].line
        yield line, f"there are {len(images)} <Image> tags; exactly one is needed"
    for image in images:
        value = image.attributes.get("value", "")
        if not value.startswith("$") or len(value) < 2:
            yield image.line, f'<Image> needs a variable such as value="$image", not value="{value}"'


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
                yield label.line, f'background="{colour}" is no colour; write it as #RRGGBB'


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


def _abilities(tags: list[Tag]) -> Iterator[Problem]:
    """Each label needs a smart prompt to ask SAM2 with, and a brush to take the answer."""
    controls = [(tag.line, control_of(tag)) for tag in tags if tag.name in NAMED]
    root_line = tags[0].line
    masks = [(line, control) for line, control in controls if control.tag in MASK_TAGS]
    prompts = [one for _, one in controls if one.tag in (*POINT_TAGS, *BOX_TAGS) and one.smart]
    if len(masks) != 1:
        line = masks[1][0] if masks else root_line
        yield line, f"there are {len(masks)} brush tags; exactly one (<Brush> or <BrushLabels>) takes the masks"
    if not prompts:
        yield root_line, 'there is no smart prompt; add smart="true" to a <KeyPoint> or <Rectangle> tag'
    if len(masks) != 1 or not prompts:
        return
    shared = [label for _, control in controls if control.tag == "Labels" for label in control.labels]
    if not shared and all(not control.labels for _, control in controls):
        yield root_line, "there are no labels"
    masked = _offered(masks[0][1], shared)
    prompted = Counter(label for prompt in prompts for label in set(_offered(prompt, shared)))
    for line, control in controls:
        for label in control.labels:
            if control.tag in LABELS_TAGS and label not in masked:
                yield line, f'label "{label}" has no mask output: no brush tag offers it'
            if control.tag in ("Labels", *MASK_TAGS) and not prompted[label]:
                yield line, f'label "{label}" has no smart prompt: no smart key point or rectangle offers it'


def _offered(control: Control, shared: list[str]) -> list[str]:
    """The labels that a region of this tag can get: its own, or those of the shared palette."""
    return list(control.labels) if control.tag in LABELS_TAGS else shared


def is_colour(text: str) -> bool:
    """Whether CSS reads it as a colour."""
    from PIL import ImageColor  # reads what CSS does: names, #hex, rgb(), hsl()

    try:
        ImageColor.getrgb(text)
    except ValueError:
        return False
    return True
