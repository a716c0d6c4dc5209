"""What the examples for Prometheus and Grafana ask for is there, under that name."""

from __future__ import annotations

import json
import re

import yaml

from core.repository import REPOSITORY

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
