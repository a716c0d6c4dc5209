"""The project in Label Studio, with the settings and the labeling configuration that the repository says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import LabelStudioError
from core.operation import Change, Operation
from core.report import Report
from hosts.base import Exec
from infra.roles.project.labeling import LabelingApplied, Migration, diff
from labelstudio.access import Access
from labelstudio.config import ProjectSpec
from labelstudio.models import Project

if TYPE_CHECKING:
    from labelstudio.client import Client

SAMPLINGS = {
    "sequential": "Sequential sampling",
    "uniform": "Uniform sampling",
    "uncertainty": "Uncertainty sampling",
}


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
class ProjectPresent(Operation):
    """There is a project with our title, description, labeling configuration and settings.

    Attributes:
        run: runs a command in the label-studio container.
        migration: what happens to labels that go.
        keep: see `LabelingApplied`.
    """

    access: Access
    spec: ProjectSpec
    run: Exec
    report: Report
    migration: Migration = field(default_factory=Migration)
    keep: Path | None = None

    @property
    def name(self) -> str:
        return f"project {self.spec.title} with {self.spec.config}/v{self.spec.version}"

    def plan(self) -> Sequence[Change]:
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
        client, spec = self.access.client(), self.spec
        labeling = LabelingApplied(client, spec, self.run, self.report, self.migration, self.keep)
        changes = labeling.changes(project)
        # Label Studio strips the ends of the texts it stores.
        wanted_description = spec.description.strip()
        if project.description.strip() != wanted_description:
            changes.append(
                Change(
                    f"set the description of {spec.title}",
                    partial(client.update_project, project.id, description=wanted_description),
                    diff(project.description, wanted_description, "description"),
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
        sampling = SAMPLINGS[spec.sampling]
        if project.sampling != sampling:
            changes.append(
                Change(
                    f"give out the tasks of {spec.title} by {spec.sampling} sampling",
                    partial(client.update_project, project.id, sampling=sampling),
                    f"- sampling: {project.sampling}\n+ sampling: {sampling}",
                )
            )
        return changes

    def _create(self) -> None:
        spec = self.spec
        sampling = SAMPLINGS[spec.sampling]
        self.access.client().create_project(spec.title, spec.description, spec.labeling.text, sampling)


@dataclass(frozen=True)
class MembersKnown(Operation):
    """Every person whom the project names has an account.

    In this edition of Label Studio every account sees every project, and a password is its owner's own: so no account
    is created here, and the missing ones are reported.
    """

    access: Access
    spec: ProjectSpec
    report: Report

    @property
    def name(self) -> str:
        return f"members of {self.spec.title} known"

    def plan(self) -> Sequence[Change]:
        known = self.access.client().user_emails() if self.spec.members else set()
        missing = [one for one in self.spec.members if one.lower() not in known]
        if missing:
            self.report.notice(
                f"{', '.join(missing)}: no account yet; `./inv user.add --members` makes those that are missing, or "
                "send the invite link that Label Studio shows under Organization, Add People"
            )
        return []
