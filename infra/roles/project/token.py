"""The personal access token that labelrig works with: made once, kept in `.env`, checked on every run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import PurePosixPath

from core.operation import Change, Operation
from core.report import Report
from hosts.base import Exec, Host
from infra.config.dotenv import update_env_file
from labelstudio.access import Access
from labelstudio.password_record import PasswordRecord
from labelstudio.session import (
    Session,
    SignInRefused,
    reset_password,
    sign_in,
    token_works,
)

KEY = "LABEL_STUDIO_API_KEY"


@dataclass(frozen=True)
class ApiKeyPresent(Operation):
    """A token that Label Studio accepts stands in `.env`.

    A stored token that works is not replaced: a password that was changed in the browser is left alone. When
    the token is lost and the password in `.env` does not sign in either, the database is older than `.env` (or the
    password was changed), and the password in `.env` is set in the database.
    """

    access: Access
    host: Host
    env_file: str
    exec_in_label_studio: Exec
    record: PasswordRecord
    report: Report

    @property
    def name(self) -> str:
        return f"personal access token in {self._file}"

    @property
    def _file(self) -> str:
        return PurePosixPath(self.env_file).name

    def plan(self) -> Sequence[Change]:
        access = self.access
        if access.api_key is not None and token_works(access.base_url, access.api_key, access.transport):
            return []
        why = "none is stored" if access.api_key is None else "the stored one is not accepted"
        return [
            Change(
                f"make a personal access token for {access.username} and write it to {self._file} ({why})", self._make
            )
        ]

    def _session(self) -> AbstractContextManager[Session]:
        access = self.access
        return sign_in(access.base_url, access.username, access.password, access.transport)

    def _make(self) -> None:
        try:
            token = self._new_token()
        except SignInRefused:
            self.report.changing(
                f"set the password of {self.access.username} in Label Studio to the one in {self._file} "
                "(Label Studio's database has another one)"
            )
            reset_password(self.exec_in_label_studio, self.access.username, self.access.password)
            token = self._new_token()
        # To .env first: a token that was not kept cannot be read again.
        update_env_file(self.host, self.env_file, {KEY: token})
        self.record.write(self.access.username, self.access.password)  # with which it was just made
        self.access.use(token)

    def _new_token(self) -> str:
        with self._session() as session:
            return session.make_token()
