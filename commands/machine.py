"""Tasks for this machine: up."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

from commands.base import expected_errors_in_words, local_settings, out, verified_bundle
from core.terminal import is_live


@task(
    help={
        "data": "folder with images, mounted read-only (remembered in .env; without any: drawn demo images)",
        "model": "auto, demo, tiny, small, base-plus or large (remembered in .env; auto: a real one if it can be had)",
        "bundle": "take everything that is missing from this file of `./inv bundle.create`, and use no network",
        "json": "print the result as JSON on stdout",
    }
)
@expected_errors_in_words
def up(
    _context: Context, data: str | None = None, model: str | None = None, bundle: str | None = None, json: bool = False
) -> None:
    """Start Label Studio with SAM2 on this machine and prove it with a click."""
    from core.report import Report
    from hosts.local import LocalHost
    from infra.stack.up import STAGES
    from infra.stack.up import up as bring_up

    folder = None if data is None else str(Path(data).expanduser().resolve())
    settings = local_settings(LABELRIG_DATA=folder, LABELRIG_MODEL=model)
    remember = {
        name: value for name, value in (("LABELRIG_DATA", folder), ("LABELRIG_MODEL", model)) if value is not None
    }
    report = Report()
    shows = is_live(sys.stdout, os.environ)
    from_file = verified_bundle(bundle)
    with report.steps(STAGES):
        summary = bring_up(settings, LocalHost(), report, remember, show_password=shows, bundle=from_file)
    out(report.as_json() if json else summary)
