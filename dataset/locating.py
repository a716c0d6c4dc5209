"""The images of a file in a project, all of them: what is unclear is listed, and nothing is guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import SettingsError
from core.text import bulleted, inline, shortened
from dataset.image_lookup import Ambiguous, Found, ImageLookup
from dataset.problems import SHOWN


@dataclass(frozen=True)
class Wanted:
    """An image of a file: its name as it is written, or the names that it may have, the likeliest first.

    `key` is the `image_key` of its URL, where the file has one.
    """

    names: tuple[str, ...]
    to_name: str = ""
    item_index: int | None = None
    key: str = ""

    @property
    def name(self) -> str:
        """The name for messages, and what other entries with this name have in common."""
        return shortened(inline(self.names[0]))

    @property
    def shown_key(self) -> str:
        """The key for messages."""
        return shortened(inline(self.key))


def locate_all(
    wanted: Sequence[Wanted], lookup: ImageLookup, origin: str, *, any_suffix: bool = False
) -> list[Found | None]:
    """Find every image; None for those that no task shows.

    Args:
        wanted: of the file.
        lookup: the images of the project.
        origin: the file, for messages.
        any_suffix: `a.jpg` may mean `a.png`, where nothing is called `a.jpg`.

    Raises:
        SettingsError: a name fits several images, or several names mean one; lists the first of them.
    """
    found: list[Found | None] = []
    problems: dict[str, None] = {}
    rest = ""
    taken: dict[tuple[int, str, int], Wanted] = {}
    for number, one in enumerate(wanted):
        if len(problems) == SHOWN:  # each may have collected as many candidates as the project has images
            rest = f"\n  the {len(wanted) - number} names after these were not looked for"
            break
        try:
            mine = lookup.locate(one.names, one.to_name, one.item_index, any_suffix=any_suffix, key=one.key)
        except Ambiguous as error:
            problems[str(error)] = None
            continue
        found.append(mine)
        if mine is not None:
            place = mine.place
            other = taken.setdefault((place.task, place.to_name, place.item_index or 0), one)
            if (other.name, other.key) != (one.name, one.key):
                both = (other.name, one.name) if other.name != one.name else (other.shown_key, one.shown_key)
                problems[f"the images {both[0]} and {both[1]} would both be {mine.name} of the project"] = None
    if problems:
        raise SettingsError(
            f"{origin}: unclear which images are meant, nothing was done:\n{bulleted([*problems])}{rest}"
        )
    return found


def elsewhere_notice(wanted: Sequence[Wanted], found: Sequence[Found | None]) -> str:
    """What to say of images that were found by the end of their path or without digits; empty where there are none."""
    pairs = [(one.name, mine.name) for one, mine in zip(wanted, found, strict=True) if mine and mine.elsewhere]
    if not pairs:
        return ""
    written, name = pairs[0]
    return (
        f"{len(pairs)} images lie in other folders than the file says, or have not the digits that it has before their "
        f"names, and were found by the end of their path (the first: {written} is {name}); look whether they are the "
        "same images"
    )
