"""The loader of docs/export.md reads what `export --format dataset` wrote, and a small network learns from it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from core.repository import REPOSITORY
from tests.unit.dataset.export_bench import ExportBench
from tests.unit.labelstudio.annotated import brush, url

SIZE = (64, 48)
THINGS = {"Ground": ((120, 90, 40), 29000), "Car": ((200, 40, 40), 29100), "Person": ((40, 60, 200), 30500)}
PAIR = """<View>
  <Image name="rgb" value="$rgb"/>
  <BrushLabels name="brush" toName="rgb">
    <Label value="Ground"/><Label value="Car"/><Label value="Person"/>
  </BrushLabels>
  <Image name="thermal" value="$thermal"/>
</View>"""


def loader() -> Callable[..., Any]:
    """The class that the docs show, run as it stands there."""
    text = (REPOSITORY / "docs" / "export.md").read_text(encoding="utf-8")
    (source,) = [one for one in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "class Samples" in one]
    names: dict[str, Any] = {}
    exec(compile(source, "docs/export.md", "exec"), names)  # noqa: S102 - our own documentation
    samples: Callable[..., Any] = names["Samples"]
    return samples


def draw(exports: ExportBench, count: int) -> None:
    """Pairs: brown ground below, red cars, blue people that alone are warm; a part of the picture is not labelled."""
    project = exports.server.project(PAIR, "Pairs")
    for number in range(count):
        random = np.random.default_rng(number)
        rgb = np.full((SIZE[1], SIZE[0], 3), 120, np.float32)
        warm = np.full((SIZE[1], SIZE[0]), 29000, np.float32)
        results = []
        for label, colour, heat in (
            ("Ground", (120, 90, 40), 29000),
            ("Car", (200, 40, 40), 29100),
            ("Person", (40, 60, 200), 30500),
        ):
            mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
            x, y = int(random.integers(8, 56)), int(random.integers(8, 40))
            if label == "Ground":
                mask[24:, :48] = 1
            else:
                cv2.ellipse(mask, (x, y), (10, 6) if label == "Car" else (4, 9), 0, 0, 360, 1, -1)
            rgb[mask > 0], warm[mask > 0] = colour, heat
            results += brush(mask > 0, label, label.lower(), to_name="rgb")
        pictures: dict[str, NDArray[Any]] = {
            "RGB": np.clip(rgb + random.normal(0, 12, rgb.shape), 0, 255).astype(np.uint8),
            "T": (warm + random.normal(0, 60, warm.shape)).astype(np.uint16),
        }
        for folder, pixels in pictures.items():
            content = io.BytesIO()
            Image.fromarray(pixels).save(content, "PNG")
            exports.server.images[f"set/{folder}/{number:03}.png"] = content.getvalue()
        task = exports.server.task(project, rgb=url(f"set/RGB/{number:03}.png"), thermal=url(f"set/T/{number:03}.png"))
        exports.server.annotate(task, results)
    exports.export(project, "dataset", shares="80,20,0")


@pytest.fixture
def exports(tmp_path: Path) -> Iterator[ExportBench]:
    one = ExportBench(tmp_path)
    yield one
    one.close()


def test_loader_reads_pictures_and_classes(exports: ExportBench) -> None:
    draw(exports, 5)
    samples = loader()(exports.folder / "out")
    assert (len(samples), samples.about["classes"]) == (4, {1: "Ground", 2: "Car", 3: "Person"})
    pictures, classes = samples[0]
    assert {tag: (tuple(one.shape), one.dtype) for tag, one in pictures.items()} == {
        "rgb": ((3, 48, 64), torch.float32),
        "thermal": ((1, 48, 64), torch.float32),
    }
    assert (classes.shape, classes.dtype) == ((48, 64), torch.int64)
    assert set(classes.unique().tolist()) == {1, 2, 3, 255}
    warm = pictures["thermal"][0]
    assert float(warm[classes == 3].mean()) > 0.8 > 0.4 > float(warm[classes == 1].mean())
    holes = np.linspace(15, 40, 48 * 64, dtype=np.float32).reshape(48, 64)
    holes[:2, :2] = np.nan
    Image.fromarray(holes).save(exports.folder / "radiometric.tiff")
    celsius = samples.picture(exports.folder / "radiometric.tiff")
    assert (float(celsius.min()), float(celsius.max())) == (0, 1)


@pytest.mark.slow
def test_a_small_network_learns_the_classes(exports: ExportBench) -> None:
    """A U-Net of one step down: the loss falls, and on pictures that it has not seen it finds the classes."""
    draw(exports, 60)
    torch.manual_seed(1)
    samples, held_out = (loader()(exports.folder / "out", part) for part in ("train", "val"))
    net = TinyUNet(4, max(samples.about["classes"]) + 1)
    loss_of = nn.CrossEntropyLoss(ignore_index=samples.about["ignore"])
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    losses = []
    for _ in range(25):
        for pictures, classes in torch.utils.data.DataLoader(samples, batch_size=8, shuffle=True):
            loss = loss_of(net(torch.cat([pictures["rgb"], pictures["thermal"]], 1)), classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert np.mean(losses[-6:]) < 0.25 * losses[0]
    counts = np.zeros((2, 4))
    for pictures, classes in torch.utils.data.DataLoader(held_out, batch_size=1):
        with torch.no_grad():
            found = net(torch.cat([pictures["rgb"], pictures["thermal"]], 1)).argmax(1)
        for number in (1, 2, 3):
            known = classes != samples.about["ignore"]
            ours, theirs = (found == number) & known, classes == number
            counts[:, number] += [float((ours & theirs).sum()), float((ours | theirs).sum())]
    assert (counts[0, 1:] / counts[1, 1:] > 0.7).all()


class TinyUNet(nn.Module):
    """Two steps, one skip connection."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1))
        self.below = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.last = nn.Sequential(nn.Conv2d(32, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, classes, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x).relu()
        found: torch.Tensor = self.last(torch.cat([first, self.up(self.below(first))], 1))
        return found
