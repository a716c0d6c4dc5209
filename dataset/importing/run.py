"""`./inv import`: put an export back into a project. A second import of the same file adds nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.errors import LabelrigError, SettingsError
from core.report import Report
from core.text import bulleted, some
from dataset.export.labeling import UsedConfig, read_labeling
from dataset.importing.digest import Digest, digest_of
from dataset.importing.files import find_file, open_source
from dataset.importing.places import place_of, project_images
from dataset.importing.source import Incoming, Placed, Source
from dataset.importing.target import NoTag, way_of
from labelstudio.bulk import (
    TaskReader,
    WholeTask,
    add_annotation,
    add_predictions,
    add_tasks,
    users,
)
from labelstudio.models import Project

if TYPE_CHECKING:
    from labelstudio.client import Client

As = Literal["annotation", "prediction"]
NEW_TASKS = 250
MODEL_VERSION = "import"


@dataclass
class ImportSummary:
    """What an import did: annotations (or predictions) added, those that were there, and what was left alone.

    `kept` are tasks in which people have drawn something else, `missing` images of the file that no task shows.
    """

    added: int = 0
    present: int = 0
    kept: list[int] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    new_tasks: int = 0
    what: str = "annotation"

    def sentence(self) -> str:
        """For people."""
        parts = [f"{self.added} {self.what}s added", f"{self.present} were there already"]
        if self.new_tasks:
            parts.append(f"{self.new_tasks} tasks made")
        if self.kept:
            parts.append(
                f"{len(self.kept)} tasks left alone, people have annotated them ({some(self.kept)}); "
                "`--as prediction` adds to them too"
            )
        if self.missing:
            parts.append(f"{len(self.missing)} images are in no task ({some(self.missing)})")
        return "; ".join(parts)


@dataclass
class Import:
    """One import into one project.

    Attributes:
        as_kind: `annotation` adds nothing to tasks that have other annotations; `prediction` only shows.
        create_tasks: make the tasks that are missing, where the file holds their data (label-studio format).
        model_version: what predictions are called.
    """

    client: Client
    project: Project
    report: Report
    as_kind: As = "annotation"
    create_tasks: bool = False
    model_version: str = MODEL_VERSION

    def run(self, path: Path, format_name: str | None = None) -> ImportSummary:
        """Import a folder that `export` made, or a file.

        Args:
            path: the folder or file.
            format_name: coco, rle-json or label-studio; None reads it from the manifest or the file's name.

        Raises:
            SettingsError: the file is broken, or has labels that the project lacks. Nothing was stored.
            LabelrigError: no image of it is in the project, or Label Studio failed on the way; run it again to go on.
        """
        config = UsedConfig(read_labeling(self.project.label_config, f"the project {self.project.title!r}"), None, None)
        file, format_name = find_file(path, format_name)
        with closing(open_source(file, format_name, config)) as source:
            self._check(source, config, file)
            summary = ImportSummary(what=self.as_kind)
            places = self._places(source, config, summary)
            self._store(source, places, config, summary)
        self.report.facts["import"] = {
            "added": summary.added,
            "present": summary.present,
            "kept": summary.kept,
            "missing": summary.missing,
            "new_tasks": summary.new_tasks,
        }
        return summary

    def _check(self, source: Source, config: UsedConfig, file: Path) -> None:
        """Everything in the file must have a tag in the project, before anything is stored."""
        images = [one.name for one in config.labeling.images]
        problems: dict[str, None] = {}
        for entry in source.entries:
            for kind, labels in sorted(entry.needs):
                try:
                    way_of(kind, labels, entry.to_name if entry.to_name in images else images[0], config.labeling)
                except NoTag as problem:
                    problems[str(problem)] = None
        if problems:
            start = f"{file} does not fit the project {self.project.title!r}, nothing was stored"
            raise SettingsError(f"{start}:\n{bulleted(list(problems))}")

    def _places(self, source: Source, config: UsedConfig, summary: ImportSummary) -> dict[int, list[Placed]]:
        lookup = project_images(self.client, self.project.id, config)
        if self.create_tasks:
            missing = [one for one in source.entries if place_of(one, lookup) is None]
            datas = [data for one in missing if (data := source.new_task(one)) is not None]
            for first in range(0, len(datas), NEW_TASKS):
                add_tasks(self.client, self.project.id, datas[first : first + NEW_TASKS])
                self.report.progress(f"import: {first} of {len(datas)} new tasks")
            summary.new_tasks = len(datas)
            if datas:
                lookup = project_images(self.client, self.project.id, config)
        places: dict[int, list[Placed]] = {}
        for entry in source.entries:
            found = place_of(entry, lookup)
            if found is None:
                summary.missing.append(entry.file_name)
            else:
                task_id, placed = found
                places.setdefault(task_id, []).append(placed)
        if not places:
            example = source.entries[0].file_name if source.entries else "there are none"
            raise LabelrigError(
                f"none of the {len(source.entries)} images of the file is in the project {self.project.title!r} "
                f"(the first: {example}); nothing was stored"
            )
        return places

    def _store(
        self, source: Source, places: dict[int, list[Placed]], config: UsedConfig, summary: ImportSummary
    ) -> None:
        by_email = {email.lower(): key for key, email in users(self.client).items()}
        reader = TaskReader(self.client, self.project.id, with_predictions=self.as_kind == "prediction")
        began = time.monotonic()
        for done, task in enumerate(reader.read(list(places)), 1):
            incoming = source.annotations(places[task.id], config)
            if self.as_kind == "prediction":
                self._predict(task, incoming, config, summary)
            else:
                self._annotate(task, incoming, config, summary, by_email)
            rate = done / max(time.monotonic() - began, 1e-3)
            self.report.progress(f"import: {done} of {len(places)} tasks, {summary.added} added, {rate:.1f} a second")

    def _annotate(
        self,
        task: WholeTask,
        incoming: list[Incoming],
        config: UsedConfig,
        summary: ImportSummary,
        by_email: dict[str, int],
    ) -> None:
        there = [_digest(one.results, config, one.id) for one in task.annotations]
        wanted = [_digest(one.results, config, None) for one in incoming]
        theirs = [one for one in there if one not in wanted]
        for one, digest in zip(incoming, wanted, strict=True):
            if digest in there:
                there.remove(digest)
                summary.present += 1
            elif not one.is_whole and any(_contains(each, digest) for each in there):
                summary.present += 1
            elif theirs:
                if task.id not in summary.kept:
                    summary.kept.append(task.id)
            else:
                body: dict[str, Any] = {
                    "result": one.results,
                    "was_cancelled": one.was_cancelled,
                    "ground_truth": one.ground_truth,
                    "lead_time": one.lead_time,
                }
                if one.annotator.lower() in by_email:
                    body["completed_by"] = by_email[one.annotator.lower()]
                add_annotation(self.client, task.id, body)
                summary.added += 1

    def _predict(self, task: WholeTask, incoming: list[Incoming], config: UsedConfig, summary: ImportSummary) -> None:
        there = [_digest(one.results, config, None) for one in task.predictions]
        rows = []
        for one in incoming:
            if _digest(one.results, config, None) in there:
                summary.present += 1
            elif one.results:
                rows.append({"task": task.id, "result": one.results, "model_version": self.model_version})
        if rows:
            add_predictions(self.client, self.project.id, rows)
            summary.added += len(rows)


def _digest(results: Sequence[dict[str, Any]], config: UsedConfig, annotation_id: int | None) -> Digest:
    try:
        return digest_of(results, config)
    except ValueError:
        # A broken region is not a copy: the annotation counts as a person's own.
        return frozenset({(f"unreadable {annotation_id}", 1)})


def _contains(whole: Digest, part: Digest) -> bool:
    """Whether all of `part` is in `whole`: an export of some labels only is there, too."""
    counts = dict(whole)
    return all(counts.get(digest, 0) >= number for digest, number in part)
