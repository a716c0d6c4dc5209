"""What a labeling configuration means for masks: which images a task has, which tags draw, which only ask the model.

Unlike `labelstudio.labeling_xml.LabelingConfig` this reads any project of Label Studio: several images, lists of
images, every tag that draws. As in the editor, the case of tag names does not matter.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import SettingsError
from labelstudio.labeling_xml import Tag, XmlProblem, parse_xml
from labelstudio.versions import FOLDER

MASK_KINDS = ("brush", "bitmask", "polygon")
SHAPES = (*MASK_KINDS, "rectangle", "ellipse", "keypoint", "vector")


@dataclass(frozen=True)
class ImageTag:
    """An `<Image>`: `name` is the `to_name` of results, `path` the way to its URL in a task's data."""

    name: str
    path: str


@dataclass(frozen=True)
class Tool:
    """A tag that draws or labels; `kind` is its name in lower case, the `type` of its results."""

    kind: str
    name: str
    to_names: tuple[str, ...]
    labels: tuple[str, ...]
    smart: bool

    @property
    def shape(self) -> str:
        """What it draws: `brush` for both `<Brush>` and `<BrushLabels>`; empty for a palette."""
        shape = self.kind.removesuffix("labels")
        return shape if shape in SHAPES else ""

    def offers(self, label: str) -> bool:
        """Whether the label can be chosen here. Labels that come from the task's data are not known: all can."""
        return not self.labels or label in self.labels


@dataclass(frozen=True)
class Labeling:
    """One configuration. `colours` are as written, by label."""

    text: str
    images: tuple[ImageTag, ...]
    tools: tuple[Tool, ...]
    colours: Mapping[str, str]

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label of a tag that draws masks or boxes, or of a palette, once, in the order of the text."""
        return tuple(dict.fromkeys(label for tool in self.tools for label in tool.labels))

    @property
    def sha256(self) -> str:
        """Of the text, as in `versions.lock`."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    def on(self, image_name: str) -> tuple[Tool, ...]:
        """The tags that work on this image."""
        return tuple(tool for tool in self.tools if image_name in tool.to_names)

    def draws_masks(self, image_name: str) -> bool:
        """Whether brush, bitmask or polygon takes the masks of this image; a smart rectangle then only prompts."""
        return any(tool.shape in MASK_KINDS for tool in self.on(image_name))

    def tool(self, name: str) -> Tool | None:
        """The tag of this name."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def urls(self, image: ImageTag, data: Mapping[str, Any]) -> list[str]:
        """The URLs that a task's data holds for this image: one, or as many as its list has."""
        found: Any = data.get(image.path)
        if found is None:
            found = data
            for step in re.findall(r"[^.[\]]+", image.path):
                found = found.get(step) if isinstance(found, Mapping) else None
        return [str(one) for one in (found if isinstance(found, list) else [found]) if one]


@dataclass(frozen=True)
class UsedConfig:
    """The configuration that an export reads results by.

    `name` and `version` say which file of `labeling_configs` it is, None where it is none of them. With `strict`,
    regions whose tag or label this configuration lacks are left out.
    """

    labeling: Labeling
    name: str | None
    version: int | None
    strict: bool = False


def read_labeling(text: str, shown: str) -> Labeling:
    """Read a configuration. `shown` is what it is called in messages.

    Raises:
        SettingsError: no XML, or without an image.
    """
    try:
        root = parse_xml(text)
    except XmlProblem as problem:
        raise SettingsError(f"{shown}:{problem.line}: {problem.text}") from None
    tags = [
        (tag.name.lower(), {name.lower(): value for name, value in tag.attributes.items()}, tag) for tag in root.walk()
    ]
    images = tuple(
        ImageTag(attributes.get("name", ""), (attributes.get("valuelist") or attributes.get("value", "")).lstrip("$"))
        for kind, attributes, _ in tags
        if kind == "image"
    )
    if not images:
        raise SettingsError(f"{shown}: the labeling configuration has no <Image>, so there are no masks in the project")
    tools = tuple(
        _tool(kind, attributes, tag, images)
        for kind, attributes, tag in tags
        if kind == "labels" or kind.removesuffix("labels") in SHAPES
    )
    colours = {
        attributes.get("alias") or attributes.get("value", ""): attributes["background"]
        for kind, attributes, _ in tags
        if kind == "label" and "background" in attributes
    }
    return Labeling(text, images, tools, colours)


def used_config(repository: Path, project_xml: str, title: str, name: str | None, version: int | None) -> UsedConfig:
    """Find the configuration of an export.

    Args:
        repository: the folder that holds `labeling_configs`.
        project_xml: the project's own configuration.
        title: the project's title, for messages.
        name: of a configuration, for `version`; found by the project's own text when None.
        version: read results by this version instead of the project's own, strictly.

    Raises:
        SettingsError: there is no such version, or no name for it.
    """
    own = read_labeling(project_xml, f"the project {title!r}")
    found = _file_of(repository, own)
    if version is None:
        if found is None:
            return UsedConfig(own, name, None)
        # Label Studio takes the last line break away: the file's own text has the published checksum.
        text = found.read_text(encoding="utf-8")
        return UsedConfig(read_labeling(text, str(found)), name or found.parent.name, _version_of(found))
    name = name or (found.parent.name if found is not None else None)
    if name is None:
        raise SettingsError(
            f"the labeling configuration of {title!r} is none of {FOLDER}; say which one --config-version counts: "
            "--config NAME"
        )
    shown = f"{FOLDER}/{name}/v{version}.xml"
    try:
        text = (repository / shown).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        there = ", ".join(sorted(one.name for one in (repository / FOLDER / name).glob("v*.xml"))) or "none"
        raise SettingsError(f"{shown}: cannot be read (there are: {there})") from None
    return UsedConfig(read_labeling(text, shown), name, version, strict=True)


def _file_of(repository: Path, own: Labeling) -> Path | None:
    for path in sorted((repository / FOLDER).glob("*/v*.xml")):
        if _version_of(path) is not None and path.read_text(encoding="utf-8").strip() == own.text.strip():
            return path
    return None


def _version_of(path: Path) -> int | None:
    number = path.stem.removeprefix("v")
    return int(number) if number.isdecimal() else None


def _tool(kind: str, attributes: Mapping[str, str], tag: Tag, images: tuple[ImageTag, ...]) -> Tool:
    to_names = tuple(one.strip() for one in attributes.get("toname", "").split(",") if one.strip())
    labels = [child for child in tag.walk() if child.name.lower() == "label"]
    return Tool(
        kind=kind,
        name=attributes.get("name", ""),
        to_names=to_names or ((images[0].name,) if len(images) == 1 else ()),
        labels=tuple(one.attributes.get("alias") or one.attributes.get("value", "") for one in labels),
        smart=attributes.get("smart", "true").lower() == "true",
    )
