"""Which SAM2 model runs, and its checkpoint in the models volume.

The backend's own downloader does the work, in a one-shot container on the host that will run the model: it
knows the sizes and checksums, resumes, verifies and places the file atomically.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from core.errors import LabelrigError
from core.report import Report
from hosts.base import ANY_EXIT_CODE, Host, environment_of
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


@dataclass(frozen=True)
class ModelChoice:
    """`name` is what SAM2_MODEL gets; `reason` says why it is the demo model although another was possible."""

    name: str
    downloaded: bool = False
    reason: str | None = None


def choose_model(host: Host, settings: Settings, sam2_image: str, state_folder: str, report: Report) -> ModelChoice:
    """Settle `auto`, and bring the checkpoint where it is needed.

    Raises:
        LabelrigError: the checkpoint cannot be had; says why. What was downloaded so far is kept for the next run.
    """
    if settings.model == "demo":
        return ModelChoice("demo")
    bundle = _ca_bundle(host)
    values = {
        "LABELRIG_SAM2_IMAGE": sam2_image,
        UID: str(settings.uid),
        "LABELRIG_CA_IN_CONTAINER": CA_IN_CONTAINER if bundle else "",
    }
    env_file, fetch_file = f"{state_folder}/fetch.env", f"{state_folder}/{FETCH_FILE.name}"
    _place(host, env_file, "".join(f"{name}='{value}'\n" for name, value in values.items()).encode())
    _place(host, fetch_file, FETCH_FILE.read_bytes())
    compose = Compose(host, settings.project, [fetch_file], env_file)
    mount = ("--volume", f"{bundle}:{CA_IN_CONTAINER}:ro") if bundle else ()
    # Its login must not show in the process list, nor in the container's description.
    source = ("--base-url", "-") if settings.checkpoint_url else ()
    result = compose.run(
        *("run", "--rm", "--no-TTY", "--quiet-pull", *mount, "fetch"),
        *(settings.model, "--dir", "/models", *source),
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
        return ModelChoice(str(answer["model"]), bool(answer.get("downloaded")), answer.get("reason"))
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


def _ca_bundle(host: Host) -> str | None:
    for path in (environment_of(host).get("SSL_CERT_FILE"), *CA_BUNDLES):
        if path and host.read(path):
            return path
    return None


def _place(host: Host, path: str, content: bytes) -> None:
    as_root = not host.is_local
    if host.read(path, as_root=as_root) != content:
        host.write(path, content, 0o600, as_root=as_root)
