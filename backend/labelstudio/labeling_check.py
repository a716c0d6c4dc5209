"""Whether clicks in a labeling configuration can be answered; checked when Label Studio connects."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from backend.errors import LabelingConfigError
from backend.labelstudio.labeling_config import (
    LABELLED_PROMPTS,
    OUTPUT_KINDS,
    SPLIT_PROMPTS,
    output_for,
    shown,
    taken_labels,
)
from backend.labelstudio.options import OutputKind
from labeling.config import ControlTag, LabelingConfig
from labeling.images import ImageTag


def check(config: LabelingConfig, prefer: OutputKind | None = None) -> None:
    """Find what is missing for the prompts of this configuration.

    Args:
        prefer: the project's option `output`; some tag has to be of that kind.

    Raises:
        LabelingConfigError: one sentence that names what is missing.
    """
    if not config.images:
        raise LabelingConfigError(
            'the labeling configuration has no <Image> tag: add <Image name="image" value="$image"/>'
        )
    for image in config.images:
        _check_image(image)
    for tag in config.controls:
        if not tag.name:
            raise LabelingConfigError(f"a {shown(tag.kind)} of the labeling configuration has no name: give it one")
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
    for image_name, group in groupby(prompts, key=lambda prompt: prompt[0]):
        _check_outputs(config, image_name, [tag for _, tag in group])
    if prefer is not None and not any(
        config.of_kind(kind, image_name) for image_name, _ in prompts for kind in (prefer, f"{prefer}labels")
    ):
        raise LabelingConfigError(
            f'the project\'s extra_params ask for output "{prefer}", but the labeling configuration has neither '
            f"{shown(f'{prefer}labels')} nor {shown(prefer)} for an image that is prompted: add one, or change output"
        )


def _check_image(image: ImageTag) -> None:
    if not image.name:
        raise LabelingConfigError('an <Image> of the labeling configuration has no name: add name="image"')
    if not image.value:
        raise LabelingConfigError(
            f"the <Image> named {image.name!r} has no value: write where a task holds the image's URL, "
            'for example value="$image"'
        )
    if not image.fields and "/" not in image.value:
        raise LabelingConfigError(
            f"the <Image> named {image.name!r} has {image.attribute}={image.value[:100]!r}, which names no field of a "
            f'task: write {image.attribute}="${image.value[:100].lstrip("$") or "image"}"'
        )


def _check_outputs(config: LabelingConfig, image_name: str, prompts: Sequence[ControlTag]) -> None:
    """Every label of every prompt of one image has a tag that takes it. Labels are collected once, not by prompt."""
    if not any(config.of_kind(kind, image_name) for base in OUTPUT_KINDS for kind in (base, f"{base}labels")):
        raise LabelingConfigError(
            f"the labeling configuration has no output tag for image {image_name!r}: "
            "add <BrushLabels>, <PolygonLabels> or <BitmaskLabels>, or a <Brush> beside a <Labels>"
        )
    palettes = config.of_kind("labels", image_name)
    shared = frozenset(label for palette in palettes if not palette.is_dynamic for label in palette.names)
    taken = taken_labels(config, image_name)
    checked: set[str] = set()
    for prompt in prompts:
        has_labels = prompt.kind in LABELLED_PROMPTS
        if not has_labels and prompt.kind in checked:
            continue
        checked.add(prompt.kind)
        if not has_labels and not palettes:  # nothing to label with: the prompts come without a label
            output_for(config, image_name, None, prompt.kind)
        labels = (frozenset() if prompt.is_dynamic else prompt.names) if has_labels else shared
        if taken is not None and (missing := labels - taken):
            output_for(config, image_name, min(missing), prompt.kind)
