"""What the bench sends and how it reads the answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from backend.labelstudio import labeling_config
from backend.labelstudio.protocol import PredictRequest
from tools.bench.clicks import CONFIG, LABEL, click, opened, predict, stages_of
from tools.bench.pictures import Picture
from tools.bench.results import EngineFailed

URL = "/data/local-files/?d=bench/00017.jpg"
PICTURE = Picture(17, Path("00017.jpg"), URL, (1920, 1080), ((25.0, 75.0), (1.0, 1.0)))


def test_a_click_is_what_the_backend_reads() -> None:
    request = PredictRequest.model_validate_json(click(PICTURE, 0))
    assert request.context is not None
    regions = request.context.result
    assert regions is not None
    assert [region.type for region in regions] == ["keypoint", "labels"]
    assert len({region.id for region in regions}) == 1
    assert (regions[0].value.x, regions[0].value.y, regions[0].value.label) == (25.0, 75.0, LABEL)
    assert (regions[0].original_width, regions[0].original_height) == PICTURE.size_wh
    assert request.tasks[0].data == {"image": URL}
    output = labeling_config.output_for(labeling_config.parse(request.label_config), "image", LABEL, "keypoint")
    assert output is not None


def test_two_clicks_share_no_region() -> None:
    """Else the backend would take the second for a correction of the first."""
    ids = {json.loads(click(PICTURE, 1))["params"]["context"]["result"][0]["id"] for _ in range(20)}
    assert len(ids) == 20


def test_an_opened_task_has_no_context() -> None:
    request = PredictRequest.model_validate_json(opened(PICTURE))
    assert request.context is None
    assert request.label_config == CONFIG


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", {}),
        ("decode;dur=16.2, rle;dur=3", {"decode": 16.2, "rle": 3.0}),
        ('read;desc="the file";dur=2.5,total;dur=21', {"read": 2.5, "total": 21.0}),
        ("cache, decode;dur=1", {"decode": 1.0}),
    ],
)
def test_stages_of_a_header(header: str, expected: dict[str, float]) -> None:
    assert stages_of(header) == expected


class Handler(BaseHTTPRequestHandler):
    """Answers like the backend; `status` and `connections` are the server's."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.status  # type: ignore[attr-defined]
        body = json.dumps({"results": []} if status == 200 else {"detail": "out of order"}).encode()
        self.send_response(status)
        self.send_header("Server-Timing", "decode;dur=4.5")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.status = 200  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_predict_times_and_reads(server: HTTPServer) -> None:
    reply = predict(server.server_port, click(PICTURE, 1))
    assert reply.taken > 0
    assert reply.stages == {"decode": 4.5}
    assert json.loads(reply.body) == {"results": []}


def test_an_error_answer_is_an_error(server: HTTPServer) -> None:
    server.status = 503  # type: ignore[attr-defined]
    with pytest.raises(EngineFailed, match=r"^the backend answered /predict with 503: .*out of order"):
        predict(server.server_port, click(PICTURE, 1))


def test_closed_port() -> None:
    with HTTPServer(("127.0.0.1", 0), Handler) as closed:
        port = closed.server_port
    with pytest.raises(EngineFailed, match="did not answer /predict: ConnectionRefusedError"):
        predict(port, b"{}")
