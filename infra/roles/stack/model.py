"""Which SAM2 model runs, and its checkpoint in the models volume.

The backend's own downloader does the work, in a one-shot container on the host that will run the model: it
knows the sizes and checksums, resumes, verifies and places the file atomically.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from core.errors import LabelrigError
from core.report import Report
from hosts.base import ANY_EXIT_CODE, Host, environment_of
from infra.bundle.reading import Bundle
from infra.config.settings import UID, Settings
from infra.roles.docker.compose import Compose

FETCH_FILE = Path(__file__).parent / "compose" / "fetch.yaml"
CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, Rocky
)
CA_IN_CONTAINER = "/etc/labelrig-ca.crt"
FETCH_TIMEOUT = 3600.0
MODELS = "models"  # the volume in fetch.yaml
MODELS_AT = "/models"  # in the container
OVERRIDES = "fetch-overrides.yaml"
MIB = 1024**2
CHECK_TIMEOUT = 300.0
IS_THERE = 'test -f "$1" && echo "$2  $1" | sha256sum --check --status'
PLACE = 'cat >"$1.new" && echo "$2  $1.new" | sha256sum --check --status && mv -f -- "$1.new" "$1"'


@dataclass(frozen=True)
class ModelChoice:
    """`name` is what SAM2_MODEL gets; `reason` says why it is the demo model although another was possible."""

    name: str
    downloaded: bool = False
    reason: str | None = None


def choose_model(
    host: Host,
    settings: Settings,
    sam2_image: str,
    state_folder: str,
    report: Report,
    *,
    bundle: Bundle | None = None,
    folder: str | None = None,
) -> ModelChoice:
    """Settle `auto`, and bring the checkpoint where it is needed.

    Args:
        bundle: it comes from there, and nothing is downloaded.
        folder: a folder of the machine that gets it instead of the models volume.

    Raises:
        LabelrigError: the checkpoint cannot be had; says why. What was downloaded so far is kept for the next run.
    """
    if settings.model == "demo":
        return ModelChoice("demo")
    certificates = _ca_bundle(host)
    values = {
        "LABELRIG_SAM2_IMAGE": sam2_image,
        UID: str(settings.uid),
        "LABELRIG_CA_IN_CONTAINER": CA_IN_CONTAINER if certificates else "",
    }
    env_file, fetch_file = f"{state_folder}/fetch.env", f"{state_folder}/{FETCH_FILE.name}"
    _place(host, env_file, "".join(f"{name}='{value}'\n" for name, value in values.items()).encode())
    _place(host, fetch_file, FETCH_FILE.read_bytes())
    files = [fetch_file]
    if other := _overrides(bundle, folder):
        files.append(f"{state_folder}/{OVERRIDES}")
        _place(host, files[-1], json.dumps({"services": {"fetch": other}}).encode())
    compose = Compose(host, settings.project, files, env_file)
    placed = bundle is not None and _from_bundle(compose, bundle, settings.model, report)
    mount = ("--volume", f"{certificates}:{CA_IN_CONTAINER}:ro") if certificates else ()
    # Its login must not show in the process list, nor in the container's description.
    source = ("--base-url", "-") if settings.checkpoint_url else ()
    result = compose.run(
        *("run", "--rm", "--no-TTY", "--quiet-pull", *mount, "fetch"),
        *(settings.model, "--dir", MODELS_AT, *source),
        stdin=f"{settings.checkpoint_url}\n".encode() if settings.checkpoint_url else None,
        timeout=FETCH_TIMEOUT,
        on_line=report.progress,
        ok=ANY_EXIT_CODE,
    )
    if not result.ok:
        # The downloader's last line is its error in words.
        said = (result.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise LabelrigError(
            f"model {settings.model}: {said}. Until it can be had, `./inv up --model demo` works; "
            "LABELRIG_CHECKPOINT_URL in .env names another place to download from"
        )
    try:
        answer = json.loads(result.stdout.strip().splitlines()[-1])
        return ModelChoice(str(answer["model"]), placed or bool(answer.get("downloaded")), answer.get("reason"))
    except (IndexError, ValueError, KeyError, TypeError):
        raise LabelrigError(
            f"the checkpoint downloader answered {result.stdout[-200:]!r}; expected one line of JSON"
        ) from None


def expected_model(settings: Settings, before: str | None) -> str | None:
    """The model that a run will come to, as far as it is known without one.

    Args:
        before: the model of the stack as it is, for `auto`: what was settled once stays.
    """
    return before if settings.model == "auto" else settings.model


def demo_notice(choice: ModelChoice) -> str:
    """Return what must be said loudly when the demo model runs."""
    why = f" ({choice.reason})" if choice.reason else ""
    return (
        f"the DEMO model is in use{why}.\n"
        "It is a toy that knows drawn shapes: it shows that everything works, it is not for real images.\n"
        "For real work choose the model tiny or larger, on a machine that can reach the checkpoints: "
        "`./inv up --model tiny`, or `model: tiny` in the inventory."
    )


def _overrides(bundle: Bundle | None, folder: str | None) -> dict[str, object]:
    """What another compose file says of the container: no network, or another folder in the place of the volume."""
    if bundle is not None:
        return {"network_mode": "none"}
    return {"volumes": [{"type": "bind", "source": folder, "target": MODELS_AT}]} if folder is not None else {}


def _from_bundle(compose: Compose, bundle: Bundle, model: str, report: Report) -> bool:
    """Place the weights of a bundle into the models volume; returns whether anything was placed.

    Of `auto` all that the bundle has: the downloader takes the best of those that are there.
    """
    placed = False
    for name, path in bundle.manifest.models.items():
        if model not in (name, "auto"):
            continue
        digest, total = bundle.sums[path], bundle.sizes[path] // MIB
        in_shell = ("run", "--rm", "--no-TTY", "--quiet-pull", "--entrypoint", "sh", "fetch", "-c")
        arguments = ("sh", f"{MODELS_AT}/{PurePosixPath(path).name}", digest)
        if compose.run(*in_shell, IS_THERE, *arguments, ok=(0, 1), timeout=CHECK_TIMEOUT).ok:
            continue
        report.progress(f"placing the weights of {name}: {total} MiB")
        with bundle.opened(path) as file:
            compose.run_on_file(file, *in_shell, PLACE, *arguments, timeout=FETCH_TIMEOUT)
        placed = True
    return placed


def _ca_bundle(host: Host) -> str | None:
    for path in (environment_of(host).get("SSL_CERT_FILE"), *CA_BUNDLES):
        if path and host.read(path):
            return path
    return None


def _place(host: Host, path: str, content: bytes) -> None:
    as_root = not host.is_local
    if host.read(path, as_root=as_root) != content:
        host.write(path, content, 0o600, as_root=as_root)
