"""The labeling configuration that an export reads results by: the project's own, or a version of `labeling_configs`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import SettingsError
from labeling.config import LabelingConfig, read_config
from labeling.images import TaskImage, task_images
from labeling.tags import XmlProblem
from labelstudio.projects_file import read_text
from labelstudio.versions import FOLDER


@dataclass(frozen=True)
class UsedConfig:
    """The configuration that an export reads results by.

    `name` and `version` say which file of `labeling_configs` it is, None where it is none of them. With `strict`,
    regions whose tag or label this configuration lacks are left out.
    """

    labeling: LabelingConfig
    name: str | None
    version: int | None
    strict: bool = False

    def for_data(self, data: Mapping[str, Any]) -> UsedConfig:
        """The same as the editor shows it for a task, see `LabelingConfig.for_data`.

        Raises:
            SettingsError: the data repeat its tags too often.
        """
        if not self.labeling.repeaters:
            return self
        try:
            return replace(self, labeling=self.labeling.for_data(data))
        except XmlProblem as problem:
            raise SettingsError(f"the labeling configuration, line {problem.line}: {problem.text}") from None

    def images_of(self, data: Mapping[str, Any]) -> list[TaskImage]:
        """Every image that a task with this data shows."""
        return task_images(self.for_data(data).labeling.images, data)

    @property
    def sha256(self) -> str:
        """Of the text, as in `versions.lock`."""
        return hashlib.sha256(self.labeling.text.encode("utf-8")).hexdigest()


def read_labeling(text: str, shown: str) -> LabelingConfig:
    """Read a configuration. `shown` is what it is called in messages.

    Raises:
        SettingsError: not XML, or without an image.
    """
    try:
        labeling = read_config(text)
    except XmlProblem as problem:
        raise SettingsError(f"{shown}:{problem.line}: {problem.text}") from None
    if not labeling.images:
        raise SettingsError(f"{shown}: the labeling configuration has no <Image>, so there are no masks in the project")
    return labeling


def check_image(name: str | None, labeling: LabelingConfig) -> None:
    """Check what `--image` names.

    Raises:
        SettingsError: the configuration has no such image tag.
    """
    names = [one.name for one in labeling.images]
    if name is not None and name not in names:
        raise SettingsError(
            f"--image {name}: the labeling configuration has no such image (there are: {', '.join(names)})"
        )


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
        text = read_text(found, str(found))
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


def _file_of(repository: Path, own: LabelingConfig) -> Path | None:
    for path in sorted((repository / FOLDER).glob("*/v*.xml")):
        if _version_of(path) is not None and read_text(path, str(path)).strip() == own.text.strip():
            return path
    return None


def _version_of(path: Path) -> int | None:
    number = path.stem.removeprefix("v")
    return int(number) if number.isdecimal() else None
