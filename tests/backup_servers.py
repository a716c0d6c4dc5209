"""Servers that keep backups, each with one login: restic's own protocol by rclone, S3 by moto. On one address alone."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import httpx

from infra.dev.environment import s3_server_folder
from tests.machine import free_port
from tests.programs import need_program

START_SECONDS = 120
STOP_SECONDS = 20
USER = "backup"
MAY_DO_ALL = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
# moto lets so many requests through as they are, by which the login is made; from then on it checks signatures.
SETUP_REQUESTS = 3
SETUP = "AWS4-HMAC-SHA256 Credential=x/20200101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0"


class BackupServer(ABC):
    """One that runs while the context lasts.

    Attributes:
        repository: as `backup_repository` names it.
        lines: of `backup_environment_file`.
        wrong_lines: the same with another password.
        refusal: words of its own, with which it turns those away.
        secret: the password, which belongs nowhere else.
        address: of this machine, at which it listens.
    """

    address = "127.0.0.1"

    repository: str
    lines: str
    wrong_lines: str
    refusal: str
    secret: str

    def __init__(self, folder: Path) -> None:
        """Args: folder: an empty one of the test."""
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> BackupServer:
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                env=os.environ | self._variables(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while not self._listens():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.1)
        self._made()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it; what it keeps stays."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(STOP_SECONDS)

    def shows_secret(self, text: str) -> bool:
        """Whether a text has the password, as it is or as a part of an address."""
        return any(word in text for word in (self.secret, quote(self.secret, safe="")))

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.address, self.port)) == 0

    def _variables(self) -> dict[str, str]:
        return {}

    def _made(self) -> None:  # noqa: B027 - most need nothing
        """What is done once it listens."""

    @abstractmethod
    def _command(self) -> Sequence[str]: ...


class RestServer(BackupServer):
    """`rclone serve restic`, which speaks the protocol of restic's own server."""

    refusal = "401 Unauthorized"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.secret = "zebra/striped+100%"
        self.repository = f"rest:http://127.0.0.1:{self.port}/lab"
        self.lines = self._address(self.secret)
        self.wrong_lines = self._address("another")
        self._program = need_program("rclone")

    def _address(self, password: str) -> str:
        return f"RESTIC_REPOSITORY=rest:http://{USER}:{quote(password, safe='')}@127.0.0.1:{self.port}/lab\n"

    def _command(self) -> Sequence[str]:
        digest = base64.b64encode(hashlib.sha1(self.secret.encode()).digest()).decode()  # noqa: S324 - of htpasswd
        (self.folder / "htpasswd").write_text(f"{USER}:{{SHA}}{digest}\n")
        (self.folder / "kept").mkdir()
        (self.folder / "rclone.conf").touch()
        options = ("--config", str(self.folder / "rclone.conf"), "--htpasswd", str(self.folder / "htpasswd"))
        return (self._program, "serve", "restic", "--addr", f"127.0.0.1:{self.port}", *options, f"{self.folder}/kept")


class S3Server(BackupServer):
    """moto's server, which reads the signature of each request."""

    refusal = "signature"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.repository = f"s3:http://127.0.0.1:{self.port}/bucket/lab"

    def _command(self) -> Sequence[str]:
        return (sys.executable, "-m", "moto.server", "-H", self.address, "-p", str(self.port))

    def _variables(self) -> dict[str, str]:
        return {"INITIAL_NO_AUTH_ACTION_COUNT": str(SETUP_REQUESTS), "PYTHONPATH": str(s3_server_folder())}

    def _made(self) -> None:
        """A user, who may use S3, and the user's key."""
        self._ask(Action="CreateUser")
        key = self._ask(Action="CreateAccessKey")
        self._ask(Action="PutUserPolicy", PolicyName="all", PolicyDocument=MAY_DO_ALL)
        name, self.secret = (re.findall(f"<{tag}>(.*?)</{tag}>", key)[0] for tag in ("AccessKeyId", "SecretAccessKey"))
        self.lines = f"AWS_ACCESS_KEY_ID={name}\nAWS_SECRET_ACCESS_KEY={self.secret}\n"
        self.wrong_lines = f"AWS_ACCESS_KEY_ID={name}\nAWS_SECRET_ACCESS_KEY=another\n"

    def _ask(self, **words: str) -> str:
        form = {"Version": "2010-05-08", "UserName": USER, **words}
        answer = httpx.post(
            f"http://{self.address}:{self.port}/",
            data=form,
            headers={"Authorization": SETUP},
            timeout=60,
            trust_env=False,
        )
        return answer.raise_for_status().text


KINDS: dict[str, type[BackupServer]] = {"rest": RestServer, "s3": S3Server}
