"""Label Studio's API as labelrig uses it: reads over plain HTTP, writes of storages and ML backends with the SDK."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from core.errors import LabelStudioError
from labeling.images import ImageTag, image_urls
from labelstudio.answers import refusal
from labelstudio.connection import Connection
from labelstudio.image_files import AS_IMPORTED
from labelstudio.models import Backend, BasicAuth, ClickAnswer, Project, Storage, TaskRef

CLICK_TIMEOUT = 130.0  # Label Studio itself gives the backend 100 s
BASIC_AUTH = "BASIC_AUTH"
PAGE = 500
DRAWN_PAGE = 50  # each task may hold megabytes of masks
# `include` counts for what is in a task too: an annotation comes without its results unless they are named.
DRAWN_FIELDS = ("result", "completed_by", "lead_time", "was_cancelled", "model_version")
STORAGE_FIELDS = ("path", "title", "regex_filter", "use_blob_urls", "recursive_scan")
TASK_FIELDS = "id,data,total_annotations,storage_filename"


class Client(Connection):
    """The projects of one Label Studio, with their storages, tasks and ML backends. Errors as of `Connection`."""

    def projects(self, title: str) -> list[Project]:
        """The projects with exactly this title, oldest first."""
        return [self.project(project_id) for project_id, other in self.titles().items() if other == title]

    def titles(self) -> dict[int, str]:
        """The title of every project by its id, oldest first."""
        query: dict[str, str | int] = {"page_size": PAGE, "include": "id,title"}
        rows = self._pages("list the projects", "/api/projects/", query, "count", "results")
        return dict(sorted((int(one["id"]), str(one["title"])) for one in rows))

    def project(self, project_id: int) -> Project:
        """One project."""
        one = self._object(f"read project {project_id}", f"/api/projects/{project_id}/")
        created = one.get("created_at")
        return Project(
            id=project_id,
            title=one.get("title") or "",
            description=one.get("description") or "",
            label_config=one.get("label_config") or "",
            show_collab_predictions=bool(one.get("show_collab_predictions")),
            task_count=int(one.get("task_number") or 0),
            sampling=str(one.get("sampling") or ""),
            key=f"{project_id}.{int(datetime.fromisoformat(created).timestamp())}" if created else str(project_id),
        )

    def create_project(self, title: str, description: str, label_config: str, sampling: str = "") -> int:
        """Make a project; return its id. Predictions are shown when a task opens: that call warms the model."""
        body = {
            "title": title,
            "description": description,
            "label_config": label_config,
            "show_collab_predictions": True,
            **({"sampling": sampling} if sampling else {}),
        }
        made = self._request(f"create project {title!r}", "POST", "/api/projects/", json=body)
        return _id_of(made.json().get("id"))

    def update_project(
        self,
        project_id: int,
        *,
        description: str | None = None,
        label_config: str | None = None,
        show_collab_predictions: bool | None = None,
        sampling: str | None = None,
    ) -> None:
        """Change the given fields of a project. Label Studio validates a labeling configuration against its tasks."""
        given = {
            "description": description,
            "label_config": label_config,
            "show_collab_predictions": show_collab_predictions,
            "sampling": sampling,
        }
        body = {name: value for name, value in given.items() if value is not None}
        self._request(f"update project {project_id}", "PATCH", f"/api/projects/{project_id}/", json=body)

    def data_keys(self, project_id: int) -> frozenset[str]:
        """The keys that the data of every task of a project has; none where there are no tasks."""
        body = self.call(f"read the summary of project {project_id}", "GET", f"/api/projects/{project_id}/summary/")
        return frozenset(body.get("common_data_columns") or ())

    def user_emails(self) -> set[str]:
        """The e-mail addresses of all accounts."""
        answer = self._request("list the users", "GET", "/api/users/")
        return {str(one["email"]).lower() for one in answer.json()}

    def storages(self, project_id: int) -> list[Storage]:
        """The project's local-files storages, oldest first. Label Studio checks stuck syncs on the way."""
        rows = self._objects("list the storages", "/api/storages/localfiles/", project_id)
        return sorted((_storage(one) for one in rows), key=lambda one: one.id)

    def create_storage(self, project_id: int, wanted: Storage) -> int:
        """Connect a folder to a project; return the storage's id (`wanted.id` is not looked at)."""
        with self._doing(f"connect the folder {wanted.path}"):
            made = self.sdk.import_storage.local.create(project=project_id, **_chosen(wanted))
        return _id_of(made.id)

    def update_storage(self, project_id: int, storage_id: int, wanted: Storage) -> None:
        """Set all that we say about a storage."""
        with self._doing(f"update storage {storage_id}"):
            self.sdk.import_storage.local.update(storage_id, project=project_id, **_chosen(wanted))

    def delete_storage(self, storage_id: int) -> None:
        """Disconnect a storage; its tasks stay."""
        with self._doing(f"disconnect storage {storage_id}"):
            self.sdk.import_storage.local.delete(storage_id)

    def tasks(self, project_id: int, image: ImageTag) -> Iterator[TaskRef]:
        """The project's tasks in the order of their ids, each with the first URL that this tag shows."""
        query: dict[str, str | int] = {"project": project_id, "page_size": PAGE, "include": TASK_FIELDS}
        for one in self._tasks(query):
            data = one.get("data") or {}
            yield TaskRef(
                id=int(one["id"]),
                image=next(iter(image_urls(data, image)), ""),
                annotations=int(one.get("total_annotations") or 0),
                file=one.get("storage_filename"),
            )

    def task_states(self, project_id: int, *drawn: str) -> Iterator[dict[str, Any]]:
        """Every task with its data; with `drawn` its `annotations`, `predictions` or both too."""
        fields = ["id", "data", "total_annotations", *([*drawn, *DRAWN_FIELDS] if drawn else [])]
        query: dict[str, str | int] = {"project": project_id, "include": ",".join(fields)}
        query |= {"page_size": DRAWN_PAGE, "fields": "all"} if drawn else {"page_size": PAGE}
        yield from self._tasks(query)

    def tasks_predicted_by(self, project_id: int, version: str) -> set[int]:
        """The tasks that have a prediction of exactly this model version."""
        name = "predictions_model_versions"
        item = {"filter": f"filter:tasks:{name}", "operator": "contains", "type": "List", "value": version}
        filters = json.dumps({"filters": {"conjunction": "and", "items": [item]}})
        query: dict[str, str | int] = {"project": project_id, "include": f"id,{name}", "page_size": PAGE}
        rows = self._tasks({**query, "query": filters})
        return {int(one["id"]) for one in rows if version in str(one.get(name) or "").split(",")}

    def model_versions(self, project_id: int) -> dict[str, int]:
        """How many predictions of which model version a project has."""
        answer = self._request("list the model versions", "GET", f"/api/projects/{project_id}/model-versions/")
        return {str(name): int(count) for name, count in answer.json().items() if count}

    def draft_count(self, task_id: int) -> int:
        """How many unsubmitted drafts a task has (our user's)."""
        answer = self._request(f"read the drafts of task {task_id}", "GET", f"/api/tasks/{task_id}/drafts")
        drafts = answer.json()
        return len(drafts) if isinstance(drafts, list) else 0

    def delete_task(self, task_id: int) -> None:
        """Delete a task and everything in it."""
        self._request(f"delete task {task_id}", "DELETE", f"/api/tasks/{task_id}/")

    def delete_prediction(self, prediction_id: int) -> None:
        """Remove a prediction from its task."""
        self._request(f"remove prediction {prediction_id}", "DELETE", f"/api/predictions/{prediction_id}/")

    def backends(self, project_id: int) -> list[Backend]:
        """The project's ML backends in Label Studio's order, each asked for its health on the way."""
        return [_backend(one) for one in self._objects("list the ML backends", "/api/ml/", project_id)]

    def add_backend(
        self,
        project_id: int,
        url: str,
        title: str,
        options: Mapping[str, object] | None = None,
        *,
        interactive: bool = True,
        login: BasicAuth | None = None,
    ) -> int:
        """Register an ML backend; return its id. Label Studio calls its health and setup first."""
        with self._doing(f"connect the ML backend {url}"):
            given = _given(options, login)
            made = self.sdk.ml.create(project=project_id, url=url, title=title, is_interactive=interactive, **given)
        return _id_of(made.id)

    def update_backend(
        self,
        project_id: int,
        backend_id: int,
        url: str,
        title: str,
        options: Mapping[str, object] | None = None,
        *,
        interactive: bool = True,
        login: BasicAuth | None = None,
    ) -> None:
        """Set title, interactivity, the login and, unless empty, options.

        Label Studio needs url and project each time, and calls the backend with the login that comes with them.
        """
        with self._doing(f"update the ML backend {url}"):
            given = _given(options, login)
            self.sdk.ml.update(
                backend_id, project=project_id, url=url, title=title, is_interactive=interactive, **given
            )

    def delete_backend(self, backend_id: int) -> None:
        """Remove an ML backend from its project."""
        with self._doing(f"remove ML backend {backend_id}"):
            self.sdk.ml.delete(backend_id)

    def click(self, backend_id: int, task_id: int, regions: Sequence[Mapping[str, object]]) -> ClickAnswer:
        """Ask the model as the editor does: `regions` are the smart prompts (see `prompts`).

        The SDK's `predict_interactive` drops the answer, hence plain HTTP. Label Studio answers HTTP 200 with
        `errors` when the backend failed.
        """
        doing = f"ask the model about task {task_id}"
        began = time.monotonic()
        answer = self._request(
            doing,
            "POST",
            f"/api/ml/{backend_id}/interactive-annotating",
            json={"task": task_id, "context": {"result": list(regions)}},
            timeout=CLICK_TIMEOUT,
        )
        seconds = time.monotonic() - began
        body = answer.json()
        if not isinstance(body, dict):
            raise refusal(self.base_url, doing, answer.status_code, answer.text)
        errors = body.get("errors") or []
        data = body.get("data")
        return ClickAnswer(
            data=data if isinstance(data, dict) else None,
            errors=tuple(map(str, errors if isinstance(errors, list) else [errors])),
            seconds=seconds,
        )

    def _tasks(self, query: Mapping[str, str | int]) -> Iterator[dict[str, Any]]:
        """Tasks with their data as it was imported; see `image_files.served_at` for what Label Studio makes of it."""
        return self._pages("list the tasks", "/api/tasks", {**query, **AS_IMPORTED}, "total", "tasks")


def _id_of(given: int | None) -> int:
    if given is None:
        raise LabelStudioError("Label Studio answered without an id; is this Label Studio 1.23.2?")
    return int(given)


def _given(options: Mapping[str, object] | None, login: BasicAuth | None) -> dict[str, Any]:
    """The fields of an ML backend that are only sometimes sent."""
    given: dict[str, Any] = {"extra_params": dict(options)} if options else {}
    if login is not None:
        given |= {"auth_method": BASIC_AUTH, "basic_auth_user": login.user, "basic_auth_pass": login.password}
    return given


def _chosen(storage: Storage) -> dict[str, Any]:
    """The fields of a storage that we choose."""
    return {name: getattr(storage, name) for name in STORAGE_FIELDS}


def _storage(one: Mapping[str, Any]) -> Storage:
    return Storage(
        id=_id_of(one.get("id")),
        title=one.get("title") or "",
        path=one.get("path") or "",
        regex_filter=one.get("regex_filter") or "",
        use_blob_urls=bool(one.get("use_blob_urls")),
        recursive_scan=bool(one.get("recursive_scan")),
        status=str(one.get("status") or ""),
        traceback=one.get("traceback") or "",
    )


def _backend(one: Mapping[str, Any]) -> Backend:
    return Backend(
        id=_id_of(one.get("id")),
        url=str(one.get("url") or ""),
        title=one.get("title") or "",
        is_interactive=bool(one.get("is_interactive")),
        state=str(one.get("state") or ""),
        error=one.get("error_message") or "",
        model_version=one.get("model_version") or "",
        options=one.get("extra_params"),
        user=str(one.get("basic_auth_user") or "") if one.get("auth_method") == BASIC_AUTH else "",
    )
