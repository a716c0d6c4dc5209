"""Changing the labeling configuration of a project without losing what people annotated."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import FileAccessError, SettingsError
from core.operation import Change
from core.report import Report
from hosts.base import Exec
from labeling.tags import XmlProblem
from labelstudio.asking import Facts, ask_inside
from labelstudio.config import ProjectSpec
from labelstudio.label_use import (
    Rename,
    Use,
    check_renames,
    described,
    image_keys_in,
    labels_in,
    may_orphan,
    orphans,
    same_configuration,
)
from labelstudio.models import Project

if TYPE_CHECKING:
    from labelstudio.client import Client


@dataclass(frozen=True)
class Migration:
    """What a person decided about labels that go.

    Attributes:
        renames: labels that get other names, in everything that was annotated.
        force: what is orphaned stays as it is.
    """

    renames: Sequence[Rename] = ()
    force: bool = False


@dataclass(frozen=True)
class LabelingApplied:
    """Part of `ProjectPresent`: the changes that bring a project's configuration to the one of the repository.

    Attributes:
        run: runs a command in the label-studio container.
        keep: folder here for a configuration that was made in the browser and is replaced; None keeps none.
    """

    client: Client
    spec: ProjectSpec
    run: Exec
    report: Report
    migration: Migration = field(default_factory=Migration)
    keep: Path | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def changes(self, project: Project) -> list[Change]:
        """What is to do, if anything.

        Raises:
            SettingsError: a rename does not fit the new configuration.
        """
        spec, there, wanted = self.spec, project.label_config.strip(), self.spec.labeling.text.strip()
        renames = self.migration.renames
        check_renames(renames, wanted)
        uses = self._uses(project) if renames else []
        renamed = [use for use in uses if use.label in {one.old for one in renames}]
        if same_configuration(there, wanted):
            if unknown := self._unknown_names(project, uses):
                self.report.notice(f"nothing in {project.title} has the label {', '.join(map(repr, unknown))} now")
            return [self._rename_only(project, there, renamed)] if renamed else []
        if unknown := self._unknown_names(project, uses):
            raise SettingsError(
                f"--rename {unknown[0]}=...: no version of {spec.config} has a label {unknown[0]!r}, and nothing in "
                f"{project.title} has it"
            )
        version = known_version(spec, there)
        if version is None:
            self.report.notice(
                f"drift: the labeling configuration of {spec.title} was changed in the browser and is not a version of "
                f"{spec.config}; `./inv project.pull` makes it the next version"
            )
        lost = self._lost(project, there, wanted)
        name = f"{spec.config}/v{spec.version}"
        self._check_images(project, there, wanted, name)
        summary = f"replace the labeling configuration of {spec.title} by {name}"
        if version is not None and version != spec.version:
            summary += f" (it is v{version})"
        shown = diff(there, wanted, f"{name}.xml")
        if lost and not self.migration.force:
            refused = (
                f"{name} would orphan labels that are in use in {spec.title}: {described(lost)}. Nothing was changed; "
                "name their successors with --rename OLD=NEW, or leave them as they are with --force"
            )
            return [Change(f"{summary}: REFUSED, it would orphan {described(lost)}", partial(_refuse, refused), shown)]
        if renames:
            summary += f", renaming {self._what(renamed)}"
        if lost:
            summary += f", leaving orphans ({described(lost)})"
        return [Change(summary, partial(self._replace, project, there, wanted, version), shown)]

    def _unknown_names(self, project: Project, uses: Sequence[Use]) -> list[str]:
        """Old names that are perhaps typing errors: nothing would be renamed, without a message."""
        texts = [project.label_config, *self.spec.versions.values()]
        known = {use.label for use in uses} | {label for text in texts for label in labels_in(text)}
        return [one.old for one in self.migration.renames if one.old not in known]

    def _check_images(self, project: Project, there: str, wanted: str, name: str) -> None:
        """Tasks without the variable that an image is shown by would open empty. Label Studio does not check it."""
        new = image_keys_in(wanted) - image_keys_in(there)
        keys = self.client.data_keys(project.id) if new and project.task_count else frozenset()
        if missing := sorted(new - keys) if keys else []:
            raise SettingsError(
                f"{name} shows ${', $'.join(missing)}, and the {project.task_count} tasks of {project.title} have "
                f"{', '.join(sorted(keys))}; nothing was changed: keep the variable's name, or give the configuration "
                "to a project with another title"
            )

    def _rename_only(self, project: Project, there: str, renamed: Sequence[Use]) -> Change:
        """What was saved with an old name after the configuration had changed."""
        apply = partial(self._replace, project, there, there, self.spec.version)
        return Change(f"rename labels in {project.title}: {self._what(renamed)}", apply)

    def _what(self, renamed: Sequence[Use]) -> str:
        names = ", ".join(f"{one.old} to {one.new}" for one in self.migration.renames)
        return f"{names} ({described(renamed) or 'used nowhere'})"

    def _lost(self, project: Project, there: str, wanted: str) -> list[Use]:
        try:
            if not may_orphan(there, wanted):
                return []
        except XmlProblem:  # not XML: nothing can be annotated with it
            return []
        return orphans(self._uses(project), there, wanted, self.migration.renames)

    def _uses(self, project: Project) -> list[Use]:
        self.report.progress(f"counting the labels in {project.title}")
        (answer,) = ask_inside(self.run, "labels", {"do": "count", "project": project.id})
        return [Use(*one) for one in answer["uses"]]

    def _replace(self, project: Project, there: str, wanted: str, version: int | None) -> None:
        if version is None:
            self._keep(there)
        if not self.migration.renames and not self.migration.force:
            self.client.update_project(project.id, label_config=wanted)
            return
        stamp = self.now().strftime("%Y%m%dT%H%M%SZ")
        request = {
            "do": "relabel",
            "project": project.id,
            "renames": [[one.old, one.new] for one in self.migration.renames],
            "label_config": wanted,
            "backup": f"{stamp}-{self.spec.name}.jsonl.gz",
        }

        def show(facts: Facts) -> None:
            if "done" in facts:
                self.report.progress(f"renaming labels: {facts['done']} of {facts['tasks']} tasks")

        answer = ask_inside(self.run, "labels", request, show)[-1]
        if answer.get("backup"):
            counts = ", ".join(f"{count} {kind}" for kind, count in answer["renamed"].items())
            self.report.notice(
                f"labels renamed in {counts} of {answer['tasks']} tasks; the rows as they were are in "
                f"{answer['backup']} in the label-studio container's volume"
            )

    def _keep(self, text: str) -> None:
        if self.keep is None:
            return
        path = self.keep / f"{self.spec.name}-{self.now().strftime('%Y%m%dT%H%M%SZ')}.xml"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise FileAccessError(f"{path}: the replaced configuration cannot be kept: {error.strerror}") from None
        self.report.notice(f"the labeling configuration that was made in the browser is kept in {path}")


def known_version(spec: ProjectSpec, text: str) -> int | None:
    """Which version of the spec's configuration a text is; None for another."""
    return next((number for number, known in spec.versions.items() if same_configuration(known, text)), None)


def diff(old: str, new: str, name: str) -> str:
    """A unified diff from what Label Studio has to what the repository says."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), "Label Studio", name, lineterm="", n=1)
    return "\n".join(lines)


def _refuse(why: str) -> None:
    raise SettingsError(why)
