"""A Prometheus of its own reads the running stack with the example's job, rules and dashboard."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.repository import REPOSITORY
from core.waiting import wait_for
from tests.e2e.conftest import Stack
from tests.machine import free_port
from tests.programs import need_program

EXAMPLES = REPOSITORY / "examples" / "monitoring"
SECONDS = 120.0


@contextmanager
def prometheus(folder: Path, stack: Stack) -> Iterator[httpx.Client]:
    """One with the example's job for a stack, which it reads each second; its API."""
    token = stack.settings.metrics_token
    assert token is not None
    (folder / "token").write_text(token.get_secret_value())
    job = (EXAMPLES / "prometheus.yml").read_text()
    for there, here in (
        ("scheme: https", "scheme: http"),
        ("scrape_interval: 30s", "scrape_interval: 1s"),
        ("/etc/prometheus/labelrig-token", str(folder / "token")),
        ("label.lab.example", stack.settings.url.removeprefix("http://")),
    ):
        assert there in job
        job = job.replace(there, here)
    (folder / "prometheus.yml").write_text(f"global: {{evaluation_interval: 1s}}\n{job}")
    (folder / "labelrig-rules.yml").write_bytes((EXAMPLES / "labelrig-rules.yml").read_bytes())
    address = f"127.0.0.1:{free_port()}"
    argv = (
        need_program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'kept'}",
        f"--web.listen-address={address}",
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://{address}/api/v1", timeout=30, trust_env=False) as http:
            yield http
    finally:
        process.terminate()
        process.wait(60)


def answer(http: httpx.Client, path: str, **words: str) -> Any:
    said = http.get(path, params=words).raise_for_status().json()
    assert said["status"] == "success", said
    return said["data"]


@pytest.mark.slow
@pytest.mark.usefixtures("round_")  # the backend is connected, and has figures
def test_prometheus_reads_the_stack(stack: Stack, tmp_path: Path) -> None:
    """Every query of the dashboard is answered, gauges with a figure; no rule fails, and no alert comes."""
    board = json.loads((EXAMPLES / "grafana.json").read_text())
    queries = [target["expr"].replace("$instance", ".*") for panel in board["panels"] for target in panel["targets"]]
    with prometheus(tmp_path, stack) as http:

        def is_read() -> bool | None:
            try:
                found = answer(http, "/query", query='up{job="labelrig"}')["result"]
            except httpx.HTTPError:  # it starts: no port yet, then 503
                return None
            return True if [one["value"][1] for one in found] == ["1"] else None

        wait_for("Prometheus to read the stack", is_read, timeout=SECONDS)
        rows = {query: answer(http, "/query", query=query)["result"] for query in queries}
        assert [query for query, found in rows.items() if not found and "rate(" not in query] == []

        def rules_are_evaluated() -> list[dict[str, Any]] | None:
            found = [rule for group in answer(http, "/rules")["groups"] for rule in group["rules"]]
            return found if found and all(rule["health"] != "unknown" for rule in found) else None

        rules = wait_for("the rules to be evaluated", rules_are_evaluated, timeout=SECONDS)
    assert {rule["health"] for rule in rules} == {"ok"}
    assert [rule["name"] for rule in rules if rule["state"] != "inactive"] == []
