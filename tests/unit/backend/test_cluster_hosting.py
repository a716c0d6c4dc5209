"""A replica that is told what projects' owners said."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from backend.cluster.hosting import AppHost
from backend.cluster.messages import Answer, Asked, ProjectState
from backend.serving.alignments import Alignment, PairImage
from backend.settings import Settings
from backend.web.app import create_app
from tests.unit.backend.fakes import MODEL, FakeSegmenter, click, region
from tests.unit.backend.held_segmenter import draw

PROJECT = "3.1"
RGB, THERMAL = PairImage(to_name="rgb", width=64, height=48), PairImage(to_name="thermal", width=32, height=24)


def alignment(scale: float) -> Alignment:
    matrix = ((scale, 0.0, 0.0), (0.0, scale, 0.0), (0.0, 0.0, 1.0))
    return Alignment(project=PROJECT, first=RGB, second=THERMAL, matrix=matrix)


def asked(stamp: str, told: Alignment) -> Asked:
    body = json.dumps({**click(region("keypointlabels", 25, 75), image="set/a.png"), "project": PROJECT}).encode()
    headers = ((b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()))
    state = ProjectState({}, told.model_dump_json().encode())
    return Asked("POST", "/predict", b"", headers, body, project=PROJECT, stamp=stamp, state=state)


def test_full_disk_fails_no_click_and_what_was_told_counts(
    settings: Settings, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Here the folder of alignments cannot be made; what comes when it can be counts as well."""
    draw(root, "set/a.png")
    blocked = tmp_path / "alignments"
    blocked.write_text("no folder")
    kept = settings.model_copy(update={"embedding_cache_dir": tmp_path})
    with TestClient(create_app(FakeSegmenter, kept, MODEL)) as client:
        host = AppHost(client.app, "a/0", "7")  # type: ignore[arg-type]
        for number in (1, 2, 3):
            if number == 3:
                blocked.unlink()
            answer = asyncio.run(host.call(asked(f"stamp-{number}", alignment(number))))
            assert isinstance(answer, Answer)
            assert answer.status == 200, answer.body
            assert host.service.alignments.of(PROJECT) == alignment(number)
    assert caplog.text.count("the alignment of a project could not be stored") == 2
    assert blocked.is_dir()


def test_tags_of_two_hosts_with_one_process_number_differ(settings: Settings) -> None:
    """Containers of different hosts often give a replica the same number."""
    with TestClient(create_app(FakeSegmenter, settings, MODEL)) as client:
        hosts = [AppHost(client.app, name, "7") for name in ("a/0", "b/0")]  # type: ignore[arg-type]
        tags = [asyncio.run(one.tag()) for one in hosts]
    assert tags == ["a/0 7", "b/0 7"]
