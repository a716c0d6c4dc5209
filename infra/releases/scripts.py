"""Shell scripts that do on the host, in one round trip, what must not be torn apart by a lost connection."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from hosts.base import DEFAULT_TIMEOUT, Host, Result

FOLDER = Path(__file__).resolve().parent / "host_scripts"


def run_script(
    host: Host, name: str, *arguments: str, ok: Collection[int] = (0,), timeout: float = DEFAULT_TIMEOUT
) -> Result:
    """Run `host_scripts/<name>.sh` there as root.

    The text travels on standard input, so that an error names the script's arguments and not its text. Every script
    is one function that its last line calls: half a script does nothing.

    Args:
        arguments: never a secret; see `Host.run`.
    """
    text = (FOLDER / f"{name}.sh").read_bytes()
    return host.run("sh", "-s", "--", *arguments, ok=ok, timeout=timeout, stdin=text, as_root=True)
