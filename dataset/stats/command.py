"""`./inv stats`: count a project, and write the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from core.errors import LabelStudioError
from dataset.export.image_name import file_name_of
from dataset.export.labeling import read_labeling
from dataset.out_file import write_file
from dataset.stats.collect import Collector, Stats, as_facts, table
from dataset.stats.page import Picture, render
from dataset.stats.shapes import ImagePlace
from dataset.stats.thumbnails import thumbnail
from infra.fleet.session import Session
from infra.roles.project.project import get_project
from labeling.config import LabelingConfig
from labeling.images import task_images
from labeling.tracks import MODEL_VERSION as PROPAGATED
from labelstudio.image_files import path_in, served_at

if TYPE_CHECKING:
    from core.report import Report
    from labelstudio.client import Client

NO_COLOUR = "#888888"


def stats(
    session: Session, called: str | None, out: Path | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> str:
    """Count a project's masks, write the page; returns the table.

    Args:
        called: the project's key in `projects.yaml` or its title; None means the default one.
        out: the page; None writes none.

    Raises:
        LabelStudioError: the project is not there, or Label Studio did not answer.
        FileAccessError: the page cannot be written.
    """
    spec, folder = session.spec(called)
    client = session.access.client()
    project = get_project(client, spec.title)
    labeling = read_labeling(project.label_config, f"the project {spec.title!r}")
    colours = {label: labeling.colours.get(label, NO_COLOUR) for label in labeling.labels}
    with session.report.stage(f"stats of {spec.title}"):
        complete = spec.wants_complete_maps
        collector = Collector(spec.title, list(colours), labeling=labeling, wants_complete_maps=complete)
        urls: dict[tuple[int, ImagePlace], str] = {}
        predicted = client.model_versions(project.id)
        drawn = ("annotations", "predictions") if PROPAGATED in predicted else ("annotations",)
        for count, task in enumerate(client.task_states(project.id, *drawn), 1):
            session.report.progress(f"counted {count} of {project.task_count} tasks")
            mine = image_urls_of(labeling, task.get("data") or {})
            urls |= {(int(task["id"]), where): url for where, url in mine.items()}
            names = {
                where: path_in(folder.name, url) or PurePosixPath(file_name_of(url)).name for where, url in mine.items()
            }
            collector.add(task, names)
        found = collector.stats
        found.predicted = predicted
        session.report.facts["stats"] = as_facts(found)
        text = table(found)
        if out is None:
            return text
        pictures = _pictures(session.report, client, found, urls, colours)
        write_file(out, render(found, colours, pictures, now()))
        return f"{text}\n\n{out} shows it, with {len(pictures)} pictures"


def image_urls_of(labeling: LabelingConfig, data: Mapping[str, Any]) -> dict[ImagePlace, str]:
    """The URL of each image of a task."""
    shown = task_images(labeling.for_data(data).images, data)
    return {(image.name, image.item_index or 0): image.url for image in shown}


def _pictures(
    report: Report, client: Client, found: Stats, urls: Mapping[tuple[int, ImagePlace], str], colours: Mapping[str, str]
) -> list[Picture]:
    from masks.pictures import PictureError

    pictures = []
    for count, example in enumerate(found.examples, 1):
        report.progress(f"picture {count} of {len(found.examples)}")
        try:
            content = client.download(served_at(urls[example.task, example.place], example.task))
            url = thumbnail(content, example, colours)
        except (LabelStudioError, PictureError) as error:
            report.notice(f"task {example.task}: its image cannot be shown: {error}")
            continue
        pictures.append(Picture(url, example.task, example.image, sorted(example.labels)))
    return pictures
