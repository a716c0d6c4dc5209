"""From which image of which project to which: the two images of a pair, or the images of two projects."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import SettingsError
from dataset.export.labeling import UsedConfig, check_image, read_labeling
from labeling.config import LabelingConfig
from labelstudio.models import Project


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
