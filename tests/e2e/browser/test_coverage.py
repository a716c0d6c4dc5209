"""A project that asks for complete maps: the line says how many pixels have no label, as the saved masks leave them."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from masks.rle import decode_rle
from tests.e2e.browser.conftest import CONFIG
from tests.e2e.browser.desk import Desk
from tests.e2e.browser.strokes import way_over
from tests.e2e.browser.test_companion import accepted
from tests.e2e.clicks import Round, Scene
from tests.e2e.project_cases import Stage
from tests.e2e.workbench import project

NONE_YET = "100.0 % of the pixels have no label"


def unlabelled(desk: Desk, *others: str) -> float:
    """The percentage in the line, once it is none of the others."""
    desk.page.wait_for_function(
        "(others) => { const line = document.querySelector('labelrig-chip')?.textContent ?? '';"
        " return line.includes('of the pixels have no label') && !others.some((one) => line.includes(one)); }",
        arg=list(others),
    )
    found = re.search(r"([\d.]+) % of the pixels", desk.said())
    assert found is not None
    return float(found[1])


def test_line_says_what_has_no_label(desk: Desk, stage: Stage, scenes: list[Scene], round_: Round) -> None:
    """After a point and after a stroke by hand, which is not saved yet; then as the task is opened again."""
    key = stage.ctx.access.api_key
    assert key is not None
    login, url = stage.ctx.backend_login, stage.ctx.backend_url
    with project(stage.client, key, url, login, CONFIG, {"complete_maps": True}) as bench:
        scene = scenes[0]
        task = bench.task(image=scene.task.image)
        desk.open(bench.project_id, task, scene.size_wh)
        desk.says(NONE_YET)
        first, second = scene.objects[:2]
        desk.ask_about(first)
        accepted(desk)
        with_point = unlabelled(desk, NONE_YET)
        assert abs(with_point - 100 * (1 - first.mask().mean())) < 3

        desk.key("Shift+b")
        desk.label(second.label)
        desk.key("b")
        desk.drag(*way_over(second.mask()))
        with_stroke = unlabelled(desk, NONE_YET, f"{with_point:.1f} %")
        assert with_stroke < with_point
        desk.shot("unlabelled")

        # A stroke by hand has soft edges, so the alpha counts as in exports: from half on.
        stored = round_.client.sdk.annotations.get(desk.submit()).result or []
        codes = {str(one["id"]): one["value"]["rle"] for one in map(dict, stored) if "rle" in one["value"]}
        assert len(codes) == 2
        covered: NDArray[np.bool_] = np.logical_or.reduce([decode_rle(rle, scene.size_wh) for rle in codes.values()])
        assert abs(with_stroke - 100 * (1 - covered.mean())) <= 0.1
        desk.open(bench.project_id, task, scene.size_wh)
        assert abs(unlabelled(desk, NONE_YET) - 100 * (1 - covered.mean())) <= 0.06
