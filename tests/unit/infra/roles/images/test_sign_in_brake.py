"""Wrong passwords are slowed down: who waits, how long, and that nobody is shut out for good."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.infra.roles.images.server_modules import loaded

ANA, HOME = "ana@lab.example", "10.0.0.5"


@pytest.fixture(scope="module")
def module() -> Iterator[ModuleType]:
    with loaded("labelrig_brake") as module:
        yield module


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def test_five_are_free_then_each_costs_twice_as_much(module: ModuleType, clock: Clock, tmp_path: Path) -> None:
    brake = module.Brake(str(tmp_path / "tries"))
    assert [brake.begin(ANA, HOME) for _ in range(5)] == [0.0] * 5
    for pause in (5.0, 10.0, 20.0, 40.0):
        assert brake.begin(ANA, HOME) == pause
        clock.now += pause - 1
        assert brake.begin(ANA, HOME) == 1.0  # asking does not make it longer
        clock.now += 1
        assert brake.begin(ANA, HOME) == 0.0
    clock.now += 3600
    for _ in range(20):
        brake.begin(ANA, HOME)
        clock.now += 900
    brake.begin(ANA, HOME)
    assert brake.begin(ANA, HOME) == 900.0


def test_right_password_forgets(module: ModuleType, clock: Clock, tmp_path: Path) -> None:
    brake = module.Brake(str(tmp_path / "tries"))
    for _ in range(5):
        brake.begin(ANA, HOME)
    clock.now += 5
    assert brake.begin(ANA, HOME) == 0.0
    brake.succeeded(ANA, HOME)
    assert [brake.begin(ANA, HOME) for _ in range(5)] == [0.0] * 5


def test_others_are_not_held_up(module: ModuleType, clock: Clock, tmp_path: Path) -> None:
    """Another account from there, and the same from elsewhere: behind one address there are many people."""
    brake = module.Brake(str(tmp_path / "tries"))
    for _ in range(6):
        brake.begin(ANA.upper() + " ", HOME)
    assert brake.begin(ANA, HOME) > 0
    assert brake.begin("jorge@lab.example", HOME) == 0.0
    assert brake.begin(ANA, "10.0.0.6") == 0.0


def test_many_addresses_together_wait_a_minute_at_most(module: ModuleType, clock: Clock, tmp_path: Path) -> None:
    brake = module.Brake(str(tmp_path / "tries"))
    waits = []
    for number in range(80):
        wait = brake.begin(ANA, f"10.0.1.{number}")
        waits.append(wait)
        clock.now += wait
        if wait:
            brake.begin(ANA, f"10.0.1.{number}")
    assert waits[:50] == [0.0] * 50
    assert waits[50] == 5.0
    assert max(waits) == 60.0


def test_attempts_at_once_gain_nothing(module: ModuleType, tmp_path: Path) -> None:
    """Each counts from its begin: of forty at the same moment five are tried."""
    brake = module.Brake(str(tmp_path / "tries"))
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: brake.begin(ANA, HOME), range(40)))
    assert answers.count(0.0) == 5


def test_file_stays_small(module: ModuleType, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 20)
    brake = module.Brake(str(tmp_path / "tries"))
    for number in range(50):
        clock.now += 1
        brake.begin(f"{number}@lab.example", HOME)
    with brake._writing() as database:
        assert database.execute("SELECT count(*) FROM tries").fetchone() == (20,)
    clock.now += 25 * 3600
    brake.begin(ANA, HOME)
    with brake._writing() as database:
        assert database.execute("SELECT count(*) FROM tries").fetchone() == (2,)
