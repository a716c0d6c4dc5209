"""`./inv import`: put an export back into a project. A second import of the same file adds nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.errors import LabelrigError, SettingsError
from core.report import Report
from core.text import bulleted, some
from dataset.export.labeling import UsedConfig, check_image, read_labeling
from dataset.importing.digest import Digest, digest_of
from dataset.importing.files import find_file, open_source
from dataset.importing.image_sizes import of_right_size
from dataset.importing.places import Places, places_of, project_images, without
from dataset.importing.source import Incoming, Placed, Source, renamed
from dataset.importing.target import NoTag, way_of
from dataset.label_names import label_names, respelled
from dataset.problems import SHOWN, FileProblems
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

    `kept` are tasks in which people have drawn something else, `missing` images of the file that no task shows,
    `broken` regions that were left out with `--skip-broken`, and `left_out` counts what is no object, by reason.
    """

    added: int = 0
    present: int = 0
    kept: list[int] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    new_tasks: int = 0
    what: str = "annotation"
    broken: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

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
        if self.broken:
            parts.append(f"{len(self.broken)} broken regions left out ({some(self.broken)})")
        if self.left_out:
            parts.append(f"left out: {', '.join(f'{count} x {why}' for why, count in sorted(self.left_out.items()))}")
        return "; ".join(parts)


@dataclass
class Import:
    """One import into one project.

    Attributes:
        as_kind: `annotation` adds nothing to tasks that have other annotations; `prediction` only shows.
        create_tasks: make the tasks that are missing, where the file holds their data (label-studio format).
        skip_broken: leave out regions that cannot be read, instead of refusing the file.
        labels: theirs to ours, where a label is called otherwise in the project.
        image: only the images of this image tag; None takes all.
        model_version: what predictions are called.
    """

    client: Client
    project: Project
    report: Report
    as_kind: As = "annotation"
    create_tasks: bool = False
    skip_broken: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    model_version: str = MODEL_VERSION

    def run(self, path: Path, format_name: str | None = None) -> ImportSummary:
        """Import a folder that `export` made, or a file.

        Args:
            path: the folder or file.
            format_name: coco, rle-json or label-studio; None takes what the manifest says or the file is.

        Raises:
            SettingsError: the file is broken, does not say which images it means, or has labels that the project lacks.
                Nothing was stored.
            LabelrigError: no image of it is in the project, or Label Studio failed on the way; run it again to go on.
        """
        config = UsedConfig(read_labeling(self.project.label_config, f"the project {self.project.title!r}"), None, None)
        if config.labeling.repeaters:
            raise SettingsError(
                f"the project {self.project.title!r} repeats tags (<Repeater>): masks cannot be imported into it; give "
                "each image a tag of its own, or list them with valueList"
            )
        check_image(self.image, config.labeling)
        file, format_name = find_file(path, format_name)
        heading = f"{file} cannot be imported, nothing was stored"
        problems = FileProblems(heading, skip_broken=self.skip_broken)
        with closing(open_source(file, format_name, config, problems)) as source:
            summary = ImportSummary(what=self.as_kind, broken=problems.broken)
            names = self._names(source, config)
            by_task = self._places(source, config, file, names, problems, summary)
            for notice in problems.notices:
                self.report.notice(notice)
            self._store(source, by_task, config, names, summary)
            summary.left_out = dict(source.left_out)
        self.report.facts["import"] = {
            "added": summary.added,
            "present": summary.present,
            "kept": summary.kept,
            "missing": summary.missing,
            "new_tasks": summary.new_tasks,
            "broken": summary.broken,
            "left_out": summary.left_out,
        }
        return summary

    def _names(self, source: Source, config: UsedConfig) -> dict[str, str]:
        """Labels that are called otherwise here; those that no option named are said."""
        theirs = dict.fromkeys(label for one in source.entries for _, labels in sorted(one.needs) for label in labels)
        names = label_names(theirs, config.labeling.labels, self.labels)
        if notice := respelled(names):
            self.report.notice(notice)
        return names

    def _check(self, places: Places, config: UsedConfig, file: Path, names: Mapping[str, str]) -> None:
        """Everything in the file must have a tag in the project, before anything is stored."""
        images = [one.name for one in config.labeling.images]
        on_images = [(one.entry, one.to_name) for found in places.by_task.values() for one in found]
        on_images += [(one, one.to_name if one.to_name in images else images[0]) for one in places.missing]
        problems: dict[str, None] = {}
        for entry, image in on_images:
            for kind, labels in sorted(entry.needs):
                try:
                    way_of(kind, renamed(labels, names), image, config.labeling)
                except NoTag as problem:
                    problems[str(problem)] = None
        if problems:
            start = f"{file} does not fit the project {self.project.title!r}, nothing was stored"
            hint = "\n  where a label is called otherwise here: --label THEIRS=OURS"
            raise SettingsError(f"{start}:\n{bulleted(list(problems), SHOWN)}{hint}")

    def _places(
        self,
        source: Source,
        config: UsedConfig,
        file: Path,
        names: Mapping[str, str],
        problems: FileProblems,
        summary: ImportSummary,
    ) -> dict[int, list[Placed]]:
        lookup = project_images(self.client, self.project.id, config, self.image)
        places = places_of(source.entries, lookup, str(file))
        self._check(places, config, file, names)
        by_task = of_right_size(self.client, places.by_task, problems, self.report)
        problems.check()
        if self.create_tasks and places.missing:
            datas = [data for one in places.missing if (data := source.new_task(one)) is not None]
            for first in range(0, len(datas), NEW_TASKS):
                add_tasks(self.client, self.project.id, datas[first : first + NEW_TASKS])
                self.report.progress(f"import: {first} of {len(datas)} new tasks")
            summary.new_tasks = len(datas)
            if datas:
                lookup = project_images(self.client, self.project.id, config, self.image)
                before, places = places, places_of(source.entries, lookup, str(file))
                by_task = without(by_task, without(before.by_task, places.by_task))
                new = without(places.by_task, before.by_task)
                for task, found in of_right_size(self.client, new, problems, self.report).items():
                    by_task.setdefault(task, []).extend(found)
        summary.missing = [one.file_name for one in places.missing]
        if not places.by_task:
            example = source.entries[0].file_name if source.entries else "there are none"
            raise LabelrigError(
                f"none of the {len(source.entries)} images of the file is in the project {self.project.title!r} "
                f"(the first: {example}); nothing was stored"
            )
        if places.notice:
            self.report.notice(places.notice)
        return by_task

    def _store(
        self,
        source: Source,
        places: Mapping[int, list[Placed]],
        config: UsedConfig,
        names: Mapping[str, str],
        summary: ImportSummary,
    ) -> None:
        by_email = {email.lower(): key for key, email in users(self.client).items()}
        reader = TaskReader(self.client, self.project.id, with_predictions=self.as_kind == "prediction")
        began = time.monotonic()
        for done, task in enumerate(reader.read(list(places)), 1):
            incoming = source.annotations(places[task.id], config, names)
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
