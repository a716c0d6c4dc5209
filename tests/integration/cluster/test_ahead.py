"""An image is opened on a real cluster: the next ones are encoded before a click, where they will be clicked on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.integration.cluster.load import REPLICA, annotator, body_of, lone_clicks
from tests.integration.cluster.nodes import Cluster
from tests.integration.cluster.test_shared import lookups

pytestmark = pytest.mark.slow
NEIGHBOURS = 3  # the default of PREWARM_NEIGHBOURS
ENCODED_SECONDS = 60.0


def test_next_images_are_encoded_before_the_click(scenes: Path, cluster: Cluster) -> None:
    person, clicks = annotator(scenes), lone_clicks(scenes)
    first, *following = sorted(clicks)[: 1 + NEIGHBOURS]
    with cluster.client() as client:
        body = body_of(person, clicks[first][0], "opened")
        params = body["params"]
        assert isinstance(params, dict)
        params["context"] = None
        assert client.post("/predict", json=body).json() == {"results": [[]]}
        deadline = time.monotonic() + ENCODED_SECONDS
        while sum(one.encoded for one in lookups(cluster).values()) < 1 + NEIGHBOURS:
            assert time.monotonic() < deadline, lookups(cluster)
            time.sleep(0.1)
        replicas = set()
        for name in (first, *following):
            answer = client.post("/predict", json=body_of(person, clicks[name][0], "first"))
            assert answer.status_code == 200, answer.text
            replicas.add(answer.headers[REPLICA])
    assert len(replicas) > 1
    assert sum(one.encoded for one in lookups(cluster).values()) == 1 + NEIGHBOURS
