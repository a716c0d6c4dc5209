"""The accounts of people: what is made, said and asked, and where a password goes and where it does not."""

from __future__ import annotations

import json
import re
import stat
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConnectionLost, LabelStudioError, SettingsError
from infra.fleet.choice import Choice, Outcome
from infra.people import command as module
from infra.people.command import add_account, add_members, list_accounts, members, remove_account, reset_account
from infra.people.handover import Handover
from infra.stack.site import Site
from labelstudio.people import address, full_name, new_password
from tests.unit.infra.deploy_bench import options
from tests.unit.infra.services.services_bench import ServicesBench, make_bench
from tests.unit.labelstudio.inside_fake import InsideFake

ANA = "ana@lab.example"
PASSWORD = re.compile(r"(?:[a-hjkmnp-z2-9]{4}-){3}[a-hjkmnp-z2-9]{4}")


class Accounts:
    """Label Studio's accounts in memory, as the program inside the container answers."""

    def __init__(self) -> None:
        self.people: dict[str, dict[str, Any]] = {}
        self.passwords: dict[str, str] = {}
        self.inside = InsideFake({"people": self._answer})

    def person(self, email: str, **facts: object) -> dict[str, Any]:
        plain = {"name": "", "active": True, "last_sign_in": None, "annotations": 0, "projects": 0, "drafts": 0}
        return self.people.setdefault(email, {"email": email, **plain, **facts})

    def _answer(self, asked: dict[str, Any]) -> object:
        if asked["do"] == "list":
            return {"people": list(self.people.values())}
        email = asked["email"]
        if "password" in asked:
            self.passwords[email] = asked["password"]
        back = email in self.people
        person = self.person(email)
        person["active"] = asked["do"] != "remove"
        return {"person": person, "back": back}


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> Accounts:
    one = Accounts()
    monkeypatch.setattr(Site, "exec_in", lambda _site, service: {"label-studio": one.inside}[service])
    return one


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServicesBench:
    return make_bench(tmp_path, monkeypatch)


@pytest.fixture
def choice(bench: ServicesBench) -> Choice:
    return bench.choice


def in_json(outcome: Outcome) -> Any:
    (host,) = json.loads(outcome.shown(json=True, junit=None))["hosts"]
    return host


def test_a_password_is_shown_once_and_kept_nowhere(
    choice: Choice, accounts: Accounts, bench: ServicesBench, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = add_account(choice, options("user.add"), ANA, "Ana López", Handover(None, terminal=True))
    password = accounts.passwords[ANA]
    assert PASSWORD.fullmatch(password)
    assert outcome.text == (
        f"{ANA}: password {password} (not kept, not shown again); sign in at `./inv tunnel --host gpu01`"
    )
    assert password not in json.dumps(in_json(outcome))
    assert password not in capsys.readouterr().err
    assert password not in (bench.base / "audit.jsonl").read_text()
    assert accounts.inside.asked[-1][1]["name"] == "Ana López"
    assert in_json(outcome)["changed"] == 1


def test_without_a_terminal_it_goes_into_a_private_file(choice: Choice, accounts: Accounts, tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    with pytest.raises(SettingsError, match=r"shown on a terminal only.*--password-file FILE.*Nothing was changed$"):
        Handover(None, terminal=False)
    outcome = add_account(choice, options("user.add"), ANA, "", Handover(file, terminal=False))
    assert file.read_text() == f"{ANA} {accounts.passwords[ANA]}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert outcome.text.startswith(f"{ANA}: password in {file}; sign in at ")
    with pytest.raises(SettingsError, match="is there already; nothing was changed"):
        reset_account(choice, options("user.reset"), ANA, Handover(file, terminal=False))
    with pytest.raises(SettingsError, match="cannot be made: No such file or directory; nothing was changed"):
        reset_account(choice, options("user.reset"), ANA, Handover(tmp_path / "no" / "x", terminal=False))
    assert len(accounts.inside.asked) == 1


def test_a_refused_account_leaves_no_password(choice: Choice, accounts: Accounts, tmp_path: Path) -> None:
    accounts.inside.refusal = f"{ANA} has an account; `./inv user.reset {ANA}` gives it another password"
    file = tmp_path / "passwords"
    outcome = add_account(choice, options("user.add"), ANA, "", Handover(file, terminal=False))
    assert outcome.exit_code == LabelStudioError.exit_code
    assert outcome.results[0].error == f"Label Studio cannot make an account for {ANA}: {accounts.inside.refusal}"
    assert not file.exists()


class Breaks:
    """Answers as the accounts do, and fails once it has done its work for one address."""

    def __init__(self, accounts: Accounts, email: str, error: BaseException) -> None:
        self._accounts, self._email, self._error = accounts, email, error

    def __call__(self, asked: dict[str, Any]) -> object:
        told = self._accounts._answer(asked)
        if asked.get("email") == self._email:
            raise self._error
        return told


LOST = ConnectionLost("gpu01: the connection was lost")
UNKNOWN = "; it is not known whether it was set, as the work was cut off; sign in with it, or make another one"


@pytest.mark.parametrize("where", ["gpu01", "here"])
def test_what_was_made_is_shown_though_a_later_one_fails(
    bench: ServicesBench,
    accounts: Accounts,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
) -> None:
    """The third of four accounts is cut off: the first two passwords are set and stand nowhere else."""
    names = [ANA, "eva@lab.example", "luis@lab.example", "pia@lab.example"]
    monkeypatch.setattr(module, "members", lambda: names)
    accounts.inside.modules["people"] = Breaks(accounts, "luis@lab.example", LOST)
    handover = Handover(None, terminal=True)
    if where == "here":
        monkeypatch.setattr(module, "_inside", lambda _one: accounts.inside)
        with pytest.raises(ConnectionLost):
            add_members(Choice(), options("user.add"), handover)
        text = capsys.readouterr().out
    else:
        outcome = add_members(bench.choice, options("user.add"), handover)
        assert outcome.exit_code == ConnectionLost.exit_code
        text = outcome.text
    shown = [line.partition(";")[0] for line in text.splitlines() if PASSWORD.search(line)]
    assert shown == [f"{one}: password {accounts.passwords[one]} (not kept, not shown again)" for one in names[:3]]
    assert f"again){UNKNOWN} (`./inv user.reset luis@lab.example`)" in text


@pytest.mark.parametrize("error", [LOST, KeyboardInterrupt()])
def test_a_password_that_may_be_set_stays_in_the_file(
    choice: Choice, accounts: Accounts, tmp_path: Path, error: BaseException
) -> None:
    accounts.person(ANA)
    accounts.inside.modules["people"] = Breaks(accounts, ANA, error)
    file = tmp_path / "passwords"
    stopped = pytest.raises(KeyboardInterrupt) if isinstance(error, KeyboardInterrupt) else nullcontext()
    with stopped:
        reset_account(choice, options("user.reset"), ANA, Handover(file, terminal=False))
    assert file.read_text() == f"{ANA} {accounts.passwords[ANA]}\n"


def test_a_container_that_was_stopped_refused_nothing(choice: Choice, accounts: Accounts, tmp_path: Path) -> None:
    """It may have been stopped after the account was made."""
    accounts.inside.exit_code = 137
    file = tmp_path / "passwords"
    outcome = add_account(choice, options("user.add"), ANA, "", Handover(file, terminal=False))
    assert outcome.exit_code == LabelStudioError.exit_code
    assert file.read_text() == f"{ANA} {accounts.passwords[ANA]}\n"


def test_a_removed_account_comes_back_with_its_work(choice: Choice, accounts: Accounts) -> None:
    accounts.person(ANA, active=False, annotations=12, projects=2, drafts=1)
    outcome = add_account(choice, options("user.add"), ANA, "", Handover(None, terminal=True))
    assert outcome.text.endswith("; 12 annotations in 2 projects and 1 draft are theirs as before")
    assert in_json(outcome)["stages"][0]["changed"] == [f"let {ANA} in again"]


def test_members_without_an_account_get_one(
    choice: Choice, accounts: Accounts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "members", lambda: [ANA, "luis@lab.example", "eva@lab.example"])
    accounts.person(ANA)
    accounts.person("eva@lab.example", active=False)
    file = tmp_path / "passwords"
    outcome = add_members(choice, options("user.add"), Handover(file, terminal=False))
    assert [line.split(":")[0] for line in outcome.text.splitlines()] == ["luis@lab.example"]
    assert in_json(outcome)["notices"] == ["eva@lab.example: removed, and left so; `./inv user.add` lets one in again"]
    assert file.read_text().splitlines() == [f"{one} {accounts.passwords[one]}" for one in accounts.passwords]
    again = add_members(choice, options("user.add"), Handover(None, terminal=True))
    assert (again.text, in_json(again)["changed"]) == ("every member has an account", 0)


def test_members_are_those_of_all_projects(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "labeling_configs"
    folder.mkdir()
    part = "{title: Cars, config: cars, version: 1, members: [Ana@lab.example, luis@lab.example]}"
    other = "{title: Dogs, config: dogs, version: 1, members: [ana@lab.example]}"
    (folder / "projects.yaml").write_text(f"projects: {{cars: {part}, dogs: {other}}}\n")
    monkeypatch.setattr(module, "REPOSITORY", tmp_path)
    assert members() == [ANA, "luis@lab.example"]


def test_reset_makes_another_password(choice: Choice, accounts: Accounts) -> None:
    accounts.person(ANA)
    outcome = reset_account(choice, options("user.reset"), ANA, Handover(None, terminal=True))
    shown = f"password {accounts.passwords[ANA]} (not kept, not shown again)"
    assert outcome.text == f"{ANA}: {shown}; sessions and tokens from before are void"


class No(Exception):
    pass


def test_removal_says_what_happens_first(choice: Choice, accounts: Accounts, bench: ServicesBench) -> None:
    accounts.person(ANA, annotations=12, projects=2, drafts=1)

    def no(what: str) -> None:
        assert what == (
            f"This ends the sign-in of {ANA} on gpu01, with its sessions and tokens. Nothing that was drawn is "
            "deleted: 12 annotations in 2 projects and 1 draft stay under that name, in Label Studio and in exports. "
            f"`./inv user.add {ANA}` lets the person in again."
        )
        raise No

    with pytest.raises(No):
        remove_account(choice, options("user.remove"), ANA, confirm=no)
    assert not (bench.base / "audit.jsonl").exists()
    assert [asked["do"] for _, asked in accounts.inside.asked] == ["list"]
    outcome = remove_account(choice, options("user.remove"), ANA, confirm=None)
    assert outcome.text == (
        f"gpu01: {ANA} cannot sign in any more; 12 annotations in 2 projects and 1 draft stay under that name"
    )
    assert [json.loads(line)["result"] for line in (bench.base / "audit.jsonl").read_text().splitlines()] == [
        "began",
        "ok",
    ]


def test_an_unknown_account_is_an_error(choice: Choice, accounts: Accounts) -> None:
    with pytest.raises(SettingsError, match=rf"^there is no account {ANA}; `\./inv user.list` has all$"):
        remove_account(choice, options("user.remove"), ANA, confirm=lambda _what: None)
    assert remove_account(choice, options("user.remove"), ANA, confirm=None).exit_code == 2
    assert {asked["do"] for _, asked in accounts.inside.asked} == {"list"}


def test_the_first_account_is_labelrigs_own(choice: Choice, accounts: Accounts) -> None:
    first = "admin@labelrig.local"
    accounts.person(first)
    reset = reset_account(choice, options("user.reset"), first, Handover(None, terminal=True))
    assert reset.exit_code == 2
    assert "`./inv secrets.rotate password` gives it another password" in (reset.results[0].error or "")
    assert remove_account(choice, options("user.remove"), first, confirm=None).exit_code == 2
    assert [asked for _, asked in accounts.inside.asked] == []


def test_list_is_a_table(choice: Choice, accounts: Accounts) -> None:
    seen = "2026-11-29T08:15:30.123456+00:00"
    accounts.person(ANA, name="Ana López", last_sign_in=seen, annotations=120)
    accounts.person("luis@lab.example", active=False)
    outcome = list_accounts(choice, options("user.list"))
    assert outcome.text.splitlines() == [
        "gpu01: ",
        "e-mail                 name      last sign-in  annotations",
        "ana@lab.example   Ana López  2026-11-29 08:15          120",
        "luis@lab.example          -           removed            0",
    ]
    assert in_json(outcome)["people"][0]["email"] == ANA


@pytest.mark.parametrize(
    "text", ["", "ana", "ana@", "@lab", "a b@lab", "ana@lab'; --", "x@labelrig.invalid", "a@" + "b" * 260]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="nothing was changed"):
        address(text)


def test_names_and_addresses_are_set_right() -> None:
    assert address(" Ana.Lopez@Lab.Example ") == "ana.lopez@lab.example"
    assert full_name("  Ana   López ") == "Ana López"
    for text in ("x" * 101, "Ana\x1b[31m"):
        with pytest.raises(SettingsError, match="--name"):
            full_name(text)


def test_passwords_are_readable_and_differ() -> None:
    made = {new_password() for _ in range(200)}
    assert len(made) == 200
    assert all(PASSWORD.fullmatch(one) for one in made)
