"""The page finds the sequences that `./inv propagate` finds: both are held to the same cases (sequence.test.mjs)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.repository import REPOSITORY
from dataset.propagate.sequences import Frame, sequences
from labelstudio.projects_file import SequencePart

CASES: list[dict[str, Any]] = json.loads(
    Path(REPOSITORY / "tests" / "unit" / "companion" / "sequence_cases.json").read_text("utf-8")
)


@pytest.mark.parametrize("case", CASES, ids=[case["what"] for case in CASES])
def test_sequences_of_the_page(case: dict[str, Any]) -> None:
    frames = [Frame(task, url, more[0] if more else {}) for task, url, *more in case["frames"]]
    found = sequences(frames, SequencePart.model_validate(case["rule"]))
    assert [[one.task for one in each] for each in found] == case["sequences"]
