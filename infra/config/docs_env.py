"""What each name in `.env` is for. A test compares it with `Settings`, so that none is forgotten."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EnvName:
    """One name in `.env`: its kind in words, and one or two sentences, the first of which can stand alone."""

    kind: str
    text: str
    secret: bool = False


ENV_NAMES = {
    "LABELRIG_PROJECT": EnvName(
        "name",
        "Name of the stack on this machine: its compose project, volumes and images. Two stacks on one machine need "
        "two names, two ports and two subnets.",
    ),
    "LABELRIG_DATA": EnvName(
        "path of a folder",
        "Folder with your images, mounted read-only in both containers. Without it, a dozen demo images are drawn; "
        "`./inv up --data FOLDER` writes this line.",
    ),
    "LABELRIG_MODEL": EnvName(
        "auto, demo, tiny, small, base-plus or large",
        "Which SAM 2.1 answers. `auto` takes a real one if its weights can be had, else the demo model, which only "
        "knows drawn shapes.",
    ),
    "LABELRIG_DATABASE": EnvName(
        "sqlite or postgres",
        "Where Label Studio keeps its data. SQLite locks up when several people work at once; it is for trying.",
    ),
    "LABELRIG_GPU": EnvName(
        "auto, require or off",
        "What to do about an NVIDIA GPU. `auto` uses one if it is there, `require` fails without one, `off` stays on "
        "the CPU.",
    ),
    "LABELRIG_COMPANION": EnvName(
        "on or off",
        "Whether labelrig's own script runs in Label Studio's pages: state and errors of SAM2 in words, keys to accept "
        "and reject, a brush that asks SAM2. `off` leaves the pages as Label Studio makes them.",
    ),
    "LABELRIG_SUBNET": EnvName(
        "private IPv4 network, /16 to /28",
        "The containers' private network. Change it when it overlaps a network of your lab; preflight tells.",
    ),
    "LABELRIG_LISTEN": EnvName(
        "IPv4 address",
        "Address of this machine where Label Studio is published. 127.0.0.1 keeps it to this machine; any other is "
        "open to that network, without TLS and past ufw.",
    ),
    "LABELRIG_CHECKPOINT_URL": EnvName(
        "http or https address",
        "Where the weights are downloaded from, if not from Meta's own address. A mirror inside the lab saves the way "
        "out.",
    ),
    "LABELRIG_ENV_FILE": EnvName(
        "path of a file",
        "Another file instead of `.env`, for a second stack from one clone. It stands in the environment, not in a "
        "file.",
    ),
    "LABEL_STUDIO_PORT": EnvName("whole number, 1 to 65535", "Port of this machine where Label Studio is published."),
    "LABEL_STUDIO_USERNAME": EnvName("e-mail address", "Login of the first user, made on the first start."),
    "LABEL_STUDIO_PASSWORD": EnvName(
        "text, 8 characters or more",
        "Password of the first user. Made on the first run when missing.",
        secret=True,
    ),
    "LABEL_STUDIO_SECRET_KEY": EnvName(
        "text, 8 characters or more",
        "Signs Label Studio's sessions and tokens. Made on the first run when missing; never change it.",
        secret=True,
    ),
    "LABEL_STUDIO_API_KEY": EnvName(
        "personal access token",
        "The first user's token, with which labelrig and the backend speak to Label Studio. Made on the first run.",
        secret=True,
    ),
    "LABELRIG_POSTGRES_PASSWORD": EnvName(
        "text, 8 characters or more",
        "Password of the PostgreSQL database. Made on the first run that needs it; Label Studio alone uses it.",
        secret=True,
    ),
    "LABELRIG_SSH_PASSWORD": EnvName(
        "text",
        "Password for the SSH login on a host that takes no keys. A key is safer; this is tried when no key fits.",
        secret=True,
    ),
    "LABELRIG_SSH_PASSPHRASE": EnvName(
        "text",
        "Passphrase of an encrypted SSH key. Not needed where an SSH agent holds the key.",
        secret=True,
    ),
    "LABELRIG_SUDO_PASSWORD": EnvName(
        "text",
        "Password that sudo asks for on a host. Not needed for root, or where sudo asks for none.",
        secret=True,
    ),
}
