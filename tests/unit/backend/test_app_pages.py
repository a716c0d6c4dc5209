"""What people and Prometheus see: `/status`, `/metrics`, `/openapi.json`, the timing header."""

from __future__ import annotations

import re
from typing import Any
from xml.sax.saxutils import quoteattr

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.backend.fakes import V1, VERSION, click, region

HOSTILE = '"><script>alert(1)</script>'


def point(id: str = "a", label: str = "Person") -> dict[str, object]:
    return region("keypointlabels", 25, 75, id=id, label=label)


def figures(client: TestClient) -> dict[tuple[str, ...], float]:
    """Every sample of `/metrics` by name and label values, as Prometheus reads them."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_status_shows_the_last_clicks_and_errors(client: TestClient) -> None:
    assert client.post("/predict", json=click(point()), headers={"X-Request-ID": "click-1"}).status_code == 200
    assert client.post("/predict", json=click(point(), image="set/none.png")).status_code == 422
    page = client.get("/status")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert (
        "script-src" in page.headers["content-security-policy"]
        or "default-src" in (page.headers["content-security-policy"])
    )
    for expected in ("click-1", "1 point +", "Person", "64", "fake-float32", VERSION, "set/none.png"):
        assert expected in page.text, expected


def test_status_escapes_what_a_task_says(client: TestClient) -> None:
    config = V1.replace('value="Person"', f"value={quoteattr(HOSTILE)}")
    body: Any = click(point(label=HOSTILE), config=config)
    body["tasks"][0]["id"] = HOSTILE
    assert client.post("/predict", json=body).status_code == 200
    body["params"]["context"]["result"][0]["value"]["labels"] = [f"{HOSTILE}?"]
    body["params"]["context"]["result"][0]["value"]["keypointlabels"] = [f"{HOSTILE}?"]
    assert client.post("/predict", json=body).status_code == 400
    page = client.get("/status").text
    assert "alert(1)" in page
    assert "<script" not in page
    assert re.search(r"no output tag .* takes the label .*alert\(1\)", page)


def test_metrics_count_clicks_errors_requests_and_stages(client: TestClient) -> None:
    before = figures(client)
    for _ in range(3):
        assert client.post("/predict", json=click(point())).status_code == 200
    assert client.post("/predict", json=click(point(), image="set/none.png")).status_code == 422
    assert client.get("/nothing/at/all").status_code == 404
    after = figures(client)

    assert ("labelrig_clicks_total", "point") not in before
    assert after["labelrig_clicks_total", "point"] == 3
    assert after["labelrig_errors_total", "NotMounted"] == 1
    assert after["labelrig_requests_total", "/predict", "200"] == 3
    assert after["labelrig_requests_total", "/predict", "422"] == 1
    assert after["labelrig_requests_total", "other", "404"] == 1
    assert after["labelrig_cache_hits_total", "memory"] == 2
    assert after["labelrig_cache_misses_total", "memory"] == 1
    assert after["labelrig_cache_entries", "memory"] == 1
    assert after["labelrig_queue_depth", "click"] == 0
    for stage in ("fetch", "read", "encode", "wait", "decode", "post", "total"):
        assert after["labelrig_stage_seconds_count", stage] == 3
    (model,) = [set(key[1:]) for key in after if key[0] == "labelrig_model_info"]
    assert model == {"demo", VERSION, "fake", "fake-float32"}


def test_unknown_paths_do_not_become_names(client: TestClient) -> None:
    for number in range(20):
        client.get(f"/made-up-{number}")
        client.get(f"/embed/made-up-{number}")
        client.request("PURGE", "/predict")
    names = {key[1] for key in figures(client) if key[0] == "labelrig_requests_total"}
    assert names <= {"other", "/embed/{job}", "/predict", "/metrics"}


def test_an_answer_tells_where_the_time_went(client: TestClient) -> None:
    header = client.post("/predict", json=click(point())).headers["Server-Timing"]
    stages = dict(part.split(";dur=") for part in header.split(", "))
    assert set(stages) == {"fetch", "read", "encode", "wait", "decode", "post", "total"}
    assert all(float(value) >= 0 for value in stages.values())
    assert float(stages["total"]) >= float(stages["post"])


def test_the_schema_names_bodies_answers_and_errors(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    predict = schema["paths"]["/predict"]["post"]
    reference = predict["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert reference == "#/components/schemas/PredictRequest"
    assert set(predict["responses"]) == {"200", "400", "401", "409", "413", "422", "500", "502", "503", "504"}
    seen = set(re.findall(r'"#/components/schemas/(\w+)"', client.get("/openapi.json").text))
    assert seen <= set(schema["components"]["schemas"])
    assert set(schema["paths"]) == {
        "/", "/health", "/ready", "/setup", "/predict", "/versions", "/webhook", "/status", "/metrics", "/embed",
        "/embed/{job}", "/boxes", "/everything", "/refine", "/propagate", "/propagate/{key}", "/alignment", "/picture",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/versions", "/status", "/metrics", "/embed"])
def test_pages_have_the_type_that_the_schema_names(client: TestClient, path: str) -> None:
    assert client.post("/predict", json=click(point())).status_code == 200  # the model is there
    responses = client.get("/openapi.json").json()["paths"][path]["get"]["responses"]
    answer = client.get(path)
    assert answer.status_code == 200
    assert list(responses["200"]["content"]) == [answer.headers["content-type"].partition(";")[0]]


def test_another_method_is_told_which_are_allowed(client: TestClient) -> None:
    answer = client.put("/predict")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", [f"/{'a' * 5000}", "/embed/none%0a2026-01-01%20ERROR%20forged"])
def test_names_of_the_clients_choice_neither_flood_nor_forge(
    client: TestClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert len(answer.json()["detail"]) <= 1000
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("backend")]
    assert not any("\n" in line for line in lines)
