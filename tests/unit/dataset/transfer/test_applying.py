"""`./inv pairs.apply`: what the backend is told of a project's pairs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import pytest

from core.errors import LabelStudioError, SettingsError
from dataset.transfer.applying import Applied, apply_alignment
from hosts.base import Result, check_exit_code
from labelstudio.models import Project
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.transfer.drawn import KNOWN, RGB_WH, THERMAL_WH, alignment
from tests.unit.dataset.transfer.test_projects import PAIR, RGB
from tests.unit.labelstudio.annotated import url


class Backend:
    """Takes one alignment, or refuses it."""

    def __init__(self, refusal: str = "") -> None:
        self.refusal = refusal
        self.given: dict[str, Any] = {}

    def __call__(
        self,
        *argv: str,
        ok: Collection[int] = (0,),
        timeout: float = 60.0,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        tail: int | None = None,
    ) -> Result:
        assert argv == ("python", "-m", "backend.ask", "PUT", "/alignment")
        self.given = json.loads(stdin or b"{}")
        answer = {"detail": self.refusal} if self.refusal else {"own": 1, "refused": 1}
        return check_exit_code("sam2", Result(argv, 1 if self.refusal else 0, json.dumps(answer), ""), ok)


@pytest.fixture
def pairs(exports: ExportBench) -> Project:
    project = exports.server.project(PAIR, "Pairs")
    for name in ("a", "b", "c"):
        exports.server.task(project, rgb=url(f"set/RGB/{name}.png"), thermal=url(f"set/T/{name}.tiff"))
    return Project(project.id, project.title, "", project.label_config, True, 3, key="3.17")


def run(exports: ExportBench, project: Project, backend: Backend, **more: Any) -> Applied:
    path = alignment(exports.folder / "alignment.yaml", **more)
    return apply_alignment(exports.client, backend, project, path, (None, None), exports.report)


def test_each_task_has_its_transform_or_none(exports: ExportBench, pairs: Project) -> None:
    own = KNOWN.copy()
    own[0, 2] += 11
    backend = Backend()
    found = run(exports, pairs, backend, own={"RGB/b": own.tolist()}, refused=["c"])
    first, second, third = exports.server.tasks
    given = backend.given
    assert given["project"] == "3.17"
    assert given["first"] == {"to_name": "rgb", "width": RGB_WH[0], "height": RGB_WH[1]}
    assert given["second"] == {"to_name": "thermal", "width": THERMAL_WH[0], "height": THERMAL_WH[1]}
    assert np.allclose(given["matrix"], KNOWN)
    assert list(given["own"]) == [f"{second}/0"]
    assert np.allclose(given["own"][f"{second}/0"], own)
    assert given["refused"] == [f"{third}/0"]
    assert (first, found.images) == (min(exports.server.tasks), 3)
    assert found.text() == (
        "Pairs: the key T takes masks to the other image of 3 pairs, 1 of them by transforms of their own; of 1 pairs "
        "it takes none: set/RGB/c.png"
    )


def test_a_refusal_is_said(exports: ExportBench, pairs: Project) -> None:
    with pytest.raises(LabelStudioError, match="the SAM2 backend refuses the alignment: the cache's disk is full"):
        run(exports, pairs, Backend("the cache's disk is full"))


def test_a_project_of_single_images_has_no_pairs(exports: ExportBench) -> None:
    source = exports.server.project(RGB, "RGB")
    backend = Backend()
    with pytest.raises(SettingsError, match="'RGB' shows one image a task"):
        run(exports, source, backend)
    assert not backend.given


def test_pictures_tell_pairs_from_those_of_other_flights(exports: ExportBench, pairs: Project) -> None:
    """`a` and `c` are the registered pictures, `b` has its pair's name only."""
    own = KNOWN.copy()
    own[0, 2] += 11
    exports.server.images |= {f"set/RGB/{name}.png": name.encode() for name in ("a", "b", "c")}
    digests = {name: {"rgb": hashlib.sha256(held).hexdigest()} for name, held in (("a", b"a"), ("b", b""), ("c", b"c"))}
    apart = {"a": own.tolist(), "b": own.tolist()}
    backend = Backend()
    found = run(exports, pairs, backend, own=apart, refused=["c"], pictures=digests)
    first, _, third = exports.server.tasks
    assert list(backend.given["own"]) == [f"{first}/0"]
    assert backend.given["refused"] == [f"{third}/0"]
    assert (found.own, found.refused) == (1, ["set/RGB/c.png"])
    assert any("1 pictures are called as pairs that do not follow the rig" in one for one in exports.shown())
