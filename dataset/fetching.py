"""The pictures of tasks, fetched from Label Studio. Other servers are not asked: our token would go there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import LabelStudioError
from core.text import inline, shortened
from labeling.data_urls import is_data_url
from labelstudio.image_files import CLOUD_URI, served_at

if TYPE_CHECKING:
    from labelstudio.client import Client


def fetch_image(client: Client, url: str, task: int) -> bytes:
    """The bytes of an image of a task.

    Raises:
        LabelStudioError: it cannot be had, or lies outside Label Studio.
    """
    if not url.startswith("/") and not is_data_url(url) and not CLOUD_URI.match(url):
        raise LabelStudioError(f"{shortened(inline(url))} lies outside Label Studio")
    return client.download(served_at(url, task))
