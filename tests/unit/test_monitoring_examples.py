"""What the examples for Prometheus and Grafana ask for is there, and Prometheus' own tool takes them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.repository import REPOSITORY
from tests.programs import need_program

EXAMPLES = REPOSITORY / "examples" / "monitoring"
SOURCES = (
    REPOSITORY / "backend" / "serving" / "metrics.py",
    REPOSITORY / "infra" / "roles" / "images" / "dockerfiles" / "label-studio" / "server" / "labelrig_metrics.py",
)
COUNTED = ("projects", "tasks", "annotations", "drafts", "predictions", "people", "people_active")


def names_there() -> set[str]:
    text = "".join(path.read_text() for path in SOURCES)
    return set(re.findall(r'"(labelrig_[a-z_]+)"', text)) | {f"labelrig_{name}" for name in COUNTED}


def names_in(text: str) -> set[str]:
    """Figures without what Prometheus adds to the name of a counter or of a histogram."""
    return {re.sub(r"_(total|bucket)$", "", name) for name in re.findall(r"\blabelrig_[a-z_]+", text)}


def test_the_dashboard_asks_for_figures_that_are_there() -> None:
    board = json.loads((EXAMPLES / "grafana.json").read_text())
    asked = {name for panel in board["panels"] for target in panel["targets"] for name in names_in(target["expr"])}
    assert len(asked) > 8
    assert asked - names_there() == set()


def test_the_rules_ask_for_figures_that_are_there() -> None:
    (group,) = yaml.safe_load((EXAMPLES / "labelrig-rules.yml").read_text())["groups"]
    asked = {name for rule in group["rules"] for name in names_in(rule["expr"])}
    assert asked
    assert asked - names_there() == set()


def test_each_figure_is_explained() -> None:
    """But for those of the backend that only whoever changes it needs."""
    page = names_in((REPOSITORY / "docs" / "metrics.md").read_text())
    assert page - names_there() <= {"labelrig_model_info"}
    assert {f"labelrig_{name}" for name in COUNTED} <= page


def promtool(*arguments: str) -> str:
    """What Prometheus' own tool says; it must be content."""
    done = subprocess.run(
        [need_program("promtool"), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_job_and_rules(tmp_path: Path) -> None:
    """The job as it is, but for the file with the token, which must be there; the rules beside it are read with it."""
    job, token = (EXAMPLES / "prometheus.yml").read_text(), tmp_path / "token"
    token.write_text("x")
    assert "/etc/prometheus/labelrig-token" in job
    (tmp_path / "prometheus.yml").write_text(job.replace("/etc/prometheus/labelrig-token", str(token)))
    (tmp_path / "labelrig-rules.yml").write_bytes((EXAMPLES / "labelrig-rules.yml").read_bytes())
    assert "SUCCESS: 6 rules found" in promtool("check", "config", str(tmp_path / "prometheus.yml"))


def test_prometheus_takes_the_dashboards_queries(tmp_path: Path) -> None:
    board = json.loads((EXAMPLES / "grafana.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(queries)} rules found" in promtool("check", "rules", str(tmp_path / "queries.yml"))


WHO = {"instance": "label.lab", "job": "labelrig"}
DAY, EVALUATIONS = 24 * 60, 800
# Alert -> the labels that it has; minutes until it must have come; its figures where it comes, and where it does not.
ALERTS: dict[str, tuple[dict[str, str], int, dict[str, str], dict[str, str]]] = {
    "LabelStudioDown": (WHO, 6, {"up": "0"}, {"up": "1"}),
    "BackendDown": (
        WHO | {"service": "sam2"},
        6,
        {'labelrig_service_up{service="sam2"}': "0"},
        {'labelrig_service_up{service="sam2"}': "1", 'labelrig_service_up{service="other"}': "0"},
    ),
    "DiskNearlyFull": (
        WHO,
        16,
        {"labelrig_disk_free_bytes": "9", "labelrig_disk_size_bytes": "100"},
        {"labelrig_disk_free_bytes": "11", "labelrig_disk_size_bytes": "100"},
    ),
    "BackupOld": (
        WHO | {"run": "backup"},
        2 * DAY + 20,
        {'labelrig_run_good_timestamp_seconds{run="backup"}': "0"},
        {'labelrig_run_good_timestamp_seconds{run="backup"}': "3600", 'labelrig_run_ok{run="backup"}': "0"},
    ),
    "DrillOld": (
        WHO | {"run": "drill"},
        35 * DAY + 180,
        {'labelrig_run_good_timestamp_seconds{run="drill"}': "0"},
        {'labelrig_run_good_timestamp_seconds{run="drill"}': "14400"},
    ),
    "ClicksSlow": (
        {"instance": "label.lab"},
        40,
        {
            f'labelrig_stage_seconds_bucket{{stage="total",le="{le}"}}': rise
            for le, rise in (("1.0", "0"), ("5.0", "+9"))
        }
        | {'labelrig_stage_seconds_bucket{stage="total",le="+Inf"}': "+9"},
        {f'labelrig_stage_seconds_bucket{{stage="total",le="{le}"}}': "+9" for le in ("1.0", "5.0", "+Inf")},
    ),
}


def step_of(minutes: int) -> int:
    """Minutes between two figures: fewer in a long time, and never so few that one counts as gone (5 minutes)."""
    return 1 if minutes < DAY else 4


def series(figures: dict[str, str], minutes: int) -> list[dict[str, str]]:
    """Figures as promtool has them, which stay, or rise each step by what follows `+`."""
    found = []
    count = minutes // step_of(minutes)
    for name, value in figures.items():
        metric, _, labels = name.rstrip("}").partition("{")
        more = ",".join([f'{label}="{value_of}"' for label, value_of in WHO.items()] + ([labels] if labels else []))
        values = f"0{value}x{count}" if value.startswith("+") else f"{value}+0x{count}"
        found.append({"series": f"{metric}{{{more}}}", "values": values})
    return found


@pytest.mark.parametrize("comes", [True, False], ids=["comes", "stays away"])
@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_an_alert_comes_when_it_should(tmp_path: Path, alert: str, comes: bool) -> None:
    labels, minutes, bad, good = ALERTS[alert]
    expected: list[dict[str, Any]] = [{"exp_labels": labels}] if comes else []
    test = {
        "interval": f"{step_of(minutes)}m",
        "input_series": series(bad if comes else good, minutes),
        "alert_rule_test": [{"eval_time": f"{minutes}m", "alertname": alert, "exp_alerts": expected}],
    }
    whole = {
        "rule_files": [str(EXAMPLES / "labelrig-rules.yml")],
        "evaluation_interval": f"{max(1, minutes // EVALUATIONS)}m",
        "tests": [test],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(whole))
    promtool("test", "rules", str(tmp_path / "test.yml"))


def test_each_alert_is_tried() -> None:
    (group,) = yaml.safe_load((EXAMPLES / "labelrig-rules.yml").read_text())["groups"]
    assert {rule["alert"] for rule in group["rules"]} == set(ALERTS)
