"""A stand-in for Label Studio behind httpx's transport: it keeps projects, storages, tasks and backends in memory.

Answers have the form, and the errors the words, of Label Studio 1.23.2, recorded from a running one. Whatever it does
not know raises, so that a test notices a call it did not expect.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs

import httpx

from labelstudio.wanted_tasks import task_url

BASE = "http://label-studio.test"
EMAIL = "admin@labelrig.local"
PASSWORD = "right-password"
ROOT = "/label-studio/files"

LOGIN_AGAIN = '<html><p class="error">\n            The email and password you entered don&#x27;t match.\n </p></html>'
NOT_FOUND_PAGE = "<html><head><title>404 | Label Studio</title><style>a{}</style></head><body>404</body></html>"
BANNED = "URL resolves to a reserved network address (block: 10.0.0.0/8)"
UNRESOLVED = "Can't resolve hostname sam2"
REFUSED = "401 Client Error: this backend asks for a password for url: http://sam2:9090/setup"
HEALTH_FAILED = (
    "Can't connect to ML backend http://sam2:9090, health check failed. Make sure it is up and your firewall is "
    'properly configured. <a href="https://labelstud.io/guide/ml.html">Learn more</a> about how to set up an ML '
    "backend. Additional info: Connection refused"
)


def jwt(number: int, user: int = 1) -> str:
    """A token as Label Studio makes them: a refresh JWT that expires in 200 years."""
    parts = [
        {"alg": "HS256", "typ": "JWT"},
        {"token_type": "refresh", "exp": 8102601014, "jti": number, "user_id": user},
    ]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, f"signature{number}"])


def problem(status: int, detail: str, errors: dict[str, list[str]] | None = None) -> httpx.Response:
    body = {"id": "54901aa6", "status_code": status, "version": "1.23.2", "detail": detail, "exc_info": None}
    return httpx.Response(status, json=body | ({"validation_errors": errors} if errors else {}))


class FakeLabelStudio:
    """`transport` goes where a client takes one; everything else is state to look at and to spoil."""

    def __init__(self) -> None:
        self.transport = httpx.MockTransport(self._answer)
        self.password = PASSWORD
        self.tokens: list[str] = []
        self.owners: dict[str, str] = {}
        self.backend_password: str | None = None  # what the backends ask for, where they ask
        self.projects: dict[int, dict[str, Any]] = {}
        self.storages: dict[int, dict[str, Any]] = {}
        self.tasks: dict[int, dict[str, Any]] = {}
        self.backends: dict[int, dict[str, Any]] = {}
        self.drafts: dict[int, int] = {}
        self.calls: list[str] = []
        self.folder: list[str] = []  # what a press on Sync finds, as paths below the document root
        self.refuse_backend: httpx.Response | None = None  # a row is left behind all the same
        self.overrides: dict[str, Callable[[httpx.Request], httpx.Response]] = {}
        self._next = 0

    def new_id(self) -> int:
        self._next += 1
        return self._next

    def token(self, owner: str = EMAIL) -> str:
        self.tokens.append(jwt(self.new_id()))
        self.owners[self.tokens[-1]] = owner
        return self.tokens[-1]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method} {request.url.path.rstrip('/')}"
        self.calls.append(call)
        if call in self.overrides:
            return self.overrides[call](request)
        open_to_all = ("POST /api/token/refresh", "GET /user/login", "POST /user/login")
        if call not in open_to_all and not self._known(request):
            return problem(401, "Authentication credentials were not provided.")
        for method, pattern, handler in self._routes():
            match = re.fullmatch(pattern, request.url.path.rstrip("/"))
            if method == request.method and match:
                return handler(request, *map(int, match.groups()))
        raise AssertionError(f"not scripted: {call}")

    def _known(self, request: httpx.Request) -> bool:
        given = request.headers.get("Authorization", "")
        return given in [f"Bearer access-{token}" for token in self.tokens] or "sessionid=yes" in request.headers.get(
            "Cookie", ""
        )

    def _routes(self) -> list[tuple[str, str, Callable[..., httpx.Response]]]:
        return [
            ("GET", "/user/login", self._login_form),
            ("POST", "/user/login", self._sign_in),
            ("POST", "/api/token/refresh", self._refresh),
            ("GET", "/api/token", self._list_tokens),
            ("POST", "/api/token", self._make_token),
            ("POST", "/api/token/blacklist", self._blacklist),
            ("POST", "/api/token/rotate", self._rotate),
            ("GET", "/api/current-user/whoami", self._who),
            ("GET", "/api/projects", self._list_projects),
            ("POST", "/api/projects", self._create(self.projects, sampling="Sequential sampling")),
            ("GET", "/api/users", lambda _: httpx.Response(200, json=[{"id": 1, "email": EMAIL}])),
            ("GET", r"/api/projects/(\d+)", self._project),
            ("GET", r"/api/projects/(\d+)/summary", self._summary),
            ("PATCH", r"/api/projects/(\d+)", self._patch(self.projects)),
            ("GET", "/api/storages/localfiles", self._list(self.storages)),
            ("POST", "/api/storages/localfiles", self._create(self.storages, status="initialized", traceback=None)),
            ("PATCH", r"/api/storages/localfiles/(\d+)", self._patch(self.storages)),
            ("DELETE", r"/api/storages/localfiles/(\d+)", self._disconnect),
            ("POST", r"/api/storages/localfiles/(\d+)/sync", self._sync),
            ("GET", "/api/tasks", self._list_tasks),
            ("DELETE", r"/api/tasks/(\d+)", self._delete(self.tasks)),
            ("GET", r"/api/tasks/(\d+)/drafts", self._list_drafts),
            ("GET", "/api/ml", self._list_backends),
            ("POST", "/api/ml", self._add_backend),
            ("PATCH", r"/api/ml/(\d+)", self._update_backend),
            ("DELETE", r"/api/ml/(\d+)", self._delete(self.backends)),
        ]  # fmt: skip

    @staticmethod
    def _login_form(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="form", headers={"Set-Cookie": "csrftoken=c; Path=/"})

    def _list_tokens(self, _request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[{"token": token.rsplit(".", 1)[0]} for token in self.tokens])

    def _summary(self, _request: httpx.Request, key: int) -> httpx.Response:
        keys = [set(task["data"]) for task in self.tasks.values() if task["project"] == key]
        return httpx.Response(200, json={"common_data_columns": sorted(set.intersection(*keys)) if keys else []})

    def _list_drafts(self, _request: httpx.Request, key: int) -> httpx.Response:
        return httpx.Response(200, json=[{}] * self.drafts.get(key, 0))

    def _sign_in(self, request: httpx.Request) -> httpx.Response:
        form = parse_qs(request.content.decode())
        assert "csrftoken=c" in request.headers["Cookie"]
        assert form["csrfmiddlewaretoken"] == ["c"]
        if (form["email"], form["password"]) != ([EMAIL], [self.password]):
            return httpx.Response(200, text=LOGIN_AGAIN)
        return httpx.Response(302, headers={"Location": "/", "Set-Cookie": "sessionid=yes; Path=/"})

    def _refresh(self, request: httpx.Request) -> httpx.Response:
        token = json.loads(request.content)["refresh"]
        if token not in self.tokens:
            return problem(401, "Token is blacklisted")
        return httpx.Response(200, json={"access": f"access-{token}"})

    def _make_token(self, _request: httpx.Request) -> httpx.Response:
        if self.tokens:
            return problem(409, "You already have a valid token. Please revoke it before creating a new one.")
        return httpx.Response(201, json={"token": self.token()})

    def _blacklist(self, request: httpx.Request) -> httpx.Response:
        cut = json.loads(request.content)["refresh"]
        self.tokens = [token for token in self.tokens if not token.startswith(cut)]
        return httpx.Response(204)

    def _rotate(self, request: httpx.Request) -> httpx.Response:
        old = json.loads(request.content)["refresh"]
        self.tokens.remove(old)
        return httpx.Response(200, json={"refresh": self.token(self.owners[old])})

    def _who(self, request: httpx.Request) -> httpx.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer access-")
        return httpx.Response(200, json={"id": 1, "email": self.owners.get(token, EMAIL)})

    def _list_projects(self, _request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, json={"count": len(self.projects), "next": None, "results": list(self.projects.values())}
        )

    def _project(self, _request: httpx.Request, key: int) -> httpx.Response:
        if key not in self.projects:
            return problem(404, "No Project matches the given query.")
        count = sum(task["project"] == key for task in self.tasks.values())
        return httpx.Response(200, json=self.projects[key] | {"task_number": count})

    def _list_tasks(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        assert query["include"] == "id,data,total_annotations,storage_filename"
        size, page = int(query["page_size"]), int(query["page"])
        found = [task for task in self.tasks.values() if task["project"] == int(query["project"])]
        rows = [task | {"data": resolved(query, task)} for task in found[size * (page - 1) : size * page]]
        return httpx.Response(200, json={"total": len(found), "tasks": rows})

    def _sync(self, _request: httpx.Request, key: int) -> httpx.Response:
        """As somebody does who presses Sync in the browser."""
        storage = self.storages[key]
        known = {task["storage_filename"] for task in self.tasks.values() if task["storage"] == key}
        matches = re.compile(storage["regex_filter"]).match
        for path in self.folder:
            file = f"{ROOT}/{path}"
            if file not in known and matches(PurePosixPath(path).name):
                self.add_task(storage["project"], task_url("", path).replace("?d=/", "?d="), storage=key, file=file)
        storage |= {"status": "completed", "traceback": None}
        return httpx.Response(200, json=storage)

    def fill(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What `labelstudio.inside.fill` does to the database."""
        storage, made = asked["storage"], 0
        for key, data, task in asked["files"]:
            if any((one["storage"], one["storage_filename"]) == (storage, key) for one in self.tasks.values()):
                continue
            if task not in self.tasks:
                task, made = self.add_task(asked["project"], "", data=data), made + 1
            self.tasks[task] |= {"storage": storage, "storage_filename": key}
        return {"made": made, "known": len(asked["files"]) - made, "seconds": 0.1}

    def add_task(
        self,
        project: int,
        url: str,
        *,
        annotations: int = 0,
        storage: int | None = None,
        file: str | None = None,
        data: dict[str, str] | None = None,
    ) -> int:
        key = self.new_id()
        self.tasks[key] = {
            "id": key,
            "project": project,
            "data": {"image": url} if data is None else data,
            "total_annotations": annotations,
            "storage": storage,
            "storage_filename": file,
        }
        return key

    def _list_backends(self, request: httpx.Request) -> httpx.Response:
        """Each is asked on the way; the password is never told."""
        rows = json.loads(self._list(self.backends)(request).content)
        for row in rows:
            if row.pop("basic_auth_pass", None) != self.backend_password is not None:
                row |= {"state": "ER", "error_message": REFUSED}
        return httpx.Response(200, json=rows)

    def _update_backend(self, request: httpx.Request, key: int) -> httpx.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        return self._patch(self.backends)(request, key)

    def _refused(self, request: httpx.Request) -> httpx.Response | None:
        """With what comes in the request, not with what is kept of before."""
        if json.loads(request.content).get("basic_auth_pass") == self.backend_password or self.backend_password is None:
            return None
        return problem(400, "Validation error", {"non_field_errors": [REFUSED]})

    def _add_backend(self, request: httpx.Request) -> httpx.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        made = self._create(self.backends, state="CO", error_message=None, model_version="demo")(request)
        return self.refuse_backend or made

    def _disconnect(self, _request: httpx.Request, key: int) -> httpx.Response:
        self.disconnect(key)
        return httpx.Response(204)

    def disconnect(self, key: int) -> None:
        """Remove a storage: its tasks stay, and nobody knows their files any more."""
        del self.storages[key]
        for task in self.tasks.values():
            if task["storage"] == key:
                task |= {"storage": None, "storage_filename": None}

    @staticmethod
    def _list(rows: dict[int, dict[str, Any]]) -> Callable[..., httpx.Response]:
        def handler(request: httpx.Request) -> httpx.Response:
            project = int(request.url.params["project"])
            return httpx.Response(200, json=[row for row in rows.values() if row["project"] == project])

        return handler

    def _create(self, rows: dict[int, dict[str, Any]], **more: Any) -> Callable[..., httpx.Response]:
        def handler(request: httpx.Request) -> httpx.Response:
            key = self.new_id()
            texts = {k: v.strip() if isinstance(v, str) else v for k, v in json.loads(request.content).items()}
            rows[key] = {"id": key, **more, **texts}
            return httpx.Response(201, json=rows[key])

        return handler

    @staticmethod
    def _patch(rows: dict[int, dict[str, Any]]) -> Callable[..., httpx.Response]:
        def handler(request: httpx.Request, key: int) -> httpx.Response:
            rows[key] |= json.loads(request.content)
            return httpx.Response(200, json=rows[key])

        return handler

    @staticmethod
    def _delete(rows: dict[int, dict[str, Any]]) -> Callable[..., httpx.Response]:
        def handler(_request: httpx.Request, key: int) -> httpx.Response:
            del rows[key]
            return httpx.Response(204)

        return handler


def resolved(query: Mapping[str, str], task: Mapping[str, Any]) -> dict[str, Any]:
    """A task's data in a list: what lies in a cloud storage behind a link, unless told otherwise."""
    if query.get("resolve_uri") == "false":
        return dict(task["data"])
    link = f"/tasks/{task['id']}/resolve/?fileuri=czM6Ly9i"
    return {key: link if str(value).startswith("s3:") else value for key, value in task["data"].items()}
