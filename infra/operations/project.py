"""The project in Label Studio, with the settings and the labeling configuration that the repository says."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from infra.errors import LabelStudioError
from infra.labelstudio.access import Access
from infra.labelstudio.config import ProjectSpec
from infra.labelstudio.models import Project
from infra.operation import Change
from infra.report import Report

if TYPE_CHECKING:
    from infra.labelstudio.client import Client


def find_project(client: Client, title: str) -> Project | None:
    """The oldest project with this title: Label Studio does not keep titles unique."""
    found = client.projects(title)
    return found[0] if found else None


def get_project(client: Client, title: str) -> Project:
    """As `find_project`.

    Raises:
        LabelStudioError: there is none.
    """
    project = find_project(client, title)
    if project is None:
        raise LabelStudioError(f"Label Studio at {client.base_url} has no project {title!r}; `./inv up` makes it")
    return project


@dataclass(frozen=True)
class ProjectPresent:
    """There is a project with our title, description, labeling configuration and settings."""

    access: Access
    spec: ProjectSpec
    report: Report

    @property
    def name(self) -> str:
        """See `Operation.name`."""
        return f"project {self.spec.title} with {self.spec.config}/v{self.spec.version}"

    def plan(self) -> Sequence[Change]:
        """See `Operation.plan`."""
        found = self.access.client().projects(self.spec.title)
        if not found:
            return [
                Change(f"create project {self.spec.title} with {self.spec.config}/v{self.spec.version}", self._create)
            ]
        if len(found) > 1:
            ids = ", ".join(str(project.id) for project in found)
            self.report.notice(f"{len(found)} projects are called {self.spec.title} (ids {ids}); the oldest is used")
        return self._differences(found[0])

    def _differences(self, project: Project) -> list[Change]:
        client, spec, changes = self.access.client(), self.spec, []
        # Label Studio strips the ends of the texts it stores.
        wanted_xml, wanted_description = spec.labeling.text.strip(), spec.description.strip()
        if project.label_config.strip() != wanted_xml:
            changes.append(
                Change(
                    f"replace the labeling configuration of {spec.title} by {spec.config}/v{spec.version}",
                    partial(client.update_project, project.id, label_config=wanted_xml),
                    _diff(project.label_config.strip(), wanted_xml, f"{spec.config}/v{spec.version}.xml"),
                )
            )
        if project.description.strip() != wanted_description:
            changes.append(
                Change(
                    f"set the description of {spec.title}",
                    partial(client.update_project, project.id, description=wanted_description),
                    _diff(project.description, wanted_description, "description"),
                )
            )
        if not project.show_collab_predictions:
            changes.append(
                Change(
                    f"let {spec.title} call the model when a task opens (show_collab_predictions), to warm it up",
                    partial(client.update_project, project.id, show_collab_predictions=True),
                    "- show_collab_predictions: false\n+ show_collab_predictions: true",
                )
            )
        return changes

    def _create(self) -> None:
        spec = self.spec
        self.access.client().create_project(spec.title, spec.description, spec.labeling.text)


def _diff(old: str, new: str, name: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "Label Studio", name, lineterm="", n=1)
    return "\n".join(lines)
