"""Clicks that no editor would send, through Label Studio as any account may send them: the backend answers on.

LABELRIG_FUZZ_BODIES=10000 makes it the long run.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest
from docker.models.containers import Container

from infra.roles.stack.addresses import address_of
from labelstudio.session import reset_password, sign_in
from labelstudio.token_auth import TokenAuth
from tests.e2e.clicks import Round, click, scenes
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.e2e.test_containers import container_of
from tests.integration.backend.mutations import Mutator
from tests.integration.backend.test_budgets import watched

logger = logging.getLogger(__name__)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
BODIES = int(os.environ.get("LABELRIG_FUZZ_BODIES", "1200"))
AT_ONCE = 4
PATIENCE_SECONDS = 130  # Label Studio itself waits for 100
GROWTH_BYTES = 128 << 20


@pytest.fixture
def annotator(stage: Stage) -> Iterator[httpx.Client]:
    """An account that is no administrator, and its token."""
    url, email = stage.ctx.access.base_url, f"{uuid.uuid4().hex[:12]}@labelrig.local"
    made = stage.client.sdk.users.create(email=email, username=email.partition("@")[0], first_name="", last_name="")
    try:
        reset_password(stage.ctx.exec_in_label_studio, email, "of-an-annotator")
        with sign_in(url, email, "of-an-annotator") as session:
            token = session.make_token()
        with httpx.Client(
            base_url=url, auth=TokenAuth(url, token), timeout=PATIENCE_SECONDS, trust_env=False
        ) as client:
            yield client
    finally:
        stage.client.sdk.users.delete(made.id)


def process_of(container: Container) -> int:
    return int(container.attrs["State"]["Pid"])


def memory_of(container: Container) -> int:
    """Bytes that its processes hold; what the kernel keeps of files is not counted."""
    found = container.stats(stream=False)
    assert isinstance(found, dict)
    stats = found["memory_stats"]
    return int(stats["usage"]) - int(stats["stats"].get("inactive_file", stats["stats"].get("total_inactive_file", 0)))


def test_fuzzed_clicks_of_an_annotator(stack: Stack, round_: Round, annotator: httpx.Client) -> None:
    scene, container = scenes(round_)[0], container_of(stack, "sam2")
    mutator, seen, slowest = Mutator(seed=3), Counter[str](), 0.0
    began = datetime.now(UTC)

    def send(context: object) -> tuple[str, float]:
        started = time.monotonic()
        text = json.dumps({"task": scene.task.id, "context": context})
        answer = annotator.post(
            f"/api/ml/{round_.backend_id}/interactive-annotating",
            content=text.encode(),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code < 500, f"{answer.status_code} {answer.text[:300]} for {text[:500]}"
        body = answer.json()
        refused = answer.status_code == 200 and "errors" in body
        said = str(body["errors"])[:5] if refused else str(answer.status_code)
        return said.strip("['"), time.monotonic() - started

    with (
        watched(f"http://{address_of(stack.settings.subnet, 'sam2')}:9090", process_of(container)) as health,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        held = 0
        for start in range(0, BODIES, 100):
            for said, seconds in pool.map(send, [mutator.context() for _ in range(min(100, BODIES - start))]):
                seen[said] += 1
                slowest = max(slowest, seconds)
            if start == BODIES // 200 * 100:
                held = memory_of(container)
    grown = memory_of(container) - held
    logger.info(
        "%d fuzzed clicks through Label Studio: %s; slowest %.2f s; /health p99 %.3f s of %d; %.1f MB more since half",
        BODIES, dict(sorted(seen.items())), slowest, health.p99, len(health.seconds), grown / (1 << 20),
    )  # fmt: skip
    log = container.logs(since=began).decode("utf-8", "replace")
    assert "Traceback" not in log
    assert "failed unexpectedly" not in log
    assert seen["200"] > 0.1 * BODIES
    assert seen["400"] > 0.05 * BODIES
    assert health.p99 < 1
    assert grown < GROWTH_BYTES
    assert click(round_, scene, scene.objects[0]).iou > 0.5
