"""Which files of an image folder are images, by their names: one rule for us, for Label Studio's storage, for SAM2.

Servers, desktops and programs put folders and files of their own beside images: thumbnails, recycle bins, snapshots,
resource forks. They are left out whatever a project's filter says. Label Studio's storage matches a regular expression
from the start of the file name, without its folder (`LocalFilesImportStorageBase.iter_objects`, Label Studio 1.23.2),
so the rule for names is one such expression; the rule for folders is ours alone.
"""

from __future__ import annotations

import fnmatch
import re

# As of find(1) -iname and fnmatch: no character in them means something else to one of the two. Only names that a
# system gives and a person does not: `recycle` (Zyxel's bin) and `trash` may be folders of a person, and are read.
SKIPPED_FOLDERS = (
    # .Trash-1000, .Trashes, .snapshot, .zfs, .recycle (Samba's vfs_recycle), .@__thumb (QNAP), .AppleDouble, .git,
    # .SynologyWorkingDirectory, .thumbnails
    ".?*",
    "__MACOSX",  # archives that macOS made
    # Synology: what its Cloud Sync passes over too (Knowledge Center, "Working with different cloud services").
    "@eaDir",  # thumbnails of every folder
    "@tmp",
    "@sharebin",
    "@SynologyCloudSync",
    "@ActiveBackup",
    "#recycle",  # TerraMaster's, too
    "#snapshot",
    "@sharesnap",  # the snapshots of all shared folders, at the root of a volume
    "@Recycle",  # QNAP: the network recycle bin and the snapshots of a shared folder
    "@Recently-Snapshot",
    "~snapshot",  # NetApp over SMB; .snapshot over NFS
    "$RECYCLE.BIN",  # Windows
    "RECYCLER",  # Windows XP
    "System Volume Information",
    "FOUND.[0-9][0-9][0-9]",  # chkdsk: what it recovered of broken files
    "DfsrPrivate",  # Windows Server: old and deleted files of a folder that DFS replicates
    "lost+found",  # fsck
    "Network Trash Folder",  # AFP servers: Netatalk hides these from its clients
    "Temporary Items",
    "TheFindByContentFolder",
    "TheVolumeSettingsFolder",
)
# Hidden files (`._a.png`, `.~lock`, `.nfs0001`, what rsync and Syncthing are still writing), locks of office programs,
# and Synology's thumbnails, which Label Studio's storage can only know by their names.
SKIPPED_FILES = r"(?!\.|~\$|SYNO(?:FILE|PHOTO|INDEX|VIDEO)_)"
GLOBAL_FLAGS = re.compile(r"\(\?([aiLmsux]+)\)")

_SKIPPED_FOLDER = re.compile("|".join(map(fnmatch.translate, SKIPPED_FOLDERS)), re.IGNORECASE)


def file_pattern(file_filter: str) -> str:
    """The regular expression for `re.match` on a file name that a project's filter stands for.

    Args:
        file_filter: a regular expression that the whole name must match, in upper or lower case; an empty one matches
            every name. Names of `SKIPPED_FILES` never match.
    """
    given = GLOBAL_FLAGS.match(file_filter)
    flags = given[1] if given else ""
    body = (file_filter[given.end() :] if given else file_filter) or ".*"
    # A comment of a verbose expression would reach to the end of the line.
    end = "\n)" if "x" in flags else ")"
    return f"(?{''.join(sorted({*flags, 'i'}))}){SKIPPED_FILES}(?:{body}{end}\\Z"


def is_skipped_folder(name: str) -> bool:
    """Whether a folder of this name is a server's, a desktop's or a program's own."""
    return _SKIPPED_FOLDER.match(name) is not None


def skipped_folder_pattern() -> str:
    """The same as a regular expression for `re.match` in a program that cannot import this."""
    return f"(?i:{_SKIPPED_FOLDER.pattern})"


def skipped_folders_in_find() -> tuple[str, ...]:
    """The same as a test of find(1)."""
    names = [argument for name in SKIPPED_FOLDERS for argument in ("-o", "-iname", name)]
    return ("-type", "d", "(", *names[1:], ")")
