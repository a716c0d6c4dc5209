"""docs/road.md on the running stack, by its own commands: drawn pairs, two projects, and a data set at the end."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import yaml
from PIL import Image

from core.repository import REPOSITORY
from demo.pairs import COUNT, pair_name
from labelstudio.bulk import add_tasks
from labelstudio.client import Client
from labelstudio.models import Project
from tests.e2e.clone import Clone
from tests.e2e.conftest import Stack
from tests.e2e.project_cases import Stage
from tests.e2e.test_export import made_project

CONFIG = (REPOSITORY / "labeling_configs" / "rgbt-sar" / "v3.xml").read_text(encoding="utf-8")
WRONG = pair_name(COUNT - 1)


def words_of(command: str) -> list[str]:
    """The words behind `./inv` of a command of the document, by its first one."""
    text = (REPOSITORY / "docs" / "road.md").read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = re.findall(rf"^\./inv ({re.escape(command)}.*)$", text, re.MULTILINE)
    return [word.strip("'") for word in line.split()]


def filled(client: Client, project: Project, folder: Path, root: str) -> None:
    """Its tasks show the pictures of a folder."""
    paths = sorted(one for one in folder.rglob("*.*") if one.is_file())
    add_tasks(client, project.id, [{"image": f"{root}/{quote(str(one.relative_to(folder)))}"} for one in paths])


@pytest.mark.slow
def test_commands_of_the_road(stack: Stack, stage: Stage, demo_folder: Path, tmp_path: Path) -> None:
    """Each as the document has it, but for the names of projects and where files lie."""
    client, clone = stage.client, Clone.make(tmp_path / "clone", stack.environment)
    pairs, served = tmp_path / "pairs", demo_folder / "images" / "road"
    alignment, found = tmp_path / "alignment.yaml", tmp_path / "train-me"
    places = {
        "pairs/": f"{pairs}/",
        "alignment.yaml": str(alignment),
        "registration.html": str(tmp_path / "registration.html"),
        "exports/train-me": str(found),
    }
    clone.result(*("pairs.demo", "--out", str(pairs)))
    shutil.copytree(pairs, served, ignore=shutil.ignore_patterns("truth"))
    for path in (served, *served.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    try:
        with made_project(client, CONFIG) as rgb, made_project(client, CONFIG) as thermal:
            root = f"/data/local-files/?d={stage.ctx.folder.name}/road"
            for side, project in (("rgb", rgb), ("thermal", thermal)):
                filled(client, project, served / side, f"{root}/{side}")
            titles = {"rgbt-sar": rgb.title, "thermal": thermal.title}

            def run(command: str, *more: str) -> dict[str, Any]:
                words = [titles.get(one, one) for one in words_of(command)]
                for before, after in places.items():
                    words = [one.replace(before, after, 1) if one.startswith(before) else one for one in words]
                return clone.result(*words, *more)

            run("import pairs/truth")
            assert run("agreement rgbt-sar pairs", "--html", "-")["mean_iou"] == pytest.approx(1)
            registered = run("pairs.register", "--out", str(alignment))
            assert [one["name"] for one in registered["pairs"] if not one["accepted"]] == [WRONG]
            moved = run("pairs.transfer", "--alignment", str(alignment))["transfer"]
            assert [one["image"] for one in moved["left_out"]] == [f"{stage.ctx.folder.name}/road/rgb/{WRONG}.png"]
            run("export", "--classes", str(tmp_path / "classes.lock"))
    finally:
        shutil.rmtree(served)
    about = yaml.safe_load((found / "dataset.yaml").read_text(encoding="utf-8"))
    assert sum(part["samples"] for part in about["splits"].values()) == COUNT - 1
    with Image.open(found / "images" / "rgbt" / f"{pair_name(0)}.png") as picture:
        assert (picture.mode, picture.size) == ("RGBA", (1280, 960))
    first, second = (
        np.asarray(Image.open(found / "labels" / one / f"{pair_name(0)}.png")) for one in ("rgb", "thermal")
    )
    both = (first != about["ignore"]) & (second != about["ignore"])
    assert (first == second)[both].mean() > 0.98
