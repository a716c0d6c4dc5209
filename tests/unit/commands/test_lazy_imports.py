"""Commands that only read start without Label Studio's SDK (seconds of CPU), and without SSH where no host is named."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest

from core.repository import REPOSITORY
from tests.unit.labelstudio.annotated import FUSED, AnnotatedLabelStudio, brush, url
from tests.unit.labelstudio.labelstudio_fake import BASE, PASSWORD

# The program as `./inv` starts it; at its end it writes which modules it has imported.
PROGRAM = """
import atexit, pathlib, runpy, sys
report = pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: report.write_text(" ".join(sys.modules)))
sys.argv = ["tasks.py", "--search-root", *sys.argv[1:]]
runpy.run_path("tasks.py", run_name="__main__")
"""
CLIENT = """
import sys
from labelstudio.client import Client
client = Client(sys.argv[1], sys.argv[2])
(project,) = client.projects("RGBT-SAR demo")
client.backends(project.id), client.user_emails(), client.data_keys(project.id)
(storage,) = client.storages(project.id)
print("label_studio_sdk" in sys.modules)
client.create_storage(project.id, storage)
print("label_studio_sdk" in sys.modules)
"""
FOLDER = {"title": "images", "path": "/label-studio/files/x", "regex_filter": "", "status": "completed"}


class Listed(AnnotatedLabelStudio):
    """Answers what `stats` reads too: tasks without a filter, and model versions."""

    def _routes(self) -> list[tuple[str, str, Callable[..., httpx.Response]]]:
        versions = ("GET", r"/api/projects/(\d+)/model-versions", lambda *_: httpx.Response(200, json={}))
        return [versions, *super()._routes()]

    def _tasks(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        if "query" in query:
            return super()._tasks(request)
        rows = [self._row(key, set(query["include"].split(",")), query.get("fields") == "all") for key in self.tasks]
        return httpx.Response(200, json={"total": len(rows), "tasks": rows})


class Stage:
    """A stand-in for Label Studio with one annotated project, at a port of this machine."""

    def __init__(self, folder: Path) -> None:
        self.server = Listed()
        self.token = self.server.token()
        project = self.server.project(FUSED, "RGBT-SAR demo")
        self.server.storages[7] = {"id": 7, "project": project.id, **FOLDER}
        task = self.server.task(project, image=url("a.png"))
        self.server.annotate(task, brush(np.eye(8, 9, dtype=np.bool_), "Car"))
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.server))
        self.port = self.http.server_address[1]
        self.folder = folder
        self.env = folder / ".env"
        self.env.write_text(
            f"LABEL_STUDIO_PASSWORD={PASSWORD}\nLABEL_STUDIO_SECRET_KEY={'k' * 50}\n"
            "LABELRIG_BACKEND_PASSWORD=of-the-backend\n"
            f"LABEL_STUDIO_API_KEY={self.token}\nLABEL_STUDIO_PORT={self.port}\nLABELRIG_PROJECT=lazy-imports\n"
        )
        self.env.chmod(0o600)

    def run(self, *arguments: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
        """Run a task; return how it ended, and the modules that it had imported by then."""
        report = self.folder / "modules"
        words = (sys.executable, "-c", PROGRAM, str(report), str(REPOSITORY), *arguments)
        environment = os.environ | {"LABELRIG_ENV_FILE": str(self.env), "DOCKER_HOST": f"unix://{self.folder}/none"}
        done = subprocess.run(
            words, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        return done, set(report.read_text().split())


def _handler(server: Listed) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = httpx.Request(self.command, BASE + self.path, headers=dict(self.headers), content=body)
            answer = server.transport.handle_request(request)
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = _answer

        def log_message(self, *_arguments: object) -> None:
            pass

    return Handler


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("stage"))
    thread = threading.Thread(target=made.http.serve_forever)
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


@pytest.mark.parametrize(
    ("line", "exit_code", "seen"),
    [
        ("stats --project rgbt-sar --json --html FOLDER/page.html", 0, '"annotations": 1'),
        ("export --project rgbt-sar --format rle-json --json --classes FOLDER/lock --out FOLDER/x", 0, '"regions": 1'),
        ("config.check", 0, ""),
        ("docs port", 0, "port"),
        ("status", 1, ""),
        ("doctor --json", 1, '"engine"'),
        ("logs", 1, ""),
        ("project.plan", 1, ""),
    ],
)
def test_reading_needs_no_sdk(stage: Stage, tmp_path: Path, line: str, exit_code: int, seen: str) -> None:
    done, modules = stage.run(*line.replace("FOLDER", str(tmp_path)).split())
    assert (done.returncode, seen in done.stdout) == (exit_code, True), done.stdout + done.stderr
    assert {"label_studio_sdk", "pandas", "fabric", "paramiko.transport", "torch"} & modules == set()


def test_sdk_has_one_user() -> None:
    wings = ("backend", "commands", "core", "dataset", "hosts", "infra", "labeling", "labelstudio", "masks")
    users = [
        str(path.relative_to(REPOSITORY))
        for wing in wings
        for path in (REPOSITORY / wing).rglob("*.py")
        if "import label_studio_sdk" in path.read_text() or "from label_studio_sdk" in path.read_text()
    ]
    assert users == ["labelstudio/connection.py"]


def test_only_writing_imports_the_sdk(stage: Stage) -> None:
    words = (sys.executable, "-c", CLIENT, f"http://127.0.0.1:{stage.port}", stage.token)
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.split() == ["False", "True"]
    assert len(stage.server.storages) == 2
