"""The road of docs/road.md on the demo pairs, on the stand-in for Label Studio; a network learns at its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from core.report import Report
from core.repository import REPOSITORY
from dataset.agreement.choice import chosen
from dataset.agreement.command import AgreementRequest, run_agreement
from dataset.pair_sides import project_sides
from dataset.registration.command import RegisterRequest, run_register
from dataset.transfer.command import ProjectRequest, run_in_label_studio
from demo.pairs import Rig, write_pairs
from hosts.base import Result, RunArguments
from labelstudio.client import Client
from labelstudio.models import Project
from tests.integration.test_dataset_loader import TinyUNet, loader
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import url

RIG = Rig((320, 240), (160, 128), shift_xy=(4.0, -3.0))
COUNT = 9
STEPS, EVERY = 60, 4  # of the training, and which pixels of rows and columns it looks at
CONFIG = (REPOSITORY / "labeling_configs" / "rgbt-sar" / "v3.xml").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Road:
    """What lies there before the first step: the pairs, and two projects whose tasks show them."""

    bench: ExportBench
    pairs: Path
    rgb: Project
    thermal: Project

    @property
    def alignment(self) -> Path:
        return self.bench.folder / "alignment.yaml"

    def find(self, called: str) -> tuple[Client, Project]:
        return self.bench.client, {"RGB": self.rgb, "THERMAL": self.thermal}[called]


@pytest.fixture
def road(tmp_path: Path) -> Iterator[Road]:
    bench = ExportBench(tmp_path)
    folder = tmp_path / "pairs"
    projects = {side: bench.server.project(CONFIG, side.upper()) for side in ("rgb", "thermal")}
    for path in write_pairs(folder, COUNT, rig=RIG):
        name = path.relative_to(tmp_path).as_posix()
        bench.server.images[name] = path.read_bytes()
        bench.server.task(projects[path.relative_to(folder).parts[0]], image=url(name))
    yield Road(bench, folder, projects["rgb"], projects["thermal"])
    bench.close()


def not_needed(*argv: str, **_: Unpack[RunArguments]) -> Result:
    """Of both containers: nothing is asked of them."""
    raise AssertionError(argv)


def agreement(road: Road, first: str, second: str) -> dict[str, Any]:
    report = Report()
    run_agreement(AgreementRequest(chosen(first), chosen(second), None, None, None), report, road.find)
    return dict(report.facts)


@pytest.mark.timeout(300)  # 15 s of a processor, on a machine that is busy with others
def test_whole_road_from_pairs_to_a_network(road: Road) -> None:
    """Masks in, registered, carried over, compared, written with four channels; then the loss falls."""
    bench = road.bench
    assert bench.import_(road.rgb, "pairs/truth/masks.jsonl").added == COUNT
    found = agreement(road, "RGB", str(road.pairs / "truth" / "maps"))
    assert found["pixel_agreement"] == pytest.approx(1)

    request = RegisterRequest(road.pairs / "rgb", road.pairs / "thermal", road.alignment, "similarity")
    assert run_register(request, bench.report).matrix is not None
    carried = ProjectRequest(road.alignment, kind="annotation", refine="none")
    moved = run_in_label_studio(bench.client, not_needed, not_needed, road.rgb, road.thermal, carried, bench.report)
    refused = {one.name for one in moved.images if one.reason}
    assert refused <= {f"pairs/rgb/flight-3/{COUNT:04d}.png"}

    sides = project_sides(road.rgb, road.thermal, None, None)
    options: dict[str, Any] = {"group": (r"flight-\d",), "shares": "70,30,0", "sides": sides}
    bench.export(road.rgb, "dataset", alignment=road.alignment, pictures="rgbt", **options)
    out = bench.folder / "out"
    about = yaml.safe_load((out / "dataset.yaml").read_text(encoding="utf-8"))
    assert about["images"] == {"rgbt": "images/rgbt"}
    with Image.open(out / "images" / "rgbt" / "flight-1" / "0001.png") as picture:
        assert (picture.mode, picture.size) == ("RGBA", RIG.rgb_wh)
    rgb, thermal = (
        np.asarray(Image.open(out / "labels" / side / "flight-1" / "0001.png")) for side in ("rgb", "thermal")
    )
    both = (rgb != about["ignore"]) & (thermal != about["ignore"])
    assert both.mean() > 0.1
    assert (rgb == thermal)[both].mean() > 0.98

    losses = train(out)
    assert np.mean(losses[-5:]) < 0.5 * losses[0]


def train(folder: Path) -> list[float]:
    """As the docs have it: the loader, four channels, and the loss that leaves unlabelled pixels out."""
    torch.manual_seed(2)
    samples = loader()(folder)
    (pictures, classes), *_ = torch.utils.data.DataLoader(samples, batch_size=len(samples))
    seen, wanted = pictures["rgbt"][..., ::EVERY, ::EVERY], classes[..., ::EVERY, ::EVERY]
    net = TinyUNet(4, max(samples.about["classes"]) + 1)
    loss_of = nn.CrossEntropyLoss(ignore_index=samples.about["ignore"])
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses: list[float] = []
    for _ in range(STEPS):
        loss = loss_of(net(seen), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses
