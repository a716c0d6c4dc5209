"""`./inv secrets.rotate` on a host with PostgreSQL: what the old values open afterwards, and a run that is killed."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass

import httpx
import pytest

from labelstudio.session import OWN_PYTHON, SignInRefused, sign_in, token_works
from tests.deploy.command import Lab
from tests.deploy.first import BASE, First, secrets_on, watched
from tests.deploy.tunnel import url_of
from tests.labhost.host import LabHost

pytestmark = pytest.mark.slow
LAB = ("--host", "lab1")
WHO = "/api/current-user/whoami"
OPENED, REFUSED = "opened", "password authentication failed"
CONNECT = (
    "import json, psycopg\n"
    "who = dict(host='db', user='labelstudio', dbname='labelstudio', connect_timeout=20)\n"
    "try:\n"
    "    psycopg.connect(**who, password=json.loads({password!r})).close()\n"
    "    print('opened')\n"
    "except psycopg.OperationalError as error:\n"
    "    print(error)\n"
)
ASK_BACKEND = (
    "import base64, json, urllib.error, urllib.request as u\n"
    "login = base64.b64encode(('any:' + json.loads({password!r})).encode()).decode()\n"
    "try:\n"
    "    print(u.urlopen(u.Request('http://sam2:9090/status', headers={{'Authorization': 'Basic ' + login}})).status)\n"
    "except urllib.error.HTTPError as error:\n"
    "    print(error.code)\n"
)


@dataclass(frozen=True)
class Old:
    """What opened the stack before a rotation."""

    values: dict[str, str]
    cookies: httpx.Cookies


def in_label_studio(host: LabHost, script: str, password: str) -> str:
    """What a Python script says in the container; the password is part of its input and of no argument."""
    text = script.format(password=json.dumps(password))
    container = ("docker", "exec", "--interactive", "labelrig-label-studio-1")
    return host.exec(*container, *OWN_PYTHON, stdin=text).stdout.strip()


def opens_database(host: LabHost, password: str) -> bool:
    """Whether PostgreSQL takes the password; anything but a yes or a no is a failure."""
    said = in_label_studio(host, CONNECT, password)
    assert said == OPENED or REFUSED in said, said
    return said == OPENED


def backend_answers(host: LabHost, password: str) -> str:
    return in_label_studio(host, ASK_BACKEND, password)


def signed_in(lab: Lab) -> Old:
    values = secrets_on(lab.hosts["lab1"])
    with url_of(lab) as url, sign_in(url, "admin@labelrig.local", values["LABEL_STUDIO_PASSWORD"]) as session:
        assert session.http.get(WHO).status_code == 200
        return Old(values, session.http.cookies)


def test_all_secrets_are_made_anew_and_the_old_open_nothing(first: First, lab: Lab) -> None:
    host = lab.hosts["lab1"]
    old = signed_in(lab)
    assert opens_database(host, old.values["LABELRIG_POSTGRES_PASSWORD"])
    with watched(host) as watch:
        done = lab.inv("secrets.rotate", "--secret", "all", *LAB, "--yes", "--json")
    assert done.code == 0, done.said
    new = secrets_on(host)
    assert all(new[name] != value for name, value in old.values.items())
    assert opens_database(host, new["LABELRIG_POSTGRES_PASSWORD"])
    assert not opens_database(host, old.values["LABELRIG_POSTGRES_PASSWORD"])
    assert backend_answers(host, new["LABELRIG_BACKEND_PASSWORD"]) == "200"
    assert backend_answers(host, old.values["LABELRIG_BACKEND_PASSWORD"]) == "401"
    with url_of(lab) as url:
        assert not token_works(url, old.values["LABEL_STUDIO_API_KEY"])
        assert token_works(url, new["LABEL_STUDIO_API_KEY"])
        assert httpx.get(f"{url}{WHO}", cookies=old.cookies).status_code == 401
        with sign_in(url, "admin@labelrig.local", new["LABEL_STUDIO_PASSWORD"]):
            pass
        with pytest.raises(SignInRefused), sign_in(url, "admin@labelrig.local", old.values["LABEL_STUDIO_PASSWORD"]):
            pass
    lines = "\n".join(watch.lines) + done.said + host.exec("cat", f"{BASE}/audit.jsonl").stdout
    for value in (*old.values.values(), *new.values()):
        assert value not in lines
    assert watch.rounds > 10
    kept = host.exec("sh", "-c", f"cat {BASE}/releases/*/stack.env").stdout
    assert not any(value in kept for value in old.values.values())
    assert lab.inv("doctor", *LAB).code == 0
    again = lab.inv("deploy", *LAB, "--yes", "--json")
    assert (again.code, again.changed()) == (0, []), again.said


@pytest.mark.parametrize("stage", ["values", "stack", "accounts and tokens"])
def test_a_rotation_that_was_killed_is_completed(first: First, lab: Lab, stage: str) -> None:
    """In each of its stages, at a moment of chance; the next one finds what is half done."""
    host, old = lab.hosts["lab1"], signed_in(lab)
    process = lab.start("secrets.rotate", "--secret", "all", *LAB, "--yes")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(f"▸ {stage}"):
            break
    else:
        raise AssertionError(f"{stage} did not begin: {process.communicate()[0]}")
    time.sleep(secrets.randbelow(2000) / 1000)
    process.kill()
    process.communicate()
    done = lab.inv("secrets.rotate", "--secret", "token", *LAB, "--yes", "--json", "--lock-wait", "10m")
    assert done.code == 0, done.said
    assert "was cut off" in done.said
    new = secrets_on(host)
    assert all(new[name] != value for name, value in old.values.items())
    assert opens_database(host, new["LABELRIG_POSTGRES_PASSWORD"])
    assert not opens_database(host, old.values["LABELRIG_POSTGRES_PASSWORD"])
    assert lab.inv("doctor", *LAB).code == 0
