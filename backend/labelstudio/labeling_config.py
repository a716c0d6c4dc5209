"""Which tag of a labeling configuration takes the answer to a prompt; reading the configuration is `labeling`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backend.caching.byte_lru import ByteLru
from backend.errors import ImageError, LabelingConfigError
from backend.labelstudio.options import OutputKind
from labeling.config import ControlTag, LabelingConfig, read_config
from labeling.images import ImageTag, NoImage
from labeling.images import image_url as resolve_url
from labeling.tags import XmlProblem

SPLIT_PROMPTS = ("keypoint", "rectangle")
LABELLED_PROMPTS = ("keypointlabels", "rectanglelabels")
# In the order in which they are taken: a rectangle tells least of a mask, and is a prompt in most configurations.
OUTPUT_KINDS: tuple[OutputKind, ...] = ("brush", "bitmask", "polygon", "rectangle")
REMEMBERED_CHARACTERS = 2_000_000  # of configurations; their tags take some 25 bytes for each
_parsed: ByteLru[str, LabelingConfig] = ByteLru(REMEMBERED_CHARACTERS)


@dataclass(frozen=True)
class Output:
    """What an answer is written as, and for which tags.

    Attributes:
        mask_tag: the tag of this kind, with labels of its own (`<BrushLabels>`) or without (`<Brush>`).
        labels_tag: the `<Labels>` that labels a `<Brush>`; None when the mask tag labels, or nothing does.
    """

    kind: OutputKind
    mask_tag: ControlTag
    labels_tag: ControlTag | None


def parse_cached(xml: str) -> LabelingConfig:
    """`parse`, remembered: the same configuration comes with every click. What cannot be read is not remembered."""
    known = _parsed.get(xml)
    if known is None:
        known = parse(xml)
        _parsed.put(xml, known, len(xml))
    return known


def config_of_task(xml: str, data: Mapping[str, Any]) -> LabelingConfig:
    """The configuration as the editor shows it for a task, with what its `<Repeater>` makes of the task's data.

    Raises:
        LabelingConfigError: it cannot be read, or the data repeat too much.
    """
    config = parse_cached(xml)
    try:
        return config.for_data(data)
    except XmlProblem as problem:
        raise LabelingConfigError(f"the labeling configuration, line {problem.line}: {problem.text}") from None


def parse(xml: str) -> LabelingConfig:
    """Read the tags.

    Raises:
        LabelingConfigError: not XML, or XML that could be an attack.
    """
    try:
        return read_config(xml)
    except XmlProblem as problem:
        raise LabelingConfigError(f"the labeling configuration, line {problem.line}: {problem.text}") from None


def image_named(config: LabelingConfig, name: str) -> ImageTag:
    """The image tag with this name.

    Raises:
        LabelingConfigError: there is none.
    """
    tag = config.image(name)
    if tag is None:
        raise LabelingConfigError(f"the labeling configuration has no <Image> named {name!r}")
    return tag


def image_url(data: Mapping[str, Any], tag: ImageTag, item_index: int | None) -> str:
    """The URL of the image that a tag shows. `item_index` is which image of a list; None is the first.

    Raises:
        ImageError: the data holds no such image.
    """
    try:
        return resolve_url(data, tag, item_index)
    except NoImage as error:
        raise ImageError(str(error)) from None


def output_for(
    config: LabelingConfig, image_name: str, label: str | None, prompt_kind: str, prefer: OutputKind | None = None
) -> Output:
    """Where the answer to a prompt belongs: brush, bitmask, polygon, rectangle, the first that takes the label.

    Args:
        label: None for a prompt that was drawn without a label.
        prompt_kind: `type` of the prompt's result.
        prefer: the project's own choice, which comes first; where no such tag takes the label, the usual order
            counts.

    Raises:
        LabelingConfigError: no tag can take it.
    """
    kinds = OUTPUT_KINDS if prefer is None else (prefer, *OUTPUT_KINDS)
    if label is None and prefer != "rectangle" and config.draws_masks(image_name):
        # The <Rectangle> is there to prompt: what is missing is a mask tag without labels.
        kinds = tuple(kind for kind in kinds if kind != "rectangle")
    outputs = (_find_output(config, kind, image_name, label, prompt_kind) for kind in kinds)
    found = next((output for output in outputs if output is not None), None)
    if found is not None:
        return found
    what = f"the label {label!r}" if label is not None else "a mask without a label"
    raise LabelingConfigError(
        f"no output tag of the labeling configuration takes {what} on image {image_name!r}: "
        f"add {'it to ' if label is not None else ''}{_hint(config, image_name, label)}"
    )


def taken_labels(config: LabelingConfig, image_name: str) -> frozenset[str] | None:
    """The labels for which `output_for` finds a tag of this image; None where it finds one for any."""
    fused = [tag for kind in OUTPUT_KINDS for tag in config.of_kind(f"{kind}labels", image_name)]
    has_split = any(config.of_kind(kind, image_name) for kind in OUTPUT_KINDS)
    tags = [*fused, *(config.of_kind("labels", image_name) if has_split else ())]
    if any(tag.is_dynamic for tag in tags):
        return None
    return frozenset().union(*(tag.names | tag.values for tag in tags))


def _find_output(
    config: LabelingConfig, kind: OutputKind, image_name: str, label: str | None, prompt_kind: str
) -> Output | None:
    """The first tags of one kind that take the label, of the style of the prompt before the other style."""
    fused = (
        Output(kind, tag, None)
        for tag in config.of_kind(f"{kind}labels", image_name)
        if (tag.allows_empty if label is None else tag.finds(label))
    )
    palettes: tuple[ControlTag | None, ...] = (None,)
    if label is not None:
        palettes = tuple(tag for tag in config.of_kind("labels", image_name) if tag.finds(label))
    split = (Output(kind, tag, palette) for tag in config.of_kind(kind, image_name) for palette in palettes)
    is_fused = prompt_kind.endswith("labels") and prompt_kind != "labels"
    first, second = (fused, split) if is_fused else (split, fused)
    return next(first, None) or next(second, None)


def _hint(config: LabelingConfig, image_name: str, label: str | None) -> str:
    if label is None:
        return '<Brush>, or to <BrushLabels> the attribute allowEmpty="true"'
    for kind in OUTPUT_KINDS[:3]:
        for tag in config.of_kind(f"{kind}labels", image_name):
            return f"{shown(tag.kind)} {tag.name!r}"
        if config.of_kind(kind, image_name):
            return f"{'the' if config.of_kind('labels', image_name) else 'a new'} <Labels> beside {shown(kind)}"
    return "<BrushLabels>, or to the <Labels> beside a <Brush>"


def shown(kind: str) -> str:
    """A tag as people write it: `<BrushLabels>`."""
    base = kind.removesuffix("labels")
    name = {"keypoint": "KeyPoint"}.get(base, base.capitalize())
    return f"<{name}{'Labels' if kind.endswith('labels') else ''}>"
