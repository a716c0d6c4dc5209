"""The drawn demo images, for whoever has none of their own at hand."""

from __future__ import annotations

from pathlib import Path

from core.errors import FileAccessError
from core.operation import Change


class DemoImagesDrawn:
    """A dozen PNGs and their truth masks lie in a folder that the containers may read."""

    name = "demo images drawn"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def plan(self) -> list[Change]:
        """One change where the set is missing, damaged, or from another version of the drawing."""
        from demo.images import is_current

        if is_current(self._folder):
            return []
        return [Change(f"draw demo images into {self._folder}", self._draw)]

    def _draw(self) -> None:
        from demo.images import draw_demo_images

        try:
            draw_demo_images(self._folder)
            # Whatever our umask is: the containers' user is another one.
            for path in (self._folder, *self._folder.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
        except OSError as error:
            raise FileAccessError(
                f"cannot draw the demo images into {self._folder}: {error.strerror}; the next run draws what is missing"
            ) from None
