"""`python -m tools.bench`: run it, print the tables, keep them as Markdown and JSON. Exit code 1: no result."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.bench.errors import BenchError
from tools.bench.plan import parse
from tools.bench.report import judge, markdown, replace_between_marks
from tools.bench.results import Run
from tools.bench.run import Bench

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENT = REPOSITORY / "docs" / "performance.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    plan = parse(arguments, REPOSITORY / ".labelrig" / "bench")
    plan.out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="labelrig-bench-"))
    try:
        run = Bench(plan, folder).run()
        tables = markdown(run)
        _write(plan.out, run, tables)
        if plan.docs:
            replace_between_marks(DOCUMENT, tables)
    except BenchError as error:
        _keep_logs(folder, plan.out)
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped by hand; nothing was kept\n")
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(tables)
    return 0 if any(one.clicks for one in run.engines) else 1


def _write(out: Path, run: Run, tables: str) -> None:
    goals = [vars(verdict) for verdict in judge(run)]
    text = json.dumps({**run.as_json(), "goals": goals}, indent=1) + "\n"
    (out / "bench.json").write_text(text, encoding="utf-8")
    (out / "bench.md").write_text(tables, encoding="utf-8")


def _keep_logs(folder: Path, out: Path) -> None:
    for log in folder.glob("*.log"):
        shutil.copy(log, out / log.name)


if __name__ == "__main__":
    sys.exit(main())
