"""The pairs of Label Studio are those of the files: same names, same pictures, same digest, same transform."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import SettingsError
from dataset.pair_sides import project_sides
from dataset.registration.alignment import read_alignment
from dataset.registration.command import ProjectPairs, RegisterRequest, run_register
from dataset.registration.pictures import PicturePair, digest_of, pairs_in, read_pair
from dataset.registration.project_pairs import pairs_of_project
from dataset.registration.transforms import distances
from labelstudio.models import Project
from masks.pictures import PictureError
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.dataset.registration.scenes import SIZE, draw_pair, similarity
from tests.unit.labelstudio.annotated import PAIR, url

KNOWN = similarity(1.0, 1.03, (5.0, -3.0))
ONE = '<View><Image name="image" value="$image"/><Brush name="brush" toName="image"/></View>'


@pytest.fixture
def pair(exports: ExportBench) -> Project:
    """Two tasks with the pictures of one pair, one task whose thermal picture cannot be had, and one without."""
    draw_pair(exports.folder, "0001", 3, KNOWN)
    for side in ("rgb", "thermal"):
        exports.server.images[f"vuelo/{side}/0001.png"] = (exports.folder / side / "0001.png").read_bytes()
    project = exports.server.project(PAIR, "Pairs")
    for name in ("0001", "0001", "0002"):
        exports.server.task(project, rgb=url(f"vuelo/rgb/{name}.png"), thermal=url(f"vuelo/thermal/{name}.png"))
    exports.server.task(project, rgb=url("vuelo/rgb/0003.png"))
    return project


def test_pairs_of_tasks_are_those_of_the_files(exports: ExportBench, pair: Project) -> None:
    first, second = pairs_of_project(exports.client, project_sides(pair, None, None, None), exports.report)
    assert (first.name, second.name) == ("vuelo/rgb/0001", "vuelo/rgb/0002")
    (file,) = pairs_in(exports.folder / "rgb", exports.folder / "thermal")
    for fetched, read in zip(read_pair(first), read_pair(file), strict=True):
        assert np.array_equal(fetched.grey, read.grey)
    assert digest_of([first]) == digest_of([PicturePair(first.name, file.rgb, file.thermal)])
    with pytest.raises(PictureError, match="cannot read the image"):
        read_pair(second)
    assert "1 pictures have no twin and are left out (vuelo/rgb/0003.png: its task" in exports.screen.getvalue()


def test_two_projects_pair_by_name(exports: ExportBench) -> None:
    rgb, thermal = exports.server.project(ONE, "RGB"), exports.server.project(ONE, "Thermal")
    exports.server.task(rgb, image=url("set/RGB/a.png"))
    exports.server.task(rgb, image=url("set/RGB/b.png"))
    exports.server.task(thermal, image=url("set/T/b.tiff"))
    (found,) = pairs_of_project(exports.client, project_sides(rgb, thermal, None, None), exports.report)
    assert found.name == "set/RGB/b"
    assert "set/RGB/a.png: no image of 'Thermal' has its name" in exports.screen.getvalue()
    sides = project_sides(thermal, exports.server.project(ONE, "PNGs"), None, None)
    with pytest.raises(SettingsError, match=r"the project 'Thermal' shows no pair: set/T/b\.tiff: no image of 'PNGs'"):
        pairs_of_project(exports.client, sides, exports.report)


def test_a_project_is_registered(exports: ExportBench, pair: Project) -> None:
    request = RegisterRequest(None, None, exports.folder / "alignment.yaml", "similarity")
    found = run_register(request, exports.report, project=ProjectPairs(exports.client, pair))
    assert [(one.name, one.accepted) for one in found.pairs] == [("vuelo/rgb/0001", True), ("vuelo/rgb/0002", False)]
    read = read_alignment(exports.folder / "alignment.yaml")
    assert float(np.median(distances(read.of("other/vuelo/rgb/0001.jpg"), KNOWN, SIZE))) < 1


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (RegisterRequest(None, None), "give --rgb FOLDER and --thermal FOLDER, or --project PROJECT"),
        (RegisterRequest(Path("a"), None), "--rgb and --thermal are two folders, give both"),
        (RegisterRequest(Path("a"), Path("b"), cameras=(Path("c"), None)), "are two calibrations, give both"),
        (
            RegisterRequest(Path("a"), Path("b"), points=Path("p"), cameras=(Path("c"), Path("d"))),
            "both say where to begin, give one of them",
        ),
    ],
)
def test_options_that_contradict_each_other(exports: ExportBench, request_: RegisterRequest, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        run_register(request_, exports.report)
