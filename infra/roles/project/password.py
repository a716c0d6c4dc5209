"""The first user's password: one that was changed in `.env` is set in Label Studio, one of the browser stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from core.operation import Change, Operation
from core.report import Report
from hosts.base import Exec
from labelstudio.access import Access
from labelstudio.password_record import PasswordRecord
from labelstudio.session import SignInRefused, reset_password, sign_in


@dataclass(frozen=True)
class PasswordSet(Operation):
    """A password that differs from the one that was last set is set.

    Label Studio takes the password of its environment on its first start only. Without a token there is nothing to do
    here: the next operation signs in, and records with what.
    """

    access: Access
    env_file: str
    exec_in_label_studio: Exec
    record: PasswordRecord
    report: Report

    @property
    def name(self) -> str:
        return f"password of {self.access.username} as in {self._file}"

    @property
    def _file(self) -> str:
        return PurePosixPath(self.env_file).name

    def plan(self) -> Sequence[Change]:
        access = self.access
        recorded = self.record.holds(access.username, access.password)
        if recorded or (recorded is None and access.api_key is None):
            return []
        if recorded is None:
            return [Change(f"record that the password of {access.username} is the one in {self._file}", self._look)]
        return [
            Change(f"set the password of {access.username} in Label Studio to the one in {self._file}", self._set),
        ]

    def _look(self) -> None:
        try:
            self._sign_in()
        except SignInRefused:
            self.report.notice(
                f"Label Studio does not accept the password of {self.access.username} in {self._file}: it was changed "
                "in the browser, or in the file, with another user name or before labelrig kept a record of it. "
                "Nothing was changed; a password that is changed in the file from now on is set in Label Studio by the "
                "next run"
            )
        self._record()

    def _set(self) -> None:
        reset_password(self.exec_in_label_studio, self.access.username, self.access.password)
        self._sign_in()
        self._record()

    def _sign_in(self) -> None:
        access = self.access
        with sign_in(access.base_url, access.username, access.password, access.transport):
            pass

    def _record(self) -> None:
        self.record.write(self.access.username, self.access.password)
