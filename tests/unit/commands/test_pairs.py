"""`./inv pairs.transfer`: its exit code says whether anything was carried over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

import commands.pairs
from dataset.transfer.regions import ImageTransfer, Transfer
from tests.unit.dataset.transfer.drawn import alignment

DONE, LEFT = ImageTransfer("a"), ImageTransfer("b", reason="the registration refused its pair")


@pytest.mark.parametrize(
    ("found", "fails"),
    [
        (Transfer([LEFT]), True),
        (Transfer([DONE, LEFT]), False),
        (Transfer([LEFT], before=1), False),
        (Transfer([]), False),
        (Transfer([DONE], problems=["region x cannot be read"]), True),
    ],
)
def test_a_transfer_of_nothing_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: Transfer, fails: bool
) -> None:
    """As with files, where it is an error: a script must not take it for done."""

    @contextmanager
    def session(*_: Any) -> Iterator[Any]:
        access = SimpleNamespace(client=lambda: None)
        site = SimpleNamespace(exec_in=lambda _: None, exec_in_backend=None)
        yield SimpleNamespace(access=access, site=site, project=lambda _: None)

    monkeypatch.setattr("infra.fleet.on_hosts.one_session", session)
    monkeypatch.setattr("dataset.transfer.command.run_in_label_studio", lambda *_: found)
    file = str(alignment(tmp_path / "alignment.yaml"))
    ends: AbstractContextManager[Any] = pytest.raises(Exit) if fails else nullcontext()
    with ends as ended:
        commands.pairs.transfer.body(Context(), [], [], alignment=file)
    assert ended is None or ended.value.code == 1
