"""What lies where on a machine, as its Docker engine finds it: root looks where the engine is another machine's.

An image folder below a private home is open to the engine, which is root's, and closed to whoever logs in.
"""

from __future__ import annotations

from hosts.base import DEFAULT_TIMEOUT, Host

# Sets $step to the last part of the way to $1 that can be seen. Where that is a folder that may be searched, the next
# part does not exist; where it is no folder, there can be none.
WALK = """
step=$1
while [ ! -e "$step" ]; do
    above=$(dirname -- "$step")
    [ "$above" = "$step" ] && break
    step=$above
done
"""
ABSENT, CLOSED = 44, 45
# Why $1 is not to be seen: exit code ABSENT, or CLOSED and the folder that may not be entered.
WHY_UNSEEN = f"""{WALK}
if [ ! -d "$step" ] || [ -x "$step" ]; then exit {ABSENT}; fi
printf '%s\\n' "$step"
exit {CLOSED}
"""


def looks_as_root(host: Host) -> bool:
    """Whether root's rights are needed to see what the engine sees: on this machine we are who we are."""
    return not host.is_local


def is_folder(host: Host, path: str, timeout: float = DEFAULT_TIMEOUT) -> bool:
    """Whether there is a folder."""
    return host.run("test", "-d", path, ok=(0, 1), timeout=timeout, as_root=looks_as_root(host)).ok


def is_file(host: Host, path: str, timeout: float = DEFAULT_TIMEOUT) -> bool:
    """Whether there is a regular file."""
    return host.run("test", "-f", path, ok=(0, 1), timeout=timeout, as_root=looks_as_root(host)).ok


def closed_at(host: Host, path: str, timeout: float = DEFAULT_TIMEOUT) -> str | None:
    """Of a path that cannot be seen, the folder on the way that may not be entered; None where the path is absent."""
    ended = host.run(
        "sh", "-c", WHY_UNSEEN, "sh", path, ok=(ABSENT, CLOSED), timeout=timeout, as_root=looks_as_root(host)
    )
    return ended.stdout.rstrip("\n") if ended.exit_code == CLOSED else None
