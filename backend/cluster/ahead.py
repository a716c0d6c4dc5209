"""What lies beside an opened image is encoded ahead, as the backend of one host does it: here each image at the replica
that it will be clicked on at.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Protocol

from backend.cluster.keys import Keys
from backend.cluster.placing import Placement, session_of
from backend.errors import RequestError
from backend.images.image_store import TaskImage

logger = logging.getLogger(__name__)
SECONDS = 20.0  # for one opening: a folder of many files on a slow share
PROJECTS_LIMIT = 64


class Encoders(Protocol):
    """How replicas are reached: `backend.cluster.calls.Replicas`, over Ray."""

    async def following(self, session: str, url: str, count: int) -> Sequence[TaskImage]:
        """The images that lie after one, as the first replica of a session sees the folder."""

    async def encode_ahead(self, replica: str, project: str | None, images: Sequence[TaskImage]) -> None:
        """Have a replica encode images below all clicks, in place of those that it was given for the project before."""


class Ahead:
    """One opening after the other, the newest first. Used on the event loop alone; a failure costs no one a click."""

    def __init__(self, replicas: Encoders, placement: Placement, keys: Keys, count: int) -> None:
        """
        Args:
            count: how many of the next images are encoded; 0 encodes none.
        """
        self._replicas = replicas
        self._placement = placement
        self._keys = keys
        self._count = count
        self._opened: OrderedDict[str | None, TaskImage] = OrderedDict()  # what each project opened last
        self._waiting: OrderedDict[str | None, TaskImage] = OrderedDict()
        self._given: dict[str | None, frozenset[str]] = {}  # the replicas that have images of a project's last opening
        self._task: asyncio.Task[None] | None = None

    def opened(self, project: str | None, image: TaskImage, *, asked_again: bool = False) -> None:
        """An image was opened. Returns at once.

        Args:
            asked_again: the page asks for the state of an image that it may have opened long ago.
        """
        if not self._count or (asked_again and self._opened.get(project) == image):
            return
        self._opened[project] = self._waiting[project] = image
        for known in (self._opened, self._waiting):
            known.move_to_end(project)
            if len(known) > PROJECTS_LIMIT:
                self._given.pop(known.popitem(last=False)[0], None)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while self._waiting:
            project, image = self._waiting.popitem()
            try:
                async with asyncio.timeout(SECONDS):
                    await self._give(project, image)
            except (RequestError, TimeoutError) as error:
                logger.debug("nothing is encoded ahead of %s: %s", image.url, error)
            except Exception:  # a defect: it may cost this opening, not all that come after it
                logger.exception("encoding ahead failed unexpectedly")

    async def _give(self, project: str | None, image: TaskImage) -> None:
        key = self._keys.of_image(*image)
        session = session_of(self._placement.order(key), key)
        following = await self._replicas.following(session, image.url, self._count)
        if self._opened.get(project) != image:  # meanwhile another one was
            return
        by_replica: defaultdict[str, list[TaskImage]] = defaultdict(list)
        for one in following:
            for replica in self._placement.order(self._keys.of_image(*one))[:1]:
                by_replica[replica].append(one)
        before = self._given.get(project, frozenset())
        self._given[project] = frozenset(by_replica)
        # Also those that have images of the opening before, and none of this one: they forget them.
        replicas = {*by_replica, *before}
        calls = (self._replicas.encode_ahead(one, project, by_replica.get(one, [])) for one in replicas)
        for failed in await asyncio.gather(*calls, return_exceptions=True):
            if failed is not None:
                logger.debug("a replica encodes nothing ahead: %s", failed)
