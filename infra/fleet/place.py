"""One running Label Studio and the folders of its host: what everything about projects works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from core.errors import SettingsError
from core.report import Report
from infra.roles.project.role import ProjectContext
from infra.roles.stack.image_folders import DEMO, ImageFolder, read_folders
from infra.stack.site import Site
from infra.stack.stages import demo_spec, reached
from labelstudio.access import Access
from labelstudio.config import ProjectSpec


@dataclass(frozen=True)
class Place:
    """A stack that runs.

    Attributes:
        site: the stack on its host.
        access: the login to its Label Studio.
        demo: where its demo images are, if it has any.
        report: gets what happens.
    """

    site: Site
    access: Access
    demo: ImageFolder
    report: Report

    @cached_property
    def folders(self) -> list[ImageFolder]:
        """The folders that were connected to the stack."""
        return read_folders(self.site.host, self.site.files.folders)

    def resolved(self, spec: ProjectSpec) -> tuple[ProjectSpec, ImageFolder]:
        """The project as it is here, and its folder: a stack with demo images has it under another title.

        Raises:
            SettingsError: its folder is not connected.
        """
        if spec.images_folder is None:
            if self.site.settings.data is None:
                return demo_spec(spec), self.demo
            return spec, self._by_path(str(self.site.settings.data))
        name, _, below = spec.images_folder.partition("/")
        found = next((one for one in self.folders if one.name == name), None)
        if found is None:
            raise SettingsError(
                f"projects.{spec.name}.images.folder: no folder {name!r} is connected here (there are: "
                f"{', '.join(one.name for one in self.folders) or 'none'}); {self._connect_with('its path')}"
            )
        if not below:
            return spec, found
        path = f"{found.path}/{below}"
        if not self.site.host.run("test", "-d", path, ok=(0, 1)).ok:
            raise SettingsError(f"projects.{spec.name}.images.folder: there is no folder {path}")
        return spec, ImageFolder(f"{name}/{below}", path)

    def context(self, folder: ImageFolder) -> ProjectContext:
        """What the project role needs."""
        return ProjectContext(
            host=self.site.host,
            env_file=self.site.env_file,
            folder=folder,
            access=self.access,
            exec_in_label_studio=self.site.exec_in("label-studio"),
            exec_in_backend=self.site.exec_in("sam2"),
            report=self.report,
        )

    def _by_path(self, path: str) -> ImageFolder:
        found = next((one for one in self.folders if one.path == path), None)
        if found is None:
            raise SettingsError(f"the image folder {path} is not connected yet; {self._connect_with(path)}")
        return found

    def _connect_with(self, path: str) -> str:
        host = self.site.host
        return (
            f"`./inv up --data` with {path}"
            if host.is_local
            else f"`./inv deploy --host {host.name} --data` with {path}"
        )


@contextmanager
def reach(site: Site, demo_path: str, report: Report) -> Iterator[Place]:
    """Reach the stack's Label Studio while the context lasts.

    Raises:
        LabelStudioError: the stack was never started here.
    """
    with reached(site) as url:
        access = Access.of(site.settings, url)
        try:
            yield Place(site, access, ImageFolder(DEMO, demo_path), report)
        finally:
            access.close()
