"""`project.pull`: what was changed in the browser becomes the next version in the clone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import FileAccessError
from core.operation import Change, Operation, Runner
from core.report import Report
from infra.fleet.session import Session
from infra.projects.yaml_edit import with_value
from infra.roles.project.labeling import diff, known_version
from infra.roles.project.project import SAMPLINGS, get_project
from labelstudio.config import ProjectSpec, load_projects
from labelstudio.config_check import check_text
from labelstudio.models import Project
from labelstudio.projects_file import FILE
from labelstudio.versions import FOLDER, publish


@dataclass(frozen=True)
class ProjectPulled(Operation):
    """The clone says of a project what Label Studio has: configuration, description and sampling.

    Attributes:
        repository: the clone.
        spec: the project as the clone has it.
        project: the project as Label Studio has it.
        report: gets what is wrong with a configuration that was made in the browser.
    """

    repository: Path
    spec: ProjectSpec
    project: Project
    report: Report

    @property
    def name(self) -> str:
        return f"projects.{self.spec.name} as Label Studio has it"

    def plan(self) -> Sequence[Change]:
        spec = load_projects(self.repository, [self.spec.name])[0]
        return [*self._labeling(spec), *self._settings(spec)]

    def _labeling(self, spec: ProjectSpec) -> list[Change]:
        there = self.project.label_config.strip()
        version = known_version(spec, there)
        if version == spec.version:
            return []
        if version is not None:
            return [self._set(spec, "version", version, spec.version)]
        version = max(spec.versions) + 1
        relative = f"{FOLDER}/{spec.config}/v{version}.xml"
        self._mention_problems(there, relative)

        def write() -> None:
            _write(self.repository / relative, there + "\n")
            self._write_value(spec, "version", version)
            publish(self.repository / FOLDER, spec.config, version)  # people annotate with it already

        shown = diff(spec.labeling.text.strip(), there, relative).replace(
            "--- Label Studio", f"--- v{spec.version}.xml"
        )
        return [Change(f"write {relative} and set version: {version} of {spec.name} in {FILE}", write, shown)]

    def _settings(self, spec: ProjectSpec) -> list[Change]:
        changes = []
        if self.project.description.strip() != spec.description.strip():
            changes.append(self._set(spec, "description", self.project.description.strip(), spec.description))
        sampling = next((name for name, value in SAMPLINGS.items() if value == self.project.sampling), spec.sampling)
        if sampling != spec.sampling:
            changes.append(self._set(spec, "sampling", sampling, spec.sampling))
        return changes

    def _set(self, spec: ProjectSpec, key: str, value: str | int, was: str | int) -> Change:
        return Change(
            f"set {key} of {spec.name} in {FILE}",
            lambda: self._write_value(spec, key, value),
            f"- {key}: {was}\n+ {key}: {value}",
        )

    def _write_value(self, spec: ProjectSpec, key: str, value: str | int) -> None:
        path = self.repository / FOLDER / FILE
        text = path.read_text(encoding="utf-8")
        _write(path, with_value(text, str(path), ("projects", spec.name), key, value))

    def _mention_problems(self, text: str, relative: str) -> None:
        problems = [f"{relative}:{line}: {what}" for line, what in check_text(text)]
        if problems:
            self.report.notice("\n".join(["what was made in the browser cannot be applied again as it is:", *problems]))


def pull_projects(session: Session, names: Sequence[str], repository: Path, runner: Runner) -> str:
    """Write what Label Studio has into the clone.

    Args:
        names: keys of `projects.yaml`; none means all.

    Raises:
        LabelrigError: a project is not there, or a file cannot be written.
    """
    for spec in load_projects(repository, names):
        settled, _ = session.resolved(spec)
        project = get_project(session.access.client(), settled.title)
        with runner.stage(settled.title):
            runner.run([ProjectPulled(repository, spec, project, session.report)])
    word = "changed" if runner.applies else "would change"
    return f"{session.report.changed} {word} in {FOLDER}; look at it with `git diff`, and commit it"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileAccessError(f"{path}: cannot be written: {error.strerror}") from None
