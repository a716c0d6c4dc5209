"""`python -m backend.weights.checkpoints fetch NAME|auto --dir DIR`: weights, put where the backend finds them.

stdout is one JSON line (`model`, and `path`, `bytes`, `downloaded` or `reason`); stderr is progress. Exit code 0 done,
1 failed, 2 wrong arguments. `auto` never fails for want of a network: it then answers with the demo model, loudly.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urljoin

import httpx

from backend.device import wants_cuda
from backend.errors import DownloadError
from backend.weights import integrity
from backend.weights.catalog import FETCHED_FIRST, SERVED_FIRST, Catalog, load_catalog
from backend.weights.download import Downloader, Limits, Wanted
from backend.weights.progress import Progress

PROBE_SECONDS = 5.0
Report = dict[str, str | int | bool]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    catalog = load_catalog()
    options = _parser(catalog).parse_args(arguments)
    base_url: str = options.base_url.rstrip("/") + "/"
    try:
        if options.model == "auto":
            report = fetch_auto(catalog, options.dir, base_url, on_cuda=wants_cuda(options.device))
        else:
            report = fetch(catalog, options.model, options.dir, base_url)
    except DownloadError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


def fetch(catalog: Catalog, name: str, folder: Path, base_url: str, limits: Limits | None = None) -> Report:
    """Make sure that one model's weights are in the folder.

    Raises:
        DownloadError: they are not, and cannot be had.
    """
    spec = catalog.models[name]
    target = spec.checkpoint(folder)
    if spec.shipped:
        if not target.is_file():
            raise DownloadError(f"the {name} model ships with labelrig, but {target} is missing")
        return {"model": name, "path": str(target), "bytes": target.stat().st_size, "downloaded": False}
    if spec.sha256 is None:
        raise DownloadError(f"models.yaml holds no SHA-256 of {name}; it is not fetched unverified")
    progress = Progress(name)
    wanted = Wanted(name, urljoin(base_url, spec.file), target, spec.sha256, spec.size)
    downloaded = Downloader(wanted, progress, limits).fetch()
    size = target.stat().st_size
    progress.say(f"{name}: {'downloaded' if downloaded else 'already there'}, verified, {size} bytes, {target}")
    return {"model": name, "path": str(target), "bytes": size, "downloaded": downloaded}


def fetch_auto(catalog: Catalog, folder: Path, base_url: str, *, on_cuda: bool) -> Report:
    """The right model for this machine: what is there already, else what can be had, else the demo."""
    first = FETCHED_FIRST[on_cuda]
    for name in (first, *SERVED_FIRST[on_cuda]):
        spec = catalog.models[name]
        if spec.sha256 is not None and integrity.matches(spec.checkpoint(folder), spec.sha256):
            return fetch(catalog, name, folder, base_url)
    reason = probe(urljoin(base_url, catalog.models[first].file), PROBE_SECONDS)
    if reason is None:
        try:
            return fetch(catalog, first, folder, base_url)
        except DownloadError as error:
            reason = str(error)
    sys.stderr.write(
        f"!! The weights of {first} cannot be had: {reason}\n"
        "!! THE DEMO MODEL IS USED. It knows drawn scenes only; it is not for real images.\n"
        f"!! Later: fetch the weights and start again, or name a mirror with --base-url.\n"
    )
    return {"model": "demo", "reason": reason}


def probe(url: str, seconds: float) -> str | None:
    """Does the host answer? None when it does, else why not.

    In a thread of its own: looking a name up has no timeout, and a dead resolver can take much longer than a person
    waits.
    """
    outcome: list[str | None] = []

    def ask() -> None:
        try:
            answer = httpx.head(url, timeout=seconds, follow_redirects=True)
        except httpx.HTTPError as error:
            outcome.append(f"{httpx.URL(url).host} cannot be reached ({error})")
        else:
            outcome.append(None if answer.is_success else f"{url} answered {answer.status_code}")

    thread = threading.Thread(target=ask, name="probe", daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else f"{httpx.URL(url).host} did not answer within {seconds:g} s"


def _parser(catalog: Catalog) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend.weights.checkpoints", description="Model weights")
    fetching = parser.add_subparsers(required=True).add_parser("fetch", help="download and verify weights")
    fetching.add_argument("model", choices=("auto", *catalog.models), help="which model")
    fetching.add_argument("--dir", type=Path, required=True, help="where the weights are kept")
    fetching.add_argument(
        "--base-url",
        type=_base_url,
        default=catalog.base_url,
        help="a mirror (default: %(default)s); -: it is read from standard input, for one with a login",
    )
    fetching.add_argument(
        "--device", choices=("auto", "cuda", "cpu"), default="auto", help="what `auto` chooses the model for"
    )
    return parser


def _base_url(text: str) -> str:
    """An argument shows in the process list; what stands on standard input does not."""
    return _http_url(sys.stdin.readline().strip() if text == "-" else text)


def _http_url(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise argparse.ArgumentTypeError(f"is no URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise argparse.ArgumentTypeError("must be http://... or https://...")
    return text


if __name__ == "__main__":
    sys.exit(main())
