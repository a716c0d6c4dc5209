"""What is wrong in an input file: what makes it unusable, and regions that a person may leave out.

Everything is found before anything is stored, and said in one list.
"""

from __future__ import annotations

from core.errors import SettingsError
from core.text import bulleted, inline, shortened

SHOWN = 10
SKIP = "--skip-broken"


class FileProblems:
    """The problems of one file.

    Args:
        heading: what cannot be done, for the message.
        skip_broken: leave broken regions out (`--skip-broken`).

    Attributes:
        broken: the regions that cannot be used.
        notices: what people must know about the file, which can be used all the same.
    """

    def __init__(self, heading: str, *, skip_broken: bool = False) -> None:
        self._heading = heading
        self._skip_broken = skip_broken
        self._unusable: list[str] = []
        self.broken: list[str] = []
        self.notices: list[str] = []

    def unusable(self, text: str) -> None:
        """The file cannot be used."""
        self._unusable.append(shortened(inline(text)))

    def region(self, text: str) -> None:
        """A region cannot be used; the others could."""
        self.broken.append(shortened(inline(text)))

    def check(self) -> None:
        """Raise what was found.

        Raises:
            SettingsError: lists at most ten problems, and says when the rest could be used.
        """
        if self._unusable:
            raise SettingsError(f"{self._heading}:\n{bulleted(self._unusable, SHOWN)}")
        if self.broken and not self._skip_broken:
            left = f"{SKIP} leaves {'this one' if len(self.broken) == 1 else f'these {len(self.broken)}'} out"
            raise SettingsError(f"{self._heading} ({left} and takes the rest):\n{bulleted(self.broken, SHOWN)}")
