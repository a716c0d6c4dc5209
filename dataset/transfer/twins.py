"""The folder of pictures that masks are carried to: the twin of each picture by name, whatever its suffix."""

from __future__ import annotations

from pathlib import Path

from core.text import some
from dataset.registration.alignment import NotAligned
from dataset.registration.pair_names import PairNames
from dataset.registration.pictures import pictures_in


class Twins:
    """The pictures of a folder, with its subfolders.

    Raises:
        SettingsError: there is no such folder, or two pictures in it have one name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths = pictures_in("--twins", folder)
        self._names = PairNames(self._paths)

    def of(self, image: str) -> Path:
        """The twin of a picture, by its path or URL.

        Raises:
            NotAligned: there is none, or there are several.
        """
        names = self._names.fitting(image)
        if len(names) > 1:
            raise NotAligned(f"may have the twin {some(sorted(names))}: its path does not tell which")
        if not names:
            raise NotAligned(f"no picture in {self.folder} has its name")
        return self._paths[names[0]]

    def name_of(self, path: Path) -> str:
        """What a picture is called in an export: its path below the folder, with the folder's name."""
        return f"{self.folder.absolute().name}/{path.relative_to(self.folder).as_posix()}"
