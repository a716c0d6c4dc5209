"""The pairs of Label Studio's tasks, for registration: pictures are fetched when they are looked at."""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from core.errors import SettingsError
from core.text import some
from dataset.export.image_name import file_name_of
from dataset.fetching import fetch_image
from dataset.pair_sides import NoTwin, ProjectSides, TwinLookup
from dataset.registration.pictures import FetchedPicture, PicturePair
from labelstudio.bulk import task_rows

if TYPE_CHECKING:
    from core.report import Report
    from labelstudio.client import Client


def pairs_of_project(client: Client, sides: ProjectSides, report: Report) -> list[PicturePair]:
    """Every pair that the tasks show, once, in the order of the names: the path of the RGB picture without its suffix.

    Images without a twin are named in a notice.

    Raises:
        SettingsError: there is no pair.
    """
    twins = TwinLookup(client, sides)
    found: dict[str, PicturePair] = {}
    alone: list[str] = []
    for count, row in enumerate(task_rows(client, sides.source.id), 1):
        report.progress(f"{count} of {sides.source.task_count} tasks read")
        for image in twins.images_of(row.data):
            path = file_name_of(image.url)
            try:
                twin = twins.find(row.id, row.data, image)
            except NoTwin as reason:
                alone.append(f"{path}: {reason}")
                continue
            rgb, thermal = (
                FetchedPicture(partial(fetch_image, client, url, task))
                for url, task in ((image.url, row.id), (twin.url, twin.task))
            )
            name = PurePosixPath(path).with_suffix("").as_posix()
            found.setdefault(name, PicturePair(name, rgb, thermal))
    if not found:
        raise SettingsError(f"the project {sides.source.title!r} shows no pair{f': {some(alone)}' if alone else ''}")
    if alone:
        report.notice(f"{len(alone)} pictures have no twin and are left out ({some(alone)})")
    return [found[name] for name in sorted(found)]
