"""Which replica a key belongs to, and who takes its place."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from backend.cluster.hosts import Hosts
from backend.cluster.placing import FORGOTTEN_SECONDS, IN_USE_SECONDS, KEPT_SECONDS, Placement, untried_first

NAMES = ("a/0", "a/1", "b/0", "b/1")
KEYS = [f"images-{number}" for number in range(60)]


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def placement(names: tuple[str, ...] = NAMES, clock: Clock | None = None) -> Placement:
    made = Placement(clock or Clock())
    made.report(names)
    return made


def owners(of: Placement, keys: list[str] = KEYS) -> dict[str, str]:
    return {key: of.order(key)[0] for key in keys}


def test_few_keys_are_spread_within_two_times() -> None:
    """By chance alone one of four draws of 60 keys would not be; here none of 200 is not."""
    for draw in range(200):
        counts = Counter(owners(placement(), [f"{draw} {key}" for key in KEYS]).values())
        assert len(counts) == 4
        assert max(counts.values()) <= 2 * min(counts.values()), (draw, counts)


def test_order_has_all_replicas_and_stays() -> None:
    made = placement()
    first = {key: made.order(key) for key in KEYS}
    assert all(sorted(order) == sorted(NAMES) for order in first.values())
    assert {key: made.order(key) for key in KEYS} == first
    assert len({order[1] for order in first.values()}) == 4  # a replica's keys do not all go to one other


def test_full_replicas_come_after_those_that_are_not() -> None:
    """But before one that does not answer; a key that is moved past one stays its own."""
    made = placement()
    first, second, third, fourth = made.order("images-1")
    assert made.order("images-1", {first, third}) == (second, fourth, first, third)
    assert made.order("images-1") == (first, second, third, fourth)
    made.report(name for name in NAMES if name != fourth)
    assert made.order("images-1", {first}) == (second, third, first, fourth)
    assert made.order(first, {first}) == (first,)


def test_unknown_replicas_have_no_order() -> None:
    assert Placement().order("images-1") == ()


def test_keys_of_a_silent_replica_alone_move_and_come_back() -> None:
    made = placement()
    before = owners(made)
    made.report(name for name in NAMES if name != "a/1")
    during = owners(made)
    assert {key for key in KEYS if during[key] != before[key]} == {key for key in KEYS if before[key] == "a/1"}
    assert "a/1" in made.order(KEYS[0])  # asked last: it may only be slow
    made.report(NAMES)
    assert owners(made) == before


def test_keys_of_a_forgotten_replica_are_spread_over_the_others() -> None:
    clock = Clock()
    made = placement(clock=clock)
    before = owners(made)
    for _ in range(4):
        clock.now += FORGOTTEN_SECONDS / 3
        made.report(NAMES[:3])
        after = owners(made)
    assert "b/1" not in made.order(KEYS[0])
    assert all(after[key] == before[key] for key in KEYS if before[key] != "b/1")
    assert max(Counter(after.values()).values()) <= 23


def test_new_replica_gets_what_is_opened_from_now_on() -> None:
    clock = Clock()
    made = placement(NAMES[:3], clock)
    before = owners(made)
    made.report(NAMES)
    assert owners(made) == before
    more = Counter(owners(made, [f"new-{number}" for number in range(15)]).values())
    assert more["b/1"] >= 10
    clock.now += KEPT_SECONDS + 1  # and of those that are not used any more its share
    assert 12 <= Counter(owners(made).values())["b/1"] <= 18


def test_keys_that_nobody_uses_any_more_do_not_count() -> None:
    """A replica that comes new does not get all that is opened: the others have as little to do by then."""
    clock = Clock()
    made = placement(NAMES[:1], clock)
    owners(made)
    made.report(NAMES[:2])
    clock.now += IN_USE_SECONDS + 1
    counts = Counter(owners(made, [f"new-{number}" for number in range(20)]).values())
    assert set(counts) == {"a/0", "a/1"}
    assert max(counts.values()) <= 11
    assert owners(made) == dict.fromkeys(KEYS, "a/0")


def test_replicas_of_a_drained_host_are_not_in_the_order(tmp_path: Path) -> None:
    made = placement()
    before = owners(made)
    hosts = Hosts(made, tmp_path / "drained.json")
    hosts.drain("b")
    assert all(set(made.order(key)) == {"a/0", "a/1"} for key in KEYS)
    assert all(made.order(key)[0] == before[key] for key in KEYS if before[key].startswith("a/"))
    hosts.resume("b")
    assert owners(made) == before


def test_drained_hosts_outlive_the_ingress(tmp_path: Path) -> None:
    Hosts(placement(), tmp_path / "drained.json").drain("b")
    again = placement()
    hosts = Hosts(again, tmp_path / "drained.json")
    assert hosts.drained == {"b"}
    assert set(again.order("images-1")) == {"a/0", "a/1"}
    assert hosts.requests_at("b") == 0
    hosts.resume("b")
    assert not Hosts(placement(), tmp_path / "drained.json").drained
    (tmp_path / "drained.json").write_text("{broken")
    assert not Hosts(placement(), tmp_path / "drained.json").drained


def test_requests_of_before_the_drain_may_be_at_the_host() -> None:
    hosts = Hosts(placement(), None)
    with hosts.work() as early, hosts.work() as elsewhere:
        elsewhere.host = "a"  # it has begun to answer
        hosts.drain("b")
        with hosts.work():
            assert (hosts.requests_at("a"), hosts.requests_at("b")) == (1, 1)
            early.host = "b"
            assert hosts.requests_at("b") == 1
    assert hosts.requests_at("b") == 0


def test_repeated_request_goes_to_another_host() -> None:
    assert untried_first(("a/1", "a/0", "b/0", "c/0"), {"a"}) == ("b/0", "c/0", "a/1", "a/0")
    assert untried_first((), {"a"}) == ()
