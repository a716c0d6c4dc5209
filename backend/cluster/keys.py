"""Which replica a request belongs to: requests about one image have one key, and a key has one replica.

A key is read off the image's URL alone. The digest, under which a replica keeps an embedding, would cost the ingress a
copy of every image: an image under two addresses may be encoded twice instead.
"""

from __future__ import annotations

import hashlib
import posixpath

from backend.errors import RequestError
from backend.labelstudio import regions
from backend.labelstudio.labeling_config import config_of_task, image_named, image_url
from backend.labelstudio.protocol import ContextRegion, PredictRequest
from backend.sources.locations import Locator

# So many keys there are, however many images: who hands out a project's images asks so many times at most where a key
# lives, and no name of an image reaches Ray's metrics.
BUCKETS = 1024


class Keys:
    """Reads keys. Knows Label Studio's address, as one image has several spellings."""

    def __init__(self, locator: Locator) -> None:
        self._locator = locator

    def of_image(self, url: str, task: str | None = None) -> str:
        """The key of a task's image."""
        try:
            place = self._locator.locate(url, task)
        except RequestError:  # the replica says what is wrong
            return key_of(url)
        if place.mounted is not None:
            return key_of(posixpath.normpath(place.mounted))
        return key_of(url if place.url is None else str(place.url))

    def of_click(self, request: PredictRequest) -> str:
        """The key of the image that the prompts lie on; where they name none, any."""
        if request.context and request.context.follow is not None:
            return key_of(f"follow {request.context.follow.run}")  # its steps are on many images, and share a memory
        entries = (request.context.result if request.context else None) or []
        task = request.tasks[0] if request.tasks else None
        if not entries or task is None:
            return next(iter(self.of_task(request).values()), key_of(""))
        newest = _newest(entries)
        try:
            tag = image_named(config_of_task(request.label_config, task.data), newest.to_name)
            return self.of_image(image_url(task.data, tag, newest.item_index), task.id)
        except RequestError:
            return key_of(task.id or "")

    def of_task(self, request: PredictRequest) -> dict[str, str]:
        """The keys of the images of a lone task by the names of their tags; none where it has none to read."""
        if len(request.tasks) != 1:
            return {}
        task = request.tasks[0]
        try:
            tags = config_of_task(request.label_config, task.data).images
            return {tag.name: self.of_image(image_url(task.data, tag, None), task.id) for tag in tags}
        except RequestError:
            return {}


def key_of(name: str) -> str:
    """The key of what has this name."""
    digest = hashlib.blake2b(name.encode(errors="replace"), digest_size=8).digest()
    return f"images-{int.from_bytes(digest) % BUCKETS}"


def _newest(entries: list[ContextRegion]) -> ContextRegion:
    try:
        return regions.put_together(entries)[1]
    except RequestError:
        return entries[-1]
