"""Pairs in Label Studio: the two images of a task, or the images of two projects by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import SettingsError
from dataset.export.image_name import file_name_of
from dataset.export.labeling import UsedConfig, check_image, read_labeling
from dataset.image_lookup import Ambiguous
from dataset.importing.places import project_images
from labeling.config import LabelingConfig
from labeling.images import TaskImage
from labelstudio.models import Project

if TYPE_CHECKING:
    from labelstudio.client import Client


@dataclass(frozen=True)
class ProjectSides:
    """The projects with their configurations, and the image tag on each side."""

    source: Project
    target: Project
    source_config: UsedConfig
    target_config: UsedConfig
    source_image: str
    target_image: str

    @property
    def is_one(self) -> bool:
        """Whether the tasks of one project show both images."""
        return self.source.id == self.target.id


def project_sides(source: Project, target: Project | None, image: str | None, to_image: str | None) -> ProjectSides:
    """Which images are meant.

    Args:
        target: the project of the twins; None where the tasks of `source` show both.
        image, to_image: image tags; None means the first one, and the other one.

    Raises:
        SettingsError: a configuration has no such image, or several, or repeats its tags.
    """
    first = read_labeling(source.label_config, f"the project {source.title!r}")
    other = first if target is None else read_labeling(target.label_config, f"the project {target.title!r}")
    for project, labeling in ((source, first), (target or source, other)):
        if labeling.repeaters:
            raise SettingsError(
                f"the project {project.title!r} repeats tags (<Repeater>): masks cannot be carried over"
            )
    check_image(image, first)
    if to_image is not None and other.image(to_image) is None:
        names = ", ".join(one.name for one in other.images)
        raise SettingsError(f"--to-image {to_image}: the labeling configuration has no such image (there are: {names})")
    source_image = image or first.images[0].name
    target_image = to_image or _other(other, source_image if target is None else None, (target or source).title)
    if target is None and source_image == target_image:
        raise SettingsError(f"--image and --to-image both name {source_image}; they must be the two images of a pair")
    configs = UsedConfig(first, None, None), UsedConfig(other, None, None)
    return ProjectSides(source, target or source, *configs, source_image, target_image)


def _other(labeling: LabelingConfig, without: str | None, title: str) -> str:
    names = [one.name for one in labeling.images if one.name != without]
    if len(names) == 1:
        return names[0]
    if not names:
        raise SettingsError(
            f"the project {title!r} shows one image a task; --to PROJECT says which project shows the twins"
        )
    raise SettingsError(f"the project {title!r} shows {', '.join(names)}: say which is the twin with --to-image")


class NoTwin(Exception):
    """An image has no twin, or several; the text says why, in words that follow its name."""


@dataclass(frozen=True)
class Twin:
    """The other image of a pair, and the task that shows it."""

    task: int
    to_name: str
    item_index: int | None
    url: str


class TwinLookup:
    """Finds the twin of an image of the source project. Reads all tasks of the other project once."""

    def __init__(self, client: Client, sides: ProjectSides) -> None:
        self._sides = sides
        self._lookup = None
        if not sides.is_one:
            self._lookup = project_images(client, sides.target.id, sides.target_config, sides.target_image)

    def images_of(self, data: Mapping[str, Any]) -> list[TaskImage]:
        """The images of a task of the source project that twins are looked for."""
        return [one for one in self._sides.source_config.images_of(data) if one.name == self._sides.source_image]

    def find(self, task: int, data: Mapping[str, Any], image: TaskImage) -> Twin:
        """The twin of an image of a task.

        Raises:
            NoTwin: there is none, or the name fits several.
        """
        if self._lookup is None:
            for other in self._sides.source_config.images_of(data):
                if (other.name, other.item_index) == (self._sides.target_image, image.item_index):
                    return Twin(task, other.name, other.item_index, other.url)
            raise NoTwin(f"its task {task} shows no image {self._sides.target_image!r}")
        try:
            place = self._lookup.find(file_name_of(image.url), any_suffix=True)
        except Ambiguous as error:
            raise NoTwin(str(error)) from None
        if place is None:
            raise NoTwin(f"no image of {self._sides.target.title!r} has its name")
        return Twin(place.task, place.to_name, place.item_index, place.url)
