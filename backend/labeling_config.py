"""Read a labeling configuration: where the image is, which tags prompt, which tags take the mask.

As in Label Studio, the case of tag and attribute names does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from backend.errors import LabelingConfigError

SPLIT_PROMPTS = ("keypoint", "rectangle")
LABELLED_PROMPTS = ("keypointlabels", "rectanglelabels")
CONTROLS = (*SPLIT_PROMPTS, *LABELLED_PROMPTS, "labels", "brush", "brushlabels")


@dataclass(frozen=True)
class ImageTag:
    """`<Image name="image" value="$image"/>`: `key` is where a task's data holds the URL."""

    name: str
    key: str


@dataclass(frozen=True)
class ControlTag:
    """A tag that draws or labels.

    Attributes:
        kind: the tag's name in lower case, which is also the `type` of its results.
        labels: what it offers; None when the labels come from the task's data.
    """

    kind: str
    name: str
    to_names: tuple[str, ...]
    labels: frozenset[str] | None
    smart: bool

    def offers(self, label: str) -> bool:
        """True when the label can be chosen in this tag."""
        return self.labels is None or label in self.labels


@dataclass(frozen=True)
class Output:
    """Which tags a mask is written for.

    Attributes:
        mask_tag: the `<BrushLabels>` or `<Brush>`.
        labels_tag: the `<Labels>` that labels a `<Brush>`; None when the mask tag labels, or nothing does.
    """

    mask_tag: ControlTag
    labels_tag: ControlTag | None


@dataclass(frozen=True)
class LabelingConfig:
    """The tags of one configuration that matter here."""

    images: tuple[ImageTag, ...]
    controls: tuple[ControlTag, ...]

    def image(self, name: str) -> ImageTag:
        """The image tag with this name.

        Raises:
            LabelingConfigError: there is none.
        """
        for tag in self.images:
            if tag.name == name:
                return tag
        raise LabelingConfigError(f"the labeling configuration has no <Image> named {name!r}")

    def of_kind(self, kind: str, image_name: str) -> tuple[ControlTag, ...]:
        """The control tags of one kind that work on this image tag."""
        return tuple(tag for tag in self.controls if tag.kind == kind and image_name in tag.to_names)

    def output_for(self, image_name: str, label: str | None, prompt_kind: str) -> Output:
        """Where the mask of a prompt belongs: the tags of the same style that know the label.

        Args:
            label: None for a prompt that was drawn without a label.
            prompt_kind: `type` of the prompt's result.

        Raises:
            LabelingConfigError: no tag can take it.
        """
        fused = self._fused_output(image_name, label)
        split = self._split_output(image_name, label)
        output = (fused or split) if prompt_kind in LABELLED_PROMPTS else (split or fused)
        if output is None:
            what = f"the label {label!r}" if label is not None else "a mask without a label"
            raise LabelingConfigError(
                f"no output tag of the labeling configuration takes {what} on image {image_name!r}: "
                "add it to <BrushLabels>, or to the <Labels> beside a <Brush>"
            )
        return output

    def _fused_output(self, image_name: str, label: str | None) -> Output | None:
        if label is None:
            return None
        found = (tag for tag in self.of_kind("brushlabels", image_name) if tag.offers(label))
        return next((Output(tag, None) for tag in found), None)

    def _split_output(self, image_name: str, label: str | None) -> Output | None:
        brush = next(iter(self.of_kind("brush", image_name)), None)
        if brush is None:
            return None
        if label is None:
            return Output(brush, None)
        palettes = (tag for tag in self.of_kind("labels", image_name) if tag.offers(label))
        return next((Output(brush, palette) for palette in palettes), None)


def parse(xml: str) -> LabelingConfig:
    """Read the tags. DTDs and entities are refused.

    Raises:
        LabelingConfigError: not XML, or XML that could be an attack.
    """
    try:
        root = fromstring(xml, forbid_dtd=True)
    except ParseError as error:
        raise LabelingConfigError(f"the labeling configuration is not well-formed XML: {error}") from None
    except (DefusedXmlException, ValueError):
        raise LabelingConfigError(
            "the labeling configuration declares a DTD or entities, which are refused; remove them"
        ) from None
    images, controls = [], []
    for element in root.iter():
        kind = str(element.tag).lower()
        attributes = {name.lower(): value for name, value in element.attrib.items()}
        if kind == "image":
            images.append(ImageTag(attributes.get("name", ""), attributes.get("value", "").removeprefix("$")))
        elif kind in CONTROLS:
            controls.append(_control(kind, attributes, element))
    return LabelingConfig(tuple(images), tuple(controls))


def check(config: LabelingConfig) -> None:
    """Can clicks in this configuration be answered at all?

    Raises:
        LabelingConfigError: one sentence that names what is missing.
    """
    if not config.images:
        raise LabelingConfigError(
            'the labeling configuration has no <Image> tag: add <Image name="image" value="$image"/>'
        )
    for image in config.images:
        if not image.key:
            raise LabelingConfigError(
                f"the <Image> named {image.name!r} has no value: write where a task holds the image's URL, "
                'for example value="$image"'
            )
    prompts = [
        (image.name, tag)
        for image in config.images
        for kind in (*SPLIT_PROMPTS, *LABELLED_PROMPTS)
        for tag in config.of_kind(kind, image.name)
        if tag.smart
    ]
    if not prompts:
        raise LabelingConfigError(
            "the labeling configuration has no smart prompt tag: add <KeyPoint> or <Rectangle> (or "
            '<KeyPointLabels>, <RectangleLabels>) with smart="true" and the toName of an <Image>'
        )
    for image_name, tag in prompts:
        _check_output(config, image_name, tag)


def _check_output(config: LabelingConfig, image_name: str, prompt: ControlTag) -> None:
    palettes = [prompt] if prompt.kind in LABELLED_PROMPTS else list(config.of_kind("labels", image_name))
    takes_split = config.of_kind("brush", image_name) and config.of_kind("labels", image_name)
    if not config.of_kind("brushlabels", image_name) and not takes_split:
        raise LabelingConfigError(
            f"the labeling configuration has no output tag for image {image_name!r}: "
            "add <BrushLabels>, or a <Brush> beside a <Labels>"
        )
    for label in sorted({label for palette in palettes for label in palette.labels or ()}):
        config.output_for(image_name, label, prompt.kind)


def _control(kind: str, attributes: dict[str, str], element: Element) -> ControlTag:
    labels = {
        attributes_of_label.get("alias") or attributes_of_label.get("value", "")
        for child in element.iter()
        if str(child.tag).lower() == "label"
        for attributes_of_label in [{name.lower(): value for name, value in child.attrib.items()}]
    }
    return ControlTag(
        kind=kind,
        name=attributes.get("name", ""),
        to_names=tuple(name.strip() for name in attributes.get("toname", "").split(",")),
        labels=None if attributes.get("value", "").startswith("$") else frozenset(labels),
        # Label Studio's editor takes a missing `smart` as true (libs/editor, tags/control/Base.js).
        smart=attributes.get("smart", "true").lower() != "false",
    )
