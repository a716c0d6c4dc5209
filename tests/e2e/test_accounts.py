"""`./inv user.*` on the running stack: what password, session and token open before and after, while others work."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import pytest

from core.repository import REPOSITORY
from labelstudio.session import SignInRefused, http_client, sign_in, token_works
from labelstudio.token_auth import TokenAuth
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.warm_python import run_inv

WHO = "/api/current-user/whoami"
PAUSE_SECONDS = 0.2  # of a person who works fast; without one Label Studio has no time left for what is tested


def inv(stack: Stack, *arguments: str) -> CompletedProcess[str]:
    done = run_inv(REPOSITORY, *arguments, environment=stack.environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def password_of(file: Path, email: str) -> str:
    address, password = file.read_text().split()
    assert address == email
    return password


def people(stack: Stack) -> dict[str, dict[str, Any]]:
    return {one["email"]: one for one in json.loads(inv(stack, "user.list", "--json").stdout)["people"]}


@contextmanager
def others_at_work(stage: Stage, task: int) -> Iterator[list[int]]:
    """Somebody who submits one annotation after the other while the context lasts; yields the answers' codes."""
    codes: list[int] = []
    access, stop = stage.ctx.access, threading.Event()

    def work() -> None:
        auth = TokenAuth(access.base_url, str(access.api_key))
        with http_client(access.base_url, None) as http:
            while not stop.wait(PAUSE_SECONDS):
                codes.append(http.post(f"/api/tasks/{task}/annotations/", json={"result": []}, auth=auth).status_code)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield codes
    finally:
        stop.set()
        thread.join()


def test_an_account_from_its_first_to_its_last_day(stack: Stack, stage: Stage, tmp_path: Path) -> None:
    """Added, used, reset, removed, let in again; nobody else notices."""
    url, email = stage.ctx.access.base_url, f"ana.{uuid.uuid4().hex[:8]}@lab.example"
    project = stage.client.create_project(
        f"People {uuid.uuid4().hex[:8]}", "", "<View><Text name='t' value='$t'/></View>"
    )
    with httpx.Client(base_url=url, auth=TokenAuth(url, str(stage.ctx.access.api_key)), timeout=60) as http:
        made = http.post(f"/api/projects/{project}/import", json=[{"t": "one"}, {"t": "two"}])
        assert made.is_success, made.text
        first, second = (row["id"] for row in http.get("/api/tasks", params={"project": project}).json()["tasks"])
    try:
        with others_at_work(stage, second) as codes:
            added = inv(stack, "user.add", email, "--name", "Ana López", "--password-file", str(tmp_path / "one"))
            old = password_of(tmp_path / "one", email)
            assert old not in added.stdout + added.stderr
            with sign_in(url, email, old) as session:
                token = session.make_token()
                body = {"result": [], "lead_time": 1.0}
                assert session.http.post(f"/api/tasks/{first}/annotations/", json=body).status_code == 201
                ana = people(stack)[email]
                assert (ana["name"], ana["active"], ana["annotations"], ana["projects"]) == ("Ana López", True, 1, 1)
                assert ana["last_sign_in"] is not None

                inv(stack, "user.reset", email, "--password-file", str(tmp_path / "two"))
                assert session.http.get(WHO).status_code == 401
            assert not token_works(url, token)
            with pytest.raises(SignInRefused), sign_in(url, email, old):
                pass
            with sign_in(url, email, password_of(tmp_path / "two", email)) as session:
                token = session.make_token()
                removed = inv(stack, "user.remove", email, "--yes")
                assert "1 annotation in 1 project and 0 drafts stay under that name" in removed.stdout
                assert session.http.get(WHO).status_code == 401
            assert not token_works(url, token)
            with pytest.raises(SignInRefused), sign_in(url, email, password_of(tmp_path / "two", email)):
                pass
            (theirs,) = annotators(stage, first)
            inv(stack, "user.add", email, "--password-file", str(tmp_path / "three"))
        back = people(stack)[email]
        assert back == {**ana, "last_sign_in": back["last_sign_in"]}
        with sign_in(url, email, password_of(tmp_path / "three", email)) as session:
            me = session.http.get(WHO).json()
        assert (me["id"], me["email"]) == (theirs, email)
        assert set(codes) == {201}
        assert len(codes) > 5
    finally:
        stage.client.sdk.projects.delete(project)


def annotators(stage: Stage, task: int) -> list[int]:
    """The ids of those who made a task's annotations, as Label Studio tells and exports them."""
    access = stage.ctx.access
    with httpx.Client(base_url=access.base_url, auth=TokenAuth(access.base_url, str(access.api_key))) as http:
        return [one["completed_by"] for one in http.get(f"/api/tasks/{task}/annotations/").raise_for_status().json()]
