"""The backup container's program: one verb, progress on stderr, one line of JSON on stdout.

Verbs: `prepare`, `save`, `list`, `show [SNAPSHOT]`, `verify`, `fetch SNAPSHOT`, `beside`, `adopt STAMP`, `drop`.
A problem is `{"problem": "..."}` and exit code 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence

from infra.roles.backup.inside import fetching, reading, saving
from infra.roles.backup.inside.places import Places, Problem
from infra.roles.backup.inside.request import Request
from infra.roles.backup.inside.restic import Restic


def main(arguments: Sequence[str], places: Places | None = None, request: Request | None = None) -> int:
    """Carry out one verb. Returns: the exit code."""
    where, wanted = places or Places(), request or Request.read()
    try:
        answer = _work(arguments, where, wanted)
    except Problem as error:
        answer = {"problem": str(error)}
    except OSError as error:
        answer = {"problem": f"{error.filename or 'a file'}: {error.strerror}"}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 1 if "problem" in answer else 0


def _work(arguments: Sequence[str], places: Places, request: Request) -> saving.Answer:
    verb, *rest = arguments
    restic = Restic(places, request.repository)
    reads: dict[str, Callable[[], saving.Answer]] = {
        "list": lambda: {"snapshots": reading.snapshots(request, restic)},
        "show": lambda: reading.show(places, request, restic, *(rest or [""])),
        "verify": lambda: reading.verify(places, request, restic),
        "fetch": lambda: fetching.fetch(places, request, restic, *rest),
    }
    if verb in reads:
        places.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        restic.open(make=False, known=request.known)
        restic.unlock()
        return reads[verb]()
    works: dict[str, Callable[[], saving.Answer]] = {
        "prepare": lambda: saving.prepare(places, request, restic),
        "save": lambda: saving.save(places, request, restic),
        "beside": lambda: fetching.beside(places, request),
        "adopt": lambda: fetching.adopt(places, request, *rest),
        "drop": lambda: _dropped(places),
    }
    return works[verb]()


def _dropped(places: Places) -> saving.Answer:
    fetching.drop(places)
    return {"dropped": True}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
