"""Read a labeling configuration: its images, the tags that draw and label, and how results name both.

As in Label Studio's editor, the case of tag and attribute names does not matter, a missing `toName` is the only object
tag there is (libs/editor, core/Tree.tsx), and a missing `smart` is true (tags/control/Base.js).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from labeling.images import ImageTag
from labeling.repeaters import repeated
from labeling.tags import Tag, parse_xml

K = TypeVar("K", bound=Hashable)
MASK_SHAPES = ("brush", "bitmask", "polygon")
SHAPES = (*MASK_SHAPES, "rectangle", "ellipse", "keypoint", "vector")
PALETTE = "labels"
OTHER_OBJECTS = frozenset(
    ("audio", "chat", "hypertext", "list", "paragraphs", "pdf", "richtext", "table", "text", "timeseries", "video")
)


@dataclass(frozen=True)
class Label:
    """A `<Label>`. `value` is what the editor shows, `name` what results carry: the alias, if there is one."""

    value: str
    alias: str = ""
    background: str = ""

    @property
    def name(self) -> str:
        """What results carry."""
        return self.alias or self.value


@dataclass(frozen=True)
class ControlTag:
    """A tag that draws, labels or asks: its `name` is the `from_name` of results.

    Attributes:
        tag: the tag as it is written.
        to_names: the objects that it works on.
        labels: its own, in the order of the text.
        smart: the editor offers its smart tool.
        is_dynamic: its labels come from the task's data (`value="$labels"`), so any may be chosen.
        allows_empty: a region without a label may be written for it (`allowEmpty`).
        line: where it stands, from 1.
    """

    tag: str
    name: str
    to_names: tuple[str, ...]
    labels: tuple[Label, ...] = ()
    smart: bool = True
    is_dynamic: bool = False
    allows_empty: bool = False
    line: int = field(default=0, compare=False)

    @property
    def kind(self) -> str:
        """The tag in lower case, which is the `type` of its results."""
        return self.tag.lower()

    @property
    def has_labels(self) -> bool:
        """Whether it labels: `<BrushLabels>` and `<Labels>` do, `<Brush>` does not."""
        return self.kind.endswith(PALETTE)

    @property
    def shape(self) -> str:
        """What it draws: `brush` for both `<Brush>` and `<BrushLabels>`; empty for a palette and what draws nothing."""
        shape = self.kind.removesuffix(PALETTE)
        return shape if shape in SHAPES else ""

    @cached_property
    def names(self) -> frozenset[str]:
        """Its labels as results name them."""
        return frozenset(label.name for label in self.labels if label.name)

    @cached_property
    def values(self) -> frozenset[str]:
        """Its labels as the editor shows them."""
        return frozenset(label.value for label in self.labels if label.value)

    def offers(self, label: str) -> bool:
        """Whether the label can be chosen here, by the name that results carry."""
        return self.is_dynamic or label in self.names

    def finds(self, label: str) -> bool:
        """Whether the editor finds the label here: by its alias or its value (mixins/SelectedModel.js)."""
        return self.offers(label) or label in self.values


@dataclass(frozen=True)
class Repeater:
    """`<Repeater on="$pages" indexFlag="{{idx}}">`: the editor repeats the tags in it for each entry of a list."""

    on: str
    index_flag: str
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class LabelingConfig:
    """One configuration.

    Attributes:
        text: the XML.
        images: the image tags, in the order of the text.
        controls: the tags that draw or label, in the order of the text.
        others: the other tags that results name, such as `<Choices>`.
        repeaters: the tags that repeat others. What stands in them is read once, as it is written; see `for_data`.
        line: where the outermost tag stands, from 1.
    """

    text: str
    images: tuple[ImageTag, ...]
    controls: tuple[ControlTag, ...]
    others: tuple[ControlTag, ...] = ()
    repeaters: tuple[Repeater, ...] = ()
    line: int = field(default=1, compare=False)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Every label once, as results name it, in the order of the text."""
        names = (label.name for tag in self.controls for label in tag.labels)
        return tuple(dict.fromkeys(filter(None, names)))

    @cached_property
    def colours(self) -> dict[str, str]:
        """The background of each label that has one, as it is written."""
        found: dict[str, str] = {}
        for label in (label for tag in self.controls for label in tag.labels if label.background):
            found.setdefault(label.name, label.background)
        return found

    @property
    def palette(self) -> ControlTag | None:
        """The first `<Labels>`, which tools without labels share."""
        return self.first(PALETTE)

    @property
    def point(self) -> ControlTag | None:
        """The smart key point tag, if there is one."""
        return self.first("keypoint", smart=True)

    @property
    def box(self) -> ControlTag | None:
        """The smart rectangle tag, if there is one."""
        return self.first("rectangle", smart=True)

    @property
    def mask(self) -> ControlTag | None:
        """The brush tag that takes the masks."""
        return self.first("brush")

    def for_data(self, data: Mapping[str, Any]) -> LabelingConfig:
        """The configuration as the editor shows it for a task: with what its repeaters make of the data.

        Raises:
            XmlProblem: see `labeling.repeaters`.
        """
        return config_of(self.text, repeated(parse_xml(self.text), data)) if self.repeaters else self

    def image(self, name: str) -> ImageTag | None:
        """The image tag of this name."""
        return next((tag for tag in self.images if tag.name == name), None)

    def control(self, name: str) -> ControlTag | None:
        """The tag of this name that draws or labels."""
        return next((tag for tag in self.controls if tag.name == name), None)

    @cached_property
    def _on(self) -> dict[str, tuple[ControlTag, ...]]:
        """The tags that draw or label, by what they work on."""
        return _grouped((name, tag) for tag in self.controls for name in dict.fromkeys(tag.to_names))

    @cached_property
    def _of_kind(self) -> dict[tuple[str, str], tuple[ControlTag, ...]]:
        return _grouped(((tag.kind, name), tag) for name, tags in self._on.items() for tag in tags)

    def on(self, image_name: str) -> tuple[ControlTag, ...]:
        """The tags that draw or label on this image."""
        return self._on.get(image_name, ())

    def of_kind(self, kind: str, image_name: str) -> tuple[ControlTag, ...]:
        """The tags of one kind that work on this image."""
        return self._of_kind.get((kind, image_name), ())

    def draws_masks(self, image_name: str) -> bool:
        """Whether brush, bitmask or polygon takes the masks of this image; a smart rectangle then only prompts."""
        return any(tag.shape in MASK_SHAPES for tag in self.on(image_name))

    def offers_mask(self, label: str, image_name: str) -> bool:
        """Whether a brush, bitmask or polygon of this image can have the label, its own or that of a palette."""
        masks = [tag for tag in self.on(image_name) if tag.shape in MASK_SHAPES]
        palettes = self.of_kind(PALETTE, image_name) if any(not tag.has_labels for tag in masks) else ()
        return any(tag.offers(label) for tag in (*masks, *palettes) if tag.has_labels)

    def first(self, shape: str, *, smart: bool = False) -> ControlTag | None:
        """The first tag of a shape, with or without labels of its own; or the first palette."""
        found = (tag for tag in self.controls if (tag.shape or tag.kind) == shape and (tag.smart or not smart))
        return next(found, None)


def read_config(text: str) -> LabelingConfig:
    """Read a configuration. Whether it makes sense is not checked here.

    Raises:
        XmlProblem: it is not XML that we read.
    """
    return config_of(text, parse_xml(text))


def config_of(text: str, root: Tag) -> LabelingConfig:
    """The same for a text that is parsed already."""
    tags = list(root.walk())
    images = tuple(_image(tag) for tag in tags if tag.kind == "image")
    is_alone = len(images) == 1 and not any(tag.kind in OTHER_OBJECTS for tag in tags)
    only = images[0].name if is_alone else ""
    labels = _labels_of(root)
    return LabelingConfig(
        text,
        images,
        tuple(control_of(tag, only, labels[id(tag)]) for tag in tags if is_control(tag)),
        tuple(control_of(tag, only) for tag in tags if not is_control(tag) and tag.get("name") and tag.get("toName")),
        tuple(Repeater(tag.get("on"), tag.get("indexFlag"), tag.line) for tag in tags if tag.kind == "repeater"),
        root.line,
    )


def is_control(tag: Tag) -> bool:
    """Whether a tag draws or labels."""
    return tag.kind == PALETTE or tag.kind.removesuffix(PALETTE) in SHAPES


def control_of(tag: Tag, only: str = "", labels: Iterable[Label] = ()) -> ControlTag:
    """The control that a tag stands for. `only` is the one object of the configuration, for a missing `toName`."""
    names = (name.strip() for name in (tag.get("toName") or only).split(","))
    return ControlTag(
        tag=tag.name,
        name=tag.get("name"),
        to_names=tuple(filter(None, names)),
        labels=tuple(labels),
        smart=tag.get("smart").lower() != "false",
        is_dynamic=is_control(tag) and tag.kind.endswith(PALETTE) and tag.get("value").startswith("$"),
        allows_empty=tag.get("allowEmpty").lower() == "true",
        line=tag.line,
    )


def _labels_of(root: Tag) -> dict[int, list[Label]]:
    """The labels of each control, by the `id` of its tag, in one pass: a label is that of the innermost control."""
    found: dict[int, list[Label]] = {}
    waiting: list[tuple[Tag, list[Label]]] = [(root, [])]
    while waiting:
        tag, around = waiting.pop()
        if is_control(tag):
            around = found.setdefault(id(tag), [])
        elif tag.kind == "label":
            around.append(Label(tag.get("value"), tag.get("alias"), tag.get("background")))
        waiting.extend((child, around) for child in reversed(tag.children))
    return found


def _grouped(pairs: Iterable[tuple[K, ControlTag]]) -> dict[K, tuple[ControlTag, ...]]:
    found: dict[K, list[ControlTag]] = {}
    for key, tag in pairs:
        found.setdefault(key, []).append(tag)
    return {key: tuple(tags) for key, tags in found.items()}


def _image(tag: Tag) -> ImageTag:
    # As in the editor, a valueList wins over a value (tags/object/MultiItemObjectBase.js).
    values = tag.get("valueList")
    return ImageTag(tag.get("name"), values or tag.get("value"), bool(values), tag.line)
