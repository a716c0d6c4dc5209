"""Which pair a picture belongs to, by its path: a pair is called by the path of its pictures without their suffix."""

from __future__ import annotations

from collections.abc import Iterable

from dataset.image_spellings import Parts, parts_of, spellings, without_suffix


class PairNames:
    """Finds the pairs whose name is the end of a picture's path, or has that path as its end.

    `vuelo 1/0001.png` is of the pair `0001` or `vuelo 1/0001`, and never of `vuelo 2/0001`.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._whole: dict[Parts, str] = {}
        self._by_end: dict[Parts, list[str]] = {}
        for name in names:
            parts = parts_of(name)
            self._whole[parts] = name
            for start in range(1, len(parts)):
                self._by_end.setdefault(parts[start:], []).append(name)

    def fitting(self, image: str) -> list[str]:
        """The pairs that a path or URL may mean: none, the one with the longest name, or several of a short path."""
        found: list[str] = []
        for parts in spellings(image):
            bare = without_suffix(parts) or parts
            for length in range(len(bare), 0, -1):
                if bare[-length:] in self._whole:
                    return [self._whole[bare[-length:]]]
            found += self._by_end.get(bare, [])
        return list(dict.fromkeys(found))

    def is_whole(self, image: str) -> bool:
        """Whether a path with folders is the whole name of a pair: then it is not the frame of another flight."""
        bare = (without_suffix(parts) or parts for parts in spellings(image))
        return any(len(parts) > 1 and parts in self._whole for parts in bare)
