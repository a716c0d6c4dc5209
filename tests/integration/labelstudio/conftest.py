"""The project cases on a Label Studio that already runs, without containers. Not collected unless it is named:

    LABELRIG_TEST_LABEL_STUDIO_URL   where it answers, as http://127.0.0.1:8080
    LABELRIG_TEST_ENV_FILE           the .env with its login
    LABELRIG_TEST_FILES_ROOT         its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT
    LABELRIG_TEST_DEMO               a folder that `python -m demo.images` filled, its images copied to <root>/demo
    LABELRIG_TEST_BACKEND_URL        the SAM2 backend as Label Studio reaches it
    LABELRIG_TEST_EXEC               a command prefix that runs the rest in Label Studio's environment

The end-to-end suite runs the same cases on the containers.
"""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from infra.folders import DEMO, ImageFolder
from infra.hosts.base import Result
from infra.hosts.local import LocalHost
from infra.labelstudio.access import Access
from infra.labelstudio.config import load_project
from infra.operation import converge
from infra.operations.apikey import ApiKeyPresent
from infra.report import Report
from infra.roles.project import DEFAULT_PROJECT, ProjectContext
from infra.settings import REPOSITORY, load_settings

pytest.register_assert_rewrite("tests.e2e.project_cases")

from tests.e2e.project_cases import Stage  # noqa: E402

NAMED = "LABELRIG_TEST_LABEL_STUDIO_URL" in os.environ
collect_ignore_glob = [] if NAMED else ["test_*.py"]


def _exec(*argv: str, ok: Collection[int] = (0,), timeout: float = 120.0, stdin: bytes | None = None) -> Result:
    prefix = shlex.split(os.environ["LABELRIG_TEST_EXEC"])
    return LocalHost().run(*prefix, *argv, ok=ok, timeout=timeout, stdin=stdin)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    env_path = Path(os.environ["LABELRIG_TEST_ENV_FILE"])
    settings = load_settings(env_path, {}, {})
    root = os.environ["LABELRIG_TEST_FILES_ROOT"]
    report = Report(io.StringIO())
    ctx = ProjectContext(
        host=LocalHost(),
        env_file=str(env_path),
        folder=ImageFolder(DEMO, f"{root}/{DEMO}"),
        access=Access.of(settings, os.environ["LABELRIG_TEST_LABEL_STUDIO_URL"]),
        exec_in_label_studio=_exec,
        report=report,
        truth=Path(os.environ["LABELRIG_TEST_DEMO"]) / "truth",
        files_root=root,
        backend_url=os.environ["LABELRIG_TEST_BACKEND_URL"],
    )
    converge([ApiKeyPresent(ctx.access, ctx.host, ctx.env_file, ctx.exec_in_label_studio)], report)
    yield Stage(settings, load_project(REPOSITORY, DEFAULT_PROJECT), ctx)
    ctx.access.close()
