"""`/embed`: the life of a job, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.settings import Settings
from tests.unit.backend.caching import eventually
from tests.unit.backend.fakes import click, region
from tests.unit.backend.held_segmenter import House, draw, open_house, refused, said

URL = "/data/local-files/?d=set/"


@pytest.fixture
def house(settings: Settings, root: Path, tmp_path: Path) -> Iterator[House]:
    draw(root, "set/b.png", "set/c.png")
    (tmp_path / "kept").mkdir()
    with open_house(settings, embedding_cache_dir=tmp_path / "kept") as house:
        yield house


def start(house: House, body: dict[str, object]) -> str:
    answer = house.client.post("/embed", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json().keys() == {"job"}
    return str(answer.json()["job"])


def progress(house: House, job: str) -> Any:
    answer = house.client.get(f"/embed/{job}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(house: House, job: str) -> Any:
    eventually(lambda: progress(house, job)["state"] not in ("waiting", "running"))
    return progress(house, job)


def test_a_folder_is_encoded_ahead_of_the_clicks(house: House, settings: Settings, root: Path, tmp_path: Path) -> None:
    for folder in ("@eaDir", ".Trash-1000"):  # a server's own
        (root / "set" / folder).mkdir()
        draw(root, f"set/{folder}/old.png")
    draw(root, "set/._a.png")
    job = start(house, {"key": "all", "folder": "set"})
    found = ended(house, job)
    assert (found["state"], found["key"], found["total"], found["failed"]) == ("done", "all", 3, 0)
    assert (found["failures"], found["problem"]) == ([], None)
    assert [one["id"] for one in house.client.get("/embed").json()["jobs"]] == [job]
    before = len(house.segmenter.encoded)
    for name in "abc":
        assert said(house.ask(click(region("keypointlabels", 25, 75, id=name), image=f"set/{name}.png")))
    assert len(house.segmenter.encoded) == before

    with open_house(settings, embedding_cache_dir=tmp_path / "kept") as another:
        # A job needs the model, which it waits for.
        found = ended(another, start(another, {"folder": "set"}))
        assert (found["state"], found["encoded"], found["skipped"]) == ("done", 0, 3)
        assert another.segmenter.encoded == []


def test_reports_image_that_cannot_be_encoded(house: House) -> None:
    """What cannot be encoded is reported and costs the others nothing."""
    images = [{"url": f"{URL}{name}.png", "task": number} for number, name in enumerate(("b", "none", "c"))]
    found = ended(house, start(house, {"images": images}))
    assert (found["state"], found["encoded"], found["failed"]) == ("done", 2, 1)
    assert found["failures"][0]["image"] == f"{URL}none.png"
    assert "is not in " in found["failures"][0]["reason"]


def test_a_job_can_be_cancelled(house: House) -> None:
    house.segmenter.hold()
    job = start(house, {"images": [{"url": f"{URL}b.png"}]})
    house.segmenter.wait_until_begun()
    assert progress(house, job)["state"] == "running"
    assert start(house, {"images": [{"url": f"{URL}b.png"}]}) == job  # of the same key
    assert house.client.delete(f"/embed/{job}").json() == {"cancelled": True}
    assert house.client.delete(f"/embed/{job}").json() == {"cancelled": False}
    house.segmenter.let_go()
    assert ended(house, job)["state"] == "cancelled"


def test_clicks_go_before_a_job(house: House) -> None:
    house.segmenter.hold()
    job = start(house, {"images": [{"url": f"{URL}b.png"}, {"url": f"{URL}c.png"}]})
    house.segmenter.wait_until_begun()
    sent = house.send(click(region("keypointlabels", 25, 75, id="z"), image="set/c.png"))
    eventually(lambda: 'labelrig_queue_depth{priority="click"} 1.0' in house.client.get("/metrics").text)
    house.segmenter.let_go()
    assert said(sent.result(30))
    assert ended(house, job)["state"] == "done"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_unknown_job(house: House, method: str) -> None:
    status, sentence = refused(house.client.request(method, "/embed/none"))
    assert status == 404
    assert sentence.startswith("there is no such job; ")


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"", 400, "the request does not follow the format of /embed: body: "),
        (b"{}", 400, "the request does not follow the format of /embed: body: Value error, either `images` or"),
        (b'{"folder": "set", "images": []}', 400, "the request does not follow the format of /embed: body: "),
        (b'{"images": []}', 400, "there are no images to embed: name a folder or a project that has some"),
        (b'{"images": [{"url": ""}]}', 400, "the request does not follow the format of /embed: images.0.url: "),
        (b'{"folder": "set", "secret": 1}', 400, "the request does not follow the format of /embed: secret: "),
        (b'{"folder": "%s"}' % (b"x" * 4000), 422, "there is no folder 'xxx"),
        (b'{"folder": "none"}', 422, "there is no folder 'none' in the shared folder"),
        (b'{"folder": "../../"}', 422, "there is no folder '../../' in the shared folder"),
        (b'{"folder": "a\\u0000b"}', 422, "there is no folder 'a\\x00b' in the shared folder"),
    ],
)
def test_jobs_that_cannot_be(house: House, body: bytes, status: int, sentence: str) -> None:
    seen = refused(house.client.post("/embed", content=body))
    assert seen[0] == status
    assert seen[1].startswith(sentence)


def test_without_a_place_to_keep_them_nothing_is_encoded(settings: Settings) -> None:
    with open_house(settings) as house:
        status, sentence = refused(house.client.post("/embed", json={"folder": "set"}))
        assert status == 400
        assert "set EMBEDDING_CACHE_DIR" in sentence
        assert house.client.get("/embed").json() == {"jobs": []}
