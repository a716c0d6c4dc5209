"""Files of a machine behind SSH, read and written with its own shell: SFTP is switched off in some labs, and
knows no sudo.
"""

from __future__ import annotations

import posixpath

from hosts.looking import ABSENT as ABSENT
from hosts.looking import WALK
from hosts.ssh_channel import Ended

SHORT = 46
NAME_LENGTH = 200

# A failed `cat` says nothing that a program may read, so the way to the file is walked.
READ = f"""
cat -- "$1" && exit 0
[ -e "$1" ] && exit 1
{WALK}
if [ ! -d "$step" ] || [ -x "$step" ]; then exit {ABSENT}; fi
exit 1
"""

# $1 target, $2 its folder, $3 its name, $4 mode, $5 size. Missing folders are made with the login's umask, the file
# with 077: it is private from birth. A connection that breaks gives an end of input, hence the size.
WRITE = f"""
if [ -d "$1" ] && [ ! -L "$1" ]; then echo 'Is a directory' >&2; exit 1; fi
mkdir -p -- "$2" || exit 1
umask 077
new=$(mktemp -- "$2/.$3.XXXXXXXX") || exit 1
trap 'rm -f -- "$new"' EXIT
trap 'exit 1' HUP INT TERM
cat >"$new" || exit 1
[ "$(wc -c <"$new")" -eq "$5" ] || exit {SHORT}
chmod -- "$4" "$new" && sync -- "$new" && mv -fT -- "$new" "$1" || exit 1
trap - EXIT
"""


def read_command(path: str) -> tuple[str, ...]:
    """Print a file. Exit code `ABSENT`: there is none; 1: it cannot be read."""
    return ("sh", "-c", READ, "sh", path)


def write_command(path: str, mode: int, size: int) -> tuple[str, ...]:
    """Replace a file by standard input, or leave it as it is."""
    folder, name = posixpath.split(path)
    return ("sh", "-c", WRITE, "sh", path, folder or ".", name[:NAME_LENGTH], f"{mode:o}", str(size))


def reason(ended: Ended) -> str:
    """Why a file command failed, in the system's words."""
    if ended.exit_code == SHORT:
        return "not all of it arrived"
    lines = ended.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[0].rpartition(": ")[2] if lines else f"exit code {ended.exit_code}"
