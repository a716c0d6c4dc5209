"""`/propagate` over Ray: a line a frame as of one host, cancelled, and its replica killed before and in the middle."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from masks.rle import encode_rle
from tests.integration.backend import test_process
from tests.integration.cluster.load import IMAGES, REPLICA, REPLICAS, SIZE_WH
from tests.integration.cluster.nodes import Cluster


def propagation(key: str, frames: int) -> dict[str, object]:
    """A square on the first frame, to be followed through frames that show the scenes in turn."""
    square = np.zeros(SIZE_WH[::-1], dtype=np.bool_)
    square[100:200, 100:200] = True
    shown = [
        {"number": number, "url": f"/data/local-files/?d=images/scene-{number % IMAGES + 1:02}.png"}
        for number in range(frames + 1)
    ]
    code = base64.b64encode(bytes(encode_rle(square))).decode()
    first = {**shown[0], "size_wh": SIZE_WH, "masks": {"one": code}}
    return {"key": key, "length": frames + 1, "anchors": [first], "frames": shown[1:], "lost_after": frames + 1}


@contextmanager
def begun(client: httpx.Client, key: str) -> Iterator[tuple[httpx.Response, Iterator[str]]]:
    """A long run, of which two lines have come."""
    with client.stream("POST", "/propagate", json=propagation(key, 50_000)) as answer:
        lines = filter(None, answer.iter_lines())
        assert [json.loads(next(lines)).get("frame") for _ in range(2)] == [None, 1]
        yield answer, lines


def process_of(answer: httpx.Response) -> int:
    return int(answer.headers[REPLICA].rpartition(" ")[2])


def test_lines_are_those_of_one_host(scenes: Path, cluster: Cluster, tmp_path: Path) -> None:
    body = propagation("same", 7)
    with test_process.running(
        tmp_path, SAM2_MODEL="demo", SAM2_ENGINE="torch", LOCAL_FILES_DOCUMENT_ROOT=str(scenes), OMP_NUM_THREADS="1"
    ) as backend:
        url = backend.until(r"Uvicorn running on (http://\S+)").group(1)
        backend.until("model ready on")
        with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
            plain = client.post("/propagate", json=body)
    with cluster.client() as client:
        found = client.post("/propagate", json=body)
        assert client.post("/propagate", json={**body, "length": 2}).status_code == 400
    assert (found.status_code, found.headers["content-type"]) == (200, plain.headers["content-type"])
    assert found.text == plain.text
    assert [json.loads(line).get("frame") for line in found.text.splitlines()] == [None, 1, 2, 3, 4, 5, 6, 7, None]


def test_run_is_cancelled(cluster: Cluster) -> None:
    with cluster.client() as client, begun(client, "to be cancelled") as (_, lines):
        assert client.delete("/propagate/to be cancelled").json() == {"cancelled": True}
        *_, last = lines
        assert json.loads(last)["status"] == 409
        assert client.delete("/propagate/to be cancelled").status_code == 404


def test_run_ends_with_its_client(cluster: Cluster) -> None:
    """More than may run at once of one key, and of one replica: the places of those that are gone are free."""
    with cluster.client() as client:
        for number in range(4 * REPLICAS + 1):
            with begun(client, f"gone {number}"):
                pass
        deadline = time.monotonic() + 120
        while any(one["requests"] for one in client.get("/hosts").json()["hosts"]):
            assert time.monotonic() < deadline, client.get("/hosts").text
            time.sleep(0.2)


def test_replica_killed_before_the_first_line(cluster: Cluster) -> None:
    """The run begins at another, and has all of its lines."""
    with cluster.client() as client:
        victim = client.post("/propagate", json=propagation("early", 1))
        os.kill(process_of(victim), signal.SIGSTOP)  # it takes the request, and does not answer
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.post, "/propagate", json=propagation("early", 3))
            time.sleep(1)
            assert not waiting.done()
            os.kill(process_of(victim), signal.SIGKILL)
            found = waiting.result()
    lines = [json.loads(line) for line in found.text.splitlines()]
    assert [one.get("frame") for one in lines] == [None, 1, 2, 3, None]
    assert lines[-1] == {"done": True}
    assert found.headers[REPLICA] != victim.headers[REPLICA]
    cluster.until_ready(REPLICAS)


def test_replica_killed_in_the_middle(cluster: Cluster) -> None:
    """The last line says so, as with any run that ends early: who asked goes on from the last frame that came."""
    with cluster.client() as client:
        with begun(client, "middle") as (answer, lines):
            os.kill(process_of(answer), signal.SIGKILL)
            *_, last = lines
        ended: dict[str, Any] = json.loads(last)
        assert ended == {"error": "the replica that worked on this ended or failed; try again", "status": 503}
        again = client.post("/propagate", json=propagation("middle", 2))
        assert again.text.endswith('{"done":true}\n')
    cluster.until_ready(REPLICAS)
