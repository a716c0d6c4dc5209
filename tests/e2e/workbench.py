"""Projects of any labeling configuration on the running stack, and what the editor would send to them."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from label_studio_sdk.converter.brush import mask2rle
from numpy.typing import NDArray

from labeling.images import ImageTag
from labelstudio.client import Client
from labelstudio.masks import masks_in
from labelstudio.models import BasicAuth
from labelstudio.token_auth import TokenAuth

Mask = NDArray[np.bool_]
Region = dict[str, Any]
LABEL = "Thing"
IMAGE = ImageTag("image", "$image")  # of the configurations of these tests


@dataclass(frozen=True)
class Bench:
    """One project with our backend."""

    client: Client
    api_key: str
    backend_url: str
    project_id: int
    backend_id: int

    @property
    def _import(self) -> str:
        return f"/api/projects/{self.project_id}/import?return_task_ids=true"

    def task(self, **data: object) -> int:
        """Import one task; return its id."""
        answer = self.client.call("import a task", "POST", self._import, json=[data])
        (made,) = answer["task_ids"]
        return int(made)

    def upload(self, file: Path) -> int:
        """Upload a file as a task, as the browser's import does; return its id."""
        with httpx.Client(
            base_url=self.client.base_url,
            auth=TokenAuth(self.client.base_url, self.api_key),
            trust_env=False,
            timeout=60,
        ) as http:
            answer = http.post(self._import, files={"file": (file.name, file.read_bytes())})
            assert answer.status_code == 201, answer.text
        (made,) = answer.json()["task_ids"]
        return int(made)

    def draft(self, task_id: int, *regions: Region) -> None:
        """Save unsubmitted regions, as the editor does by itself while somebody draws."""
        with httpx.Client(
            base_url=self.client.base_url,
            auth=TokenAuth(self.client.base_url, self.api_key),
            trust_env=False,
            timeout=60,
        ) as http:
            answer = http.post(f"/api/tasks/{task_id}/drafts", json={"result": list(regions), "lead_time": 1.0})
            assert answer.status_code == 201, answer.text

    def ask(self, task_id: int, *regions: Region) -> list[Mapping[str, Any]]:
        """Send prompts through Label Studio; the reply's results."""
        answer = self.client.click(self.backend_id, task_id, regions)
        assert answer.errors == ()
        assert answer.data is not None
        results = answer.data["result"]
        assert isinstance(results, list)
        return results

    def mask(self, task_id: int, *regions: Region) -> Mask:
        """The one brush mask of the reply."""
        (found,) = masks_in(self.ask(task_id, *regions))
        return found.mask

    def refusal(self, task_id: int, *regions: Region) -> str:
        """The error that the browser is given."""
        answer = self.client.click(self.backend_id, task_id, regions)
        assert answer.data is None
        return " ".join(answer.errors)


def without_age(found: dict[str, Any]) -> dict[str, Any]:
    """An object of the API without "3 minutes ago"; the moment itself stands beside it."""
    return {name: value for name, value in found.items() if name != "created_ago"}


@contextmanager
def project(
    client: Client,
    api_key: str,
    backend_url: str,
    login: BasicAuth,
    config: str,
    extra_params: object = None,
) -> Iterator[Bench]:
    """A project with this labeling configuration and our backend; removed afterwards."""
    project_id = client.create_project(f"Bench {uuid.uuid4().hex[:12]}", "", config)
    try:
        made = client.sdk.ml.create(
            project=project_id,
            url=backend_url,
            title="SAM2",
            is_interactive=True,
            extra_params=extra_params,
            auth_method="BASIC_AUTH",
            basic_auth_user=login.user,
            basic_auth_pass=login.password,
        )
        assert made.id is not None
        yield Bench(client, api_key, backend_url, project_id, made.id)
    finally:
        client.sdk.projects.delete(project_id)


def point(xy: Sequence[float], size_wh: tuple[int, int], *, positive: bool = True, **more: object) -> Region:
    """A smart key point of `<KeyPointLabels name="point">`."""
    value = {"x": 100 * xy[0] / size_wh[0], "y": 100 * xy[1] / size_wh[1], "width": 0.2, "keypointlabels": [LABEL]}
    return region("keypointlabels", "point", size_wh, value, is_positive=positive, **more)


def box(xyxy: Sequence[float], size_wh: tuple[int, int], **more: object) -> Region:
    """A smart rectangle of `<RectangleLabels name="box">`."""
    width, height = size_wh
    value = {
        "x": 100 * xyxy[0] / width,
        "y": 100 * xyxy[1] / height,
        "width": 100 * (xyxy[2] - xyxy[0]) / width,
        "height": 100 * (xyxy[3] - xyxy[1]) / height,
        "rotation": 0,
        "rectanglelabels": [LABEL],
    }
    return region("rectanglelabels", "box", size_wh, value, **more)


def stroke(mask: Mask, **more: object) -> Region:
    """A brush stroke of `<BrushLabels name="brush">`. ``(H, W)`` bool."""
    rle = mask2rle(mask.astype(np.uint8) * 255)
    value = {"format": "rle", "rle": rle, "brushlabels": [LABEL]}
    return region("brushlabels", "brush", (mask.shape[1], mask.shape[0]), value, **more)


def unsaved_stroke(points: Sequence[tuple[float, float]], width: float, size_wh: tuple[int, int]) -> Region:
    """A brush stroke as the editor keeps it in a draft: the way of the brush, and no mask yet. All in pixels."""
    way = [100 * value / size_wh[axis] for xy in points for axis, value in enumerate(xy)]
    touch = {"type": "add", "relativePoints": way, "relativeStrokeWidth": 100 * width / size_wh[0], "opacity": 0.5}
    value = {"format": "rle", "touches": [touch], "brushlabels": [LABEL]}
    return region("brushlabels", "brush", size_wh, value)


def region(kind: str, name: str, size_wh: tuple[int, int], value: Mapping[str, object], **more: object) -> Region:
    """One entry of `context.result` or of a draft."""
    return {
        "id": secrets.token_urlsafe(8)[:10],
        "type": kind,
        "from_name": name,
        "to_name": "image",
        "original_width": size_wh[0],
        "original_height": size_wh[1],
        "image_rotation": 0,
        "origin": "manual",
        "value": dict(value),
        **more,
    }
