"""What the parts are made of, without a model and without a GPU."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.bench.machine import memory_of
from tools.bench.plan import Counts
from tools.bench.results import ClickRow, EngineResult, LoadRow, Run, Sample
from tools.gpu_check import clicks, engines, gather
from tools.gpu_check.part import part_named
from tools.gpu_check.plan import PARTS
from tools.gpu_check.run import REPOSITORY


def test_every_part_of_the_plan_can_be_run() -> None:
    assert len({part_named(part.name) for part in PARTS}) == len(PARTS)
    with pytest.raises(SystemExit, match="there is no part 'speed'"):
        part_named("speed")


def test_conftests_import_only_what_a_gpu_machine_has() -> None:
    """The tests marked gpu run there with the packages of the backend and pytest, below all of these conftests."""
    above = [REPOSITORY / folder / "conftest.py" for folder in Path(engines.TESTS).parents]
    found = [ast.parse(file.read_text("utf-8")) for file in above if file.exists()]
    names = {
        name.partition(".")[0]
        for tree in found
        for one in ast.walk(tree)
        for name in ([each.name for each in one.names] if isinstance(one, ast.Import) else [])
        + ([one.module or ""] if isinstance(one, ast.ImportFrom) else [])
    }
    assert len(found) >= 1
    assert {one for one in names - sys.stdlib_module_names if not (REPOSITORY / one).is_dir()} <= {"pytest"}


def measured() -> EngineResult:
    row = ClickRow(
        "large", "cuda", "clean", "2 MP", Sample([90]), Sample([8, 9, 10]), Sample([5]), cold=Sample([25]),
        stages={}, stock_stages={}, reply_bytes=1,
    )  # fmt: skip
    return EngineResult(
        "large", "cuda", clicks=[row], load=[LoadRow(16, Sample([30]), 400)], embed_per_second=79.0, gpu_memory_mb=2100
    )


def test_figures_and_goals_of_a_gpu() -> None:
    rows = {row.figure: row for row in clicks.rows(Run("a machine", {}, [measured()]), dry_run=False)}
    assert rows["GPU: warm click, median, 2 MP, large, cuda"].passed is True
    assert rows["GPU: embedding, large, cuda"].passed is False
    assert rows["large, 2 MP: warm click, p50 / p95"].measured == "9.0 / 9.9 ms (n=3)"
    assert rows["large, 2 MP: stock predictor's click, p50 / p95"].measured == "90.0 / 90.0 ms (n=1)"
    assert rows["large: 16 annotators, p50 / p95"].measured == "30.0 / 30.0 ms (n=1), 400 clicks/s"
    assert rows["large: memory of the GPU"].measured == "2100 MB"


def test_a_dry_run_is_held_to_no_goal_but_to_an_answer() -> None:
    run = Run("a machine", {}, [measured(), EngineResult("demo", "torch", failed="no model")])
    rows = clicks.rows(run, dry_run=True)
    assert [row.figure for row in rows if row.passed is not None] == ["demo"]
    assert rows[-1].measured == "failed: no model"


def test_annotators_of_the_issue() -> None:
    assert clicks.ON_GPU.annotators == clicks.DRY.annotators == (1, 4, 16)
    assert Counts().annotators == (1, 2, 4, 8)


def test_memory_of_one_process_among_others() -> None:
    listed = "4711, 1000\n12, 24\n4711, 1\nno running processes found\n13, [N/A]\n"
    assert memory_of(4711, listed) == pytest.approx(1001 * 1.048576)
    assert memory_of(13, listed) is None
    assert memory_of(99, listed) is None


def test_carried_are_the_backends_own_packages() -> None:
    wheels, sources = gather.wanted("3.12", "x86_64")
    names = [re.split("[=<>]", line)[0] for line in (*wheels, *sources)]
    assert {"fastapi", "pydantic-core", "safetensors", "sam2", "label-studio-sdk"} <= set(names)
    assert not gather.LEFT_TO_THE_MACHINE & set(names)
    assert not {"torch", "torchvision"} & set(names)
    assert [line.partition("==")[0] for line in sources] == ["antlr4-python3-runtime", "iopath", "sam2"]
    assert all("--hash=sha256:" in line for line in (*wheels, *sources))


def test_the_parent_needs_the_standard_library_alone() -> None:
    """What the parts need may lie in a folder of wheels that is unpacked first."""
    program = "import sys, tools.gpu_check.__main__; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    command = (sys.executable, "-S", "-c", program)
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=100)
    assert not {"numpy", "torch", "pydantic", "core", "backend"} & set(done.stdout.split())
