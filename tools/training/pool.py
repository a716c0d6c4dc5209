"""Pools of squashed scenes for training: drawn once from a seed, kept in a file, read in random batches."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo.scenes import draw_scene

ASPECTS = ((16, 9), (16, 9), (4, 3), (1, 1), (9, 16))


@dataclass(frozen=True)
class Pool:
    """Many scenes at one size.

    Attributes:
        images: ``(N, R, R, 3)`` uint8, squashed to a square.
        owners: ``(N, R, R)`` uint8: 0 for the ground, ``i + 1`` for the visible part of object ``i``.
    """

    images: NDArray[np.uint8]
    owners: NDArray[np.uint8]

    def batch(self, rng: np.random.Generator, count: int, noise: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Random scenes, each flipped, recoloured and made noisy at random: ``(count, R, R, 3)`` and
        ``(count, R, R)``."""
        images, owners = [], []
        for index in rng.integers(len(self.images), size=count):
            image, owner = self.images[index], self.owners[index]
            if rng.random() < 0.5:
                image, owner = image[:, ::-1], owner[:, ::-1]
            if rng.random() < 0.25:
                image, owner = image[::-1], owner[::-1]
            if rng.random() < 0.3:
                image = image[..., rng.permutation(3)]
            light = image.astype(np.float32) * np.float32(rng.uniform(0.85, 1.12)) + np.float32(rng.uniform(-10, 10))
            light += rng.standard_normal((*image.shape[:2], 1), dtype=np.float32) * np.float32(rng.uniform(0, noise))
            images.append(np.clip(light, 0, 255).astype(np.uint8))
            owners.append(owner)
        return np.stack(images), np.stack(owners)


def squashed_scene(
    seed: Sequence[int],
    style: str,
    size: int,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One scene of a random aspect, squashed to ``size`` x ``size``: image ``(R, R, 3)`` and owners ``(R,
    R)``."""
    rng = np.random.default_rng(seed)
    across, down = ASPECTS[int(rng.integers(len(ASPECTS)))]
    scale = 1.15 * size / (across * down) ** 0.5
    scene = draw_scene(rng, (round(across * scale), round(down * scale)), style)
    image = np.asarray(Image.fromarray(scene.image).resize((size, size), Image.Resampling.BILINEAR))
    owner = np.zeros((size, size), dtype=np.uint8)
    for index, item in enumerate(scene.objects):
        cover = Image.fromarray(item.mask.astype(np.uint8) * 255).resize((size, size), Image.Resampling.BILINEAR)
        owner[np.asarray(cover) >= 128] = index + 1
    return image, owner


def draw_pool(seed: int, styles: Sequence[str], count: int, size: int) -> Pool:
    """Draw ``count`` scenes, the styles in turn."""
    drawn = [squashed_scene((seed, index), styles[index % len(styles)], size) for index in range(count)]
    return Pool(np.stack([image for image, _ in drawn]), np.stack([owner for _, owner in drawn]))


def load_or_draw(file: Path, seed: int, styles: Sequence[str], count: int, size: int) -> Pool:
    """Read a pool from ``file``; draw it and write the file first where there is none, or a broken one."""
    try:
        with file.open("rb") as stream, np.load(stream) as stored:
            return Pool(stored["images"], stored["owners"])
    except (FileNotFoundError, zipfile.BadZipFile, KeyError, EOFError):
        pool = draw_pool(seed, styles, count, size)
    part = file.with_name(file.name + ".part.npz")
    np.savez(part, images=pool.images, owners=pool.owners)
    part.replace(file)
    return pool
