"""The task that Label Studio sends to the backend with a click of our script: without annotations, drafts, predictions.

Label Studio reads all of them from the database for every click and writes them as JSON, which takes longer than the
click where a task holds a hundred masks. The backend needs none: our script sends every prompt itself. Clicks of the
stock pages are sent as ever. In the image this is the module `labelrig_clicks` beside Label Studio's own, and the
setting INTERACTIVE_DATA_SERIALIZER names it (add_companion.py).
"""

from __future__ import annotations

from typing import Any

from core.current_request import CurrentContext  # type: ignore[import-not-found]
from data_export.serializers import (  # type: ignore[import-not-found]
    BaseExportDataSerializer,
    BaseExportDataSerializerForInteractive,
)

HEADER = "X-Labelrig-Click"  # companion/api.js sends it
UNNEEDED = ("annotations", "drafts", "predictions")


class ClickedTask(BaseExportDataSerializerForInteractive):  # type: ignore[misc]
    """Label Studio's own serializer, but for our script's clicks."""

    def to_representation(self, task: Any) -> Any:
        """The task as the backend is told of it."""
        request = CurrentContext.get_request()
        if request is None or HEADER not in request.headers:
            return super().to_representation(task)
        for name in UNNEEDED:
            self.fields.pop(name, None)
        return BaseExportDataSerializer.to_representation(self, task)
