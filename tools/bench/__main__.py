"""`python -m tools.bench`: run it, print the tables, keep them as Markdown and JSON. Exit code 1: no result."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from core.text import between_markers
from tools.bench.plan import parse
from tools.bench.report import BEGIN, END, judge, markdown
from tools.bench.results import BenchError, as_json
from tools.bench.run import Runner

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENT = REPOSITORY / "docs" / "performance.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    plan = parse(arguments, REPOSITORY / ".labelrig" / "bench")
    plan.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="labelrig-bench-") as name:
        folder = Path(name)
        try:
            run = Runner(plan, folder).run()
        except BenchError as error:
            for log in folder.glob("*.log"):
                shutil.copy(log, plan.out / log.name)
            sys.stderr.write(f"error: {error}\n")
            return 1
        except KeyboardInterrupt:
            sys.stderr.write("interrupted; no figures were kept\n")
            return 130
    tables = markdown(run)
    text = json.dumps({**vars(run), "goals": judge(run)}, indent=1, default=as_json) + "\n"
    (plan.out / "bench.json").write_text(text, encoding="utf-8")
    (plan.out / "bench.md").write_text(tables, encoding="utf-8")
    if plan.docs:
        content = between_markers(DOCUMENT.read_text(encoding="utf-8"), BEGIN, END, f"\n{tables}")
        DOCUMENT.write_text(content, encoding="utf-8")
    sys.stdout.write(tables)
    return 0 if any(one.clicks for one in run.engines) else 1


if __name__ == "__main__":
    sys.exit(main())
