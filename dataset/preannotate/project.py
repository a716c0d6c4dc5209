"""The project that masks are made in, as both ways of `./inv preannotate` open it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import LabelStudioError
from dataset.export.labeling import check_image, read_labeling
from dataset.preannotate.work import TaskState, states
from infra.fleet.session import Session
from infra.roles.project.project import get_project
from labeling.config import LabelingConfig
from labelstudio.client import Client
from labelstudio.models import Project


@dataclass(frozen=True)
class OpenProject:
    """A project and its labeling configuration."""

    client: Client
    project: Project
    labeling: LabelingConfig
    title: str

    def tasks(self, session: Session, drawn: str | None) -> Mapping[int, TaskState]:
        """All of its tasks, by their numbers.

        Args:
            drawn: see `states`.

        Raises:
            LabelStudioError: it has none.
        """
        found = {one.id: one for one in states(self.client, self.project, drawn, session.report)}
        if not found:
            raise LabelStudioError(f"{self.title} has no tasks; `./inv project.sync` makes them")
        return found


def open_project(session: Session, name: str | None, image: str | None) -> OpenProject:
    """
    Args:
        name: its key in `projects.yaml` or its title; None means the default one.
        image: the image tag that the command line names.

    Raises:
        SettingsError: there is no such project or image.
    """
    spec, _ = session.spec(name)
    client = session.access.client()
    project = get_project(client, spec.title)
    labeling = read_labeling(project.label_config, f"the project {spec.title!r}")
    check_image(image, labeling)
    return OpenProject(client, project, labeling, spec.title)
