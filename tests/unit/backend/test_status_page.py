"""The page for people."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.queue.scheduling import DEFAULT_LIMITS, Priority, QueueState, Running
from backend.serving.metrics import CacheUse
from backend.serving.recent import Percentiles, RecentClick, RecentError
from backend.serving.status_page import (
    HEADERS,
    StatusSnapshot,
    duration_text,
    milliseconds_text,
    render_status,
    resident_bytes,
    size_text,
)

AT = datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC)
HOSTILE = """<script>alert("1")</script>'&{{ 7*7 }}"""
NEW = StatusSnapshot(
    at=AT,
    version="0.1.0",
    model="tiny",
    model_version="tiny@01234567+0.1.0",
    is_demo=False,
    health="loading",
    reason=None,
    uptime_seconds=3.2,
    queue=QueueState(dict.fromkeys(Priority, 0), DEFAULT_LIMITS),
    active_clicks=0,
)
BUSY = replace(
    NEW,
    health="degraded",
    reason="the last encode failed: cuda:0 has no memory left",
    uptime_seconds=190_000.0,
    queue=QueueState(
        {Priority.CLICK: 2, Priority.OPEN: 5, Priority.BATCH: 1},
        DEFAULT_LIMITS,
        Running("encode", Priority.CLICK, 1.43),
        0.61,
    ),
    active_clicks=3,
    device="cuda:0",
    engine="torch-bfloat16",
    engine_reason="the only one for this device",
    memory_bytes=1_812_000_000,
    device_memory_bytes=900_000_000,
    caches={
        "memory": CacheUse(93, 7, 118, 1_400_000_000, 2_000_000_000),
        "disk": CacheUse(0, 0, None, 0, 20_000_000_000),
    },
    percentiles=[Percentiles("decode", 17.2, 23.9, 28), Percentiles("total", 31.0, 2443.4, 28)],
    clicks=[
        RecentClick(
            AT, "r" * 32, "17", "box, 1 point +", "Boat", (6000, 4000), {"decode": 17.0, "total": 9.94}, "disk", 200
        ),
        RecentClick(AT - timedelta(seconds=9), "s" * 32, "18", "brush", status=422),
    ],
    errors=[RecentError("ImageError", "the image b.jpg is torn", 4, AT - timedelta(hours=2), AT, "s" * 32)],
)


class Page(HTMLParser):
    """Tags and visible text; fails on tags that are not closed in order."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def test_page_of_a_backend_that_works() -> None:
    text = Page(render_status(BUSY)).text
    for said in (
        "SAM2 backend degraded tiny on cuda:0",
        "2026-03-01 12:00:07 UTC, renewed every 5 s",
        "the last encode failed: cuda:0 has no memory left",
        "Version tiny@01234567+0.1.0 Device cuda:0 Engine torch-bfloat16 the only one for this device",
        "Running for 2 d 4 h Memory 1.8 GB, 900.0 MB on the device",
        "Runs now encode (click) for 1.4 s Active clicks 3",
        "Wait: click 2 of at most 64 Wait: open 5 of at most 32 Wait: batch 1 of at most 64 Longest wait 0.6 s",
        "decode 17 24 28 total 31 2 443 28",
        "memory 118 1.4 GB of 2.0 GB 93 7 93 %",
        "disk – 0 bytes of 20.0 GB 0 0 –",
        f"2026-03-01 12:00:07 4 ImageError the image b.jpg is torn {'s' * 32}",
        f"12:00:07 17 box, 1 point + Boat 6000×4000 disk 17 9.9 200 {'r' * 32}",
        f"11:59:58 18 brush – – – – – 422 {'s' * 32}",
    ):
        assert said in text


def test_page_before_anything_happened() -> None:
    text = Page(render_status(NEW)).text
    assert "loading" in text
    assert "Device not known yet Engine not known yet" in text
    assert "Runs now nothing" in text
    assert "Longest wait none waits" in text
    assert "No click was answered yet." in text
    assert text.count("None since the start.") == 2
    assert "Caches" not in text


@pytest.mark.parametrize("is_demo", [True, False])
def test_demo_model_is_said_loudly(is_demo: bool) -> None:
    text = Page(render_status(replace(BUSY, is_demo=is_demo))).text
    assert ("This is the demo model. It knows drawn scenes only and is not for real images." in text) is is_demo


@pytest.mark.parametrize(("seconds", "said"), [(5, True), (0, False)])
def test_page_renews_itself(seconds: int, said: bool) -> None:
    page = Page(render_status(replace(BUSY, refresh_seconds=seconds)))
    assert (("http-equiv", "refresh") in page.attributes) is said
    assert ("renewed every" in page.text) is said


def hostile(snapshot: StatusSnapshot, word: str) -> StatusSnapshot:
    """Put `word` wherever somebody else's text can come in."""
    return replace(
        snapshot,
        reason=word,
        model=word,
        engine_reason=word,
        device=word,
        queue=replace(snapshot.queue, running=Running(word, Priority.CLICK, 1.0)),
        caches={word: CacheUse(0, 0, 0, 0, 1)},
        percentiles=[Percentiles(word, 1.0, 1.0, 1)],
        clicks=[RecentClick(AT, word, word, word, word, None, {word: 1.0}, word)],
        errors=[RecentError(word, word, 1, AT, AT, word)],
    )


def test_everything_is_escaped() -> None:
    page = Page(render_status(hostile(BUSY, HOSTILE)))
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) >= 15
    assert "49" not in page.text


@given(word=st.text(max_size=40))
def test_no_text_changes_the_shape_of_the_page(word: str) -> None:
    assert Page(render_status(hostile(BUSY, word or "-"))).tags == Page(render_status(hostile(BUSY, "plain"))).tags


def test_page_needs_nothing_from_elsewhere() -> None:
    html = render_status(BUSY)
    page = Page(html)
    assert ("lang", "en") in page.attributes
    assert not {"script", "link", "img", "iframe", "form", "a"} & set(page.tags)
    assert not re.search(r"https?:|url\(|@import", html)
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]
    assert HEADERS["Cache-Control"] == "no-store"


def test_bar_never_leaves_its_frame() -> None:
    full = {"memory": CacheUse(0, 0, 3, 2500, 1000)}
    assert ("style", "width: 100%") in Page(render_status(replace(BUSY, caches=full))).attributes


def test_cache_that_others_fill_has_no_bar() -> None:
    html = render_status(replace(BUSY, caches={"shared": CacheUse(3, 1, None, None, 2_000_000_000, errors=1)}))
    assert not [value for name, value in Page(html).attributes if name == "style"]
    assert "of 2.0 GB" in html


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
     (1_400_000_000, "1.4 GB"), (2.5e15, "2500.0 TB")],
)  # fmt: skip
def test_size_for_people(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"),
     (3599.6, "1 h 0 min"), (3700, "1 h 1 min"), (190_000, "2 d 4 h")],
)  # fmt: skip
def test_duration_for_people(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.44, "0.4"), (9.94, "9.9"), (9.96, "10"), (17.6, "18"), (2950.4, "2\N{NO-BREAK SPACE}950")]
)
def test_milliseconds_for_people(value: float, text: str) -> None:
    assert milliseconds_text(value) == text


def test_memory_of_the_process(tmp_path: Path) -> None:
    statm = tmp_path / "statm"
    statm.write_text("9000 2000 500 1 0 800 0\n")
    resident = resident_bytes(statm)
    assert resident is not None
    assert resident % 2000 == 0
    assert resident >= 2000 * 4096


@pytest.mark.parametrize("content", [None, "", "9000", "9000 many"])
def test_memory_that_is_not_told(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "statm").write_text(content)
    assert resident_bytes(tmp_path / "statm") is None
