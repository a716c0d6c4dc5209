"""The HTTP protocol, with a fake model behind it."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from label_studio_sdk.converter.brush import decode_rle
from numpy.typing import NDArray
from PIL import Image

from backend.settings import Settings
from backend.web.app import create_app
from tests.unit.backend.fakes import MODEL, V1, V2, VERSION, FakeSegmenter, click, region

GOLDEN = Path(__file__).parent / "golden"


def decoded(result: dict[str, Any]) -> NDArray[np.bool_]:
    """The alpha channel of a result's mask as bool, in its own size."""
    flat = decode_rle(result["value"]["rle"])
    alpha = flat.reshape(result["original_height"], result["original_width"], 4)[..., 3]
    assert set(np.unique(alpha)) <= {0, 255}
    return np.asarray(alpha > 0)


@pytest.mark.parametrize("name", ["v1_point", "v1_box", "v2_point", "v2_box", "opened", "cleared"])
def test_golden_exchange(client: TestClient, name: str) -> None:
    """Recorded requests of Label Studio's shape, and the whole of the reply to each."""
    text = (GOLDEN / f"{name}.json").read_text(encoding="utf-8")
    exchange = json.loads(text.replace("demo@01234567+VERSION", VERSION))
    config = {"v1": V1, "v2": V2}[exchange.pop("label_config")]

    answer = client.post("/predict", json={**exchange["request"], "label_config": config})

    assert answer.status_code == 200
    body = answer.json()
    ids = {result.pop("id") for item in body["results"] if item for result in item["result"]}
    assert len(ids) <= 1
    assert all(len(one) == 32 and set(one) <= set("0123456789abcdef") for one in ids)
    assert body == exchange["reply"]


def test_mask_is_where_the_click_was(client: TestClient) -> None:
    body = client.post("/predict", json=click(region("keypointlabels", 25, 75))).json()
    mask = decoded(body["results"][0]["result"][0])
    assert mask.shape == (48, 64)
    assert mask[36, 16]
    assert not mask[10, 50]


def test_mask_has_the_size_that_the_browser_shows(client: TestClient) -> None:
    body = client.post("/predict", json=click(region("keypointlabels", 25, 75, size_wh=(640, 480)))).json()
    result = body["results"][0]["result"][0]
    assert (result["original_width"], result["original_height"]) == (640, 480)
    mask = decoded(result)
    assert mask.shape == (480, 640)
    assert mask[360, 160]


def test_other_shape_than_on_disk_is_refused(client: TestClient) -> None:
    answer = client.post("/predict", json=click(region("keypointlabels", 25, 75, size_wh=(48, 64))))
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "the image on disk is 64x48 pixels but the browser shows 48x64: was the file exchanged? Reload the task"
    )


def test_every_region_gets_its_own_id(client: TestClient) -> None:
    request = click(region("keypointlabels", 25, 75))
    ids = [client.post("/predict", json=request).json()["results"][0]["result"][0]["id"] for _ in range(50)]
    assert len(set(ids)) == 50


def test_item_index_comes_back(client: TestClient) -> None:
    request = click({**region("keypointlabels", 25, 75), "item_index": 2})
    assert client.post("/predict", json=request).json()["results"][0]["result"][0]["item_index"] == 2


def test_only_negative_points_give_an_empty_result(client: TestClient, segmenter: FakeSegmenter) -> None:
    answer = client.post("/predict", json=click(region("keypointlabels", 25, 75, positive=False)))
    assert answer.json()["results"] == [{"model_version": VERSION, "score": 0.0, "result": []}]
    assert segmenter.decoded == []


def test_a_mask_of_nothing_gives_an_empty_result(client: TestClient) -> None:
    request = click(
        region("keypointlabels", 50, 50, id="a", positive=True),
        region("keypointlabels", 50, 50, id="b", positive=False),
    )
    assert client.post("/predict", json=request).json()["results"][0]["result"] == []


def test_prompts_reach_the_model_in_pixels(client: TestClient, segmenter: FakeSegmenter) -> None:
    request = click(
        region("keypointlabels", 25, 75, id="a", positive=True),
        region("keypointlabels", 75, 50, id="b", positive=False),
    )
    assert client.post("/predict", json=request).status_code == 200
    (prompts,) = segmenter.decoded
    np.testing.assert_allclose(prompts.points_xy, [[16, 36], [48, 24]])
    assert prompts.is_positive.tolist() == [True, False]
    assert segmenter.encoded[0].shape == (48, 64, 3)


@pytest.mark.parametrize("extra", [None, {"keep": "largest"}, '{"keep": "largest"}', ""])
@pytest.mark.parametrize("config", [V1, V2])
def test_setup_names_the_model(client: TestClient, config: str, extra: object) -> None:
    body = {
        "project": "3.1767225600",
        "schema": config,
        "hostname": "http://localhost:8080",
        "access_token": "secret-token",
        "extra_params": extra,
    }
    for _ in range(2):
        answer = client.post("/setup", json=body)
        assert answer.status_code == 200
        assert answer.json() == {"model_version": VERSION}


def test_setup_says_what_the_configuration_lacks(client: TestClient) -> None:
    answer = client.post("/setup", json={"project": "3.1", "schema": "<View/>"})
    assert answer.status_code == 400
    assert answer.json()["detail"] == (
        'the labeling configuration has no <Image> tag: add <Image name="image" value="$image"/>'
    )


def test_versions(client: TestClient) -> None:
    assert client.get("/versions").json() == {"versions": [VERSION]}


def test_webhook_is_taken_and_forgotten(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "backend")
    answer = client.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": {"token": "secret"}})
    assert answer.status_code == 201
    assert answer.json() == {"status": "ok"}
    assert "secret" not in caplog.text


def test_log_has_one_line_a_click_and_no_bodies(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "backend")
    request = click(region("keypointlabels", 25, 75))
    request["params"] = {**request["params"], "password": "hunter22"}  # type: ignore[dict-item]
    client.post("/predict", json=request)
    lines = [record.getMessage() for record in caplog.records if record.name == "backend.serving.clicks"]
    assert len(lines) == 1
    assert lines[0].startswith("click task=17 image=64x48 1 point + area=")
    for stage in ("fetch=", "read=", "encode=", "decode=", "post=", "total="):
        assert stage in lines[0]
    assert "hunter22" not in caplog.text
    assert "local-files" not in caplog.text


BAD_REQUESTS: list[tuple[str, str, str | bytes | dict[str, object], int, str]] = [
    ("POST", "/predict", b"{", 400, "the request does not follow Label Studio's format: body: Invalid JSON"),
    ("POST", "/predict", {"params": {}}, 400, "the request does not follow Label Studio's format: tasks: Field"),
    ("POST", "/setup", b"[]", 400, "the request does not follow Label Studio's format: body: Input should be"),
    ("POST", "/setup", {"schema": "<View>"}, 400, "the labeling configuration, line 1: not well-formed XML: "),
    (
        "POST", "/predict", {**click(region("keypointlabels", 1, 1)), "tasks": []}, 400,
        "a click belongs to one task, but the request holds 0",
    ),
    ("POST", "/setup", {"schema": V1, "extra_params": {"kep": 1}}, 400, "extra_params holds 'kep', which no option is"),
    (
        "POST", "/predict", click(region("choices", 1, 1)), 400,
        "no key point, rectangle, ellipse, polygon or brush stroke among the prompts (seen: choices)",
    ),
    (
        "POST", "/predict", click(region("brushlabels", 1, 1)), 400,
        "the mask of a brush stroke cannot be read: rle: expected at least 7 bytes, got 0",
    ),
    (
        "POST", "/predict", click(region("keypointlabels", 1, 1, label="Cat")), 400,
        "no output tag of the labeling configuration takes the label 'Cat' on image 'image': "
        "add it to <BrushLabels> 'brush'",
    ),
    (
        "POST", "/predict", click(region("keypointlabels", 1, 1), image="set/none.png"), 422,
        "the image 'set/none.png' is not in ",
    ),
    (
        "POST", "/predict", click(region("keypointlabels", 1, 1, size_wh=(4000, 3000))), 400,
        "the browser shows 4000x3000 pixels, more than IMAGE_PIXEL_LIMIT=1000000",
    ),
    ("GET", "/nothing", b"", 404, "Not Found: GET /nothing"),
    ("GET", "/predict", b"", 405, "Method Not Allowed: GET /predict"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "detail"), BAD_REQUESTS)
def test_errors_have_one_shape(
    client: TestClient, method: str, path: str, body: bytes | dict[str, object], status: int, detail: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.request(method, path, content=content, headers={"X-Request-ID": "abc-1"})
    assert answer.status_code == status
    assert answer.json().keys() == {"detail", "request_id"}
    assert answer.json()["detail"].startswith(detail)
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"] == "abc-1"


def test_repeated_tags_are_those_of_the_task(client: TestClient, root: Path) -> None:
    """`<Repeater>`: each entry of the task's list has an image and tools of its own."""
    config = (
        '<View><Repeater on="$pages"><Image name="page_{{idx}}" value="$pages[{{idx}}].url"/>'
        '<KeyPointLabels name="kp_{{idx}}" toName="page_{{idx}}" smart="true"><Label value="Person"/></KeyPointLabels>'
        '<BrushLabels name="brush_{{idx}}" toName="page_{{idx}}"><Label value="Person"/></BrushLabels>'
        "</Repeater></View>"
    )
    Image.new("RGB", (32, 24)).save(root / "set" / "b.png")
    assert client.post("/setup", json={"schema": config, "project": "1.1"}).status_code == 200
    for at, size_wh, status in ((0, (64, 48), 200), (1, (32, 24), 200), (2, (32, 24), 400)):
        point = region("keypointlabels", 25, 75, size_wh=size_wh) | {"from_name": f"kp_{at}", "to_name": f"page_{at}"}
        body: Any = click(point, config=config)
        body["tasks"][0]["data"] = {"pages": [{"url": f"/data/local-files/?d=set/{one}.png"} for one in "ab"]}
        answer = client.post("/predict", json=body)
        assert answer.status_code == status, answer.text
        if status == 200:
            (result,) = answer.json()["results"][0]["result"]
            assert (result["from_name"], result["to_name"]) == (f"brush_{at}", f"page_{at}")
            assert decoded(result).shape == size_wh[::-1]
        else:
            assert answer.json()["detail"] == "the labeling configuration has no <Image> named 'page_2'"


def data_url(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def test_image_that_the_task_itself_holds_is_read(client: TestClient, root: Path, segmenter: FakeSegmenter) -> None:
    """A data URL, as Label Studio shows it. The same content by another URL is the same image."""
    body: Any = click(region("keypointlabels", 25, 75))
    body["tasks"][0]["data"]["image"] = data_url(root / "set" / "a.png")
    for _ in range(2):
        answer = client.post("/predict", json=body)
        assert answer.status_code == 200, answer.text
        assert decoded(answer.json()["results"][0]["result"][0])[36, 16]
    assert client.post("/predict", json=click(region("keypointlabels", 25, 75))).status_code == 200
    assert len(segmenter.encoded) == 1


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("data:image/png;base64,A", "cannot be read: the content of the data URL is not base64"),
        (f"data:image/png;base64,{'AAAA' * 9999}", "cannot be read: it is not a PNG, "),
    ],
)
def test_damaged_data_url_is_refused_and_not_repeated(client: TestClient, url: str, detail: str) -> None:
    body: Any = click(region("keypointlabels", 25, 75))
    body["tasks"][0]["data"]["image"] = url
    answer = client.post("/predict", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"the image 'data:image/png,...' {detail}")
    assert len(answer.text) < 300


def test_endless_strip_is_refused_before_it_costs_anything(client: TestClient, root: Path) -> None:
    """A file of two kilobytes, which held the model for minutes."""
    Image.new("L", (1, 1_000_000)).save(root / "set" / "long.png")
    answer = client.post(
        "/predict", json=click(region("keypointlabels", 50, 50, size_wh=(1, 1_000_000)), image="set/long.png")
    )
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "the image 'set/long.png' has 1x1000000 pixels, and no browser draws on a side of more than 65535; cut it into "
        "pieces"
    )


def test_malformed_body_is_not_repeated(client: TestClient) -> None:
    answer = client.post("/predict", json={"tasks": "secret-value", "params": {"context": {"result": "x"}}})
    assert answer.status_code == 400
    assert "secret-value" not in answer.text


def test_defect_has_no_traceback(settings: Settings) -> None:
    class Broken(FakeSegmenter):
        def encode(self, image: object) -> Any:
            raise ZeroDivisionError("secret inside")

    app = create_app(Broken, settings, MODEL)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.post("/predict", json=click(region("keypointlabels", 1, 1)))
    assert answer.status_code == 500
    assert answer.json()["detail"] == "unexpected ZeroDivisionError; see the log for this request id"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


def test_request_ids_are_made_or_taken_over(client: TestClient) -> None:
    made = [client.get("/health").headers["X-Request-ID"] for _ in range(2)]
    assert all(len(one) == 32 for one in made)
    assert made[0] != made[1]
    assert client.get("/health", headers={"X-Request-ID": "a\tb"}).headers["X-Request-ID"] != "a\tb"


def test_a_closer_look_that_is_not_needed_asks_the_model_once(settings: Settings, segmenter: FakeSegmenter) -> None:
    closer = settings.model_copy(update={"crop_small_objects": True})
    with TestClient(create_app(lambda: segmenter, closer, MODEL)) as client:
        body = client.post("/predict", json=click(region("keypointlabels", 25, 75))).json()
    assert decoded(body["results"][0]["result"][0])[36, 16]
    assert len(segmenter.decoded) == 1


def test_crop_of_small_object_is_placed_back(settings: Settings, segmenter: FakeSegmenter, root: Path) -> None:
    """A closer look at a small object is put back where it was."""
    Image.fromarray(np.zeros((900, 1200, 3), dtype=np.uint8)).save(root / "set" / "large.png")
    closer = settings.model_copy(update={"crop_small_objects": True, "image_pixel_limit": 2_000_000})
    box = region("rectanglelabels", 50, 50, width=2, height=2, size_wh=(1200, 900))
    with TestClient(create_app(lambda: segmenter, closer, MODEL)) as client:
        body = client.post("/predict", json=click(box, image="set/large.png")).json()
    (piece,) = segmenter.encoded
    assert max(piece.shape[:2]) < 300
    rows, columns = np.nonzero(decoded(body["results"][0]["result"][0]))
    # A box of 24 x 18 pixels at (600, 450), within a cell of the piece.
    edges = np.asarray([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert np.abs(edges - [600, 450, 624, 468]).max() <= piece.shape[1] / 64
