"""Where everything lies in the container, and what a snapshot holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MANIFEST, MEDIA_LIST, DATABASE_FACTS = "manifest.json", "media.jsonl", "database.json"
DATABASE_FILES = {"sqlite": "database.sqlite3", "postgres": "database.dump"}
FORMAT = 1  # of a snapshot; a later one is refused


class Problem(Exception):
    """What went wrong, in a sentence for people, with the next step."""


@dataclass(frozen=True)
class Places:
    """The mounts of the container. `root` is another folder in tests.

    A snapshot holds three folders, by these paths: `database`, `files` and `media`; and the proxy's certificates.
    """

    root: Path = Path("/")

    @property
    def staging(self) -> Path:
        """The volume that only backups use."""
        return self.root / "staging"

    @property
    def cache(self) -> Path:
        """restic's cache, and the hashes of media files: both can be made again."""
        return self.staging / "cache"

    @property
    def database(self) -> Path:
        """The dump and `database.json`, written by the containers' user."""
        return self.staging / "database"

    @property
    def files(self) -> Path:
        """The manifest, secrets and rendered files, root's alone."""
        return self.staging / "files"

    @property
    def fetched(self) -> Path:
        """A snapshot that is being restored, without its media."""
        return self.staging / "fetched"

    @property
    def data(self) -> Path:
        """Label Studio's volume."""
        return self.root / "label-studio" / "data"

    @property
    def media(self) -> Path:
        """What people uploaded."""
        return self.data / "media"

    @property
    def media_beside(self) -> Path:
        """Where media of a snapshot grow, on the same file system as their place."""
        return self.data / "restored"

    @property
    def proxy(self) -> Path:
        """The proxy's volume: certificates, and the CA of `tls: internal`."""
        return self.root / "proxy-data"

    @property
    def own(self) -> Path:
        """The folder of the backup on the machine: `definitions`, `images` (lists of image files)."""
        return self.root / "own"

    @property
    def stack(self) -> Path:
        """The rendered files of the stack."""
        return self.root / "stack"

    @property
    def secrets(self) -> Path:
        """`.env`, or the host's `secrets.env`."""
        return self.root / "secrets.env"

    @property
    def repository(self) -> Path:
        """The folder with the backups, where it is one of this machine."""
        return self.root / "repository"

    @property
    def password(self) -> Path:
        """The file with the password of the backups."""
        return self.root / "password"

    @property
    def environment(self) -> Path:
        """The file with restic's environment; empty where there is none."""
        return self.root / "environment"

    @property
    def ssh(self) -> Path:
        """The folder `.ssh` of the machine's user, for repositories behind SFTP."""
        return self.root / "ssh"

    def fetched_from(self, path: Path) -> Path:
        """Where restic puts what lay at `path`."""
        return self.fetched / path.relative_to("/")
