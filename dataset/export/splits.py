"""Train, validation and test: groups of samples stay together, each class is spread over all parts.

Iterative stratification (Sechidis, Tsoumakas, Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011)
of groups in place of samples: the rarest class that is left goes first, to the part that lacks most of it.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import SettingsError

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Sample:
    """One sample. `classes` are the class numbers on it, `group` what it must stay together with."""

    name: str
    classes: frozenset[int]
    group: str


def read_shares(text: str) -> tuple[float, float, float]:
    """`80,10,10`: the shares of `PARTS`, whose sum is 100.

    Raises:
        SettingsError: they are not three such numbers, or nothing is left for training.
    """
    try:
        found = [float(one) for one in text.split(",")]
    except ValueError:
        found = []
    if len(found) != len(PARTS) or min(found) < 0 or not abs(sum(found) - 100) <= 0.01 or not found[0]:
        raise SettingsError(f"--shares {text}: must be three numbers whose sum is 100, such as 80,10,10")
    return found[0] / 100, found[1] / 100, found[2] / 100


def read_group(text: str) -> re.Pattern[str]:
    """The expression of `--group`.

    Raises:
        SettingsError: it is not a regular expression.
    """
    try:
        return re.compile(text)
    except re.error as error:
        raise SettingsError(f"--group {text}: is not a regular expression: {error}") from None


def group_of(pattern: re.Pattern[str], path: str) -> str | None:
    """What an expression finds in a path: its first group, else the whole match; None where it finds nothing."""
    found = pattern.search(path)
    if found is None:
        return None
    return found[1] or "" if found.re.groups else found[0]


def split(samples: Sequence[Sample], shares: Sequence[float], seed: int) -> dict[str, str]:
    """The part of each sample by its name; the same for the same samples, shares and seed.

    Args:
        shares: of `PARTS`, their sum 1.
    """
    groups: dict[str, list[Sample]] = {}
    for one in sorted(samples, key=lambda each: each.name):
        groups.setdefault(one.group, []).append(one)
    order = sorted(groups)
    random.Random(seed).shuffle(order)  # noqa: S311 - nothing secret
    counts = {name: Counter(number for one in groups[name] for number in one.classes) for name in order}
    total: Counter[int] = sum(counts.values(), Counter())
    lacks = [{number: share * count for number, count in total.items()} for share in shares]
    lacks_samples = [share * len(samples) for share in shares]
    parts: dict[str, str] = {}

    def take(name: str, part: int) -> None:
        for number, count in counts[name].items():
            lacks[part][number] -= count
            left[number] -= count
        lacks_samples[part] -= len(groups[name])
        waiting.remove(name)
        parts.update({one.name: PARTS[part] for one in groups[name]})

    def part_for(number: int | None) -> int:
        return max(
            (part for part, share in enumerate(shares) if share > 0),
            key=lambda part: (lacks[part][number] if number is not None else 0, lacks_samples[part], -part),
        )

    waiting, left = list(order), Counter(total)
    while rarest := _rarest(left):
        # The largest groups first: small ones even out what they left uneven.
        for name in sorted((one for one in waiting if counts[one][rarest]), key=lambda one: -counts[one][rarest]):
            take(name, part_for(rarest))
    for name in sorted(waiting, key=lambda one: -len(groups[one])):
        take(name, part_for(None))
    return parts


def _rarest(left: Mapping[int, int]) -> int | None:
    there = [(count, number) for number, count in left.items() if count > 0]
    return min(there)[1] if there else None
