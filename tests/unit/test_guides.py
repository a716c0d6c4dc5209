"""Both guides for annotators name the same keys, and each key that their readers need."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from core.repository import REPOSITORY
from tests.guides import MEANINGS, PAGES, Keys, card, page, pressed
from tests.unit.companion.test_companion import NODE

TROUBLES = {"en": "## When it does not answer", "es": "## Cuando no responde"}
NO_QUOTES = {  # rows that say what is seen in other words
    "en": {"a sentence about the image, and a request number", "no line at all"},
    "es": {"una frase en inglés sobre la imagen y un número de petición", "no hay ninguna línea"},
}
# Every sentence of the page, with numbers where it names something.
SENTENCES = """import { textsFor } from "./companion/messages.js";
const all = Object.values(textsFor([process.argv[1]]));
console.log(JSON.stringify(all.map((one) => (typeof one === "function" ? one(1, 2, 3) : one))));"""


def names(language: str) -> list[list[str]]:
    return [[pressed(key) for key in keys] for keys, _ in card(language)]


def test_both_cards_have_the_same_keys_in_the_same_order() -> None:
    english, spanish = names("en"), names("es")
    assert len(english) >= 23
    assert [(one, other) for one, other in zip(english, spanish, strict=True) if one != other] == [
        (["p", "[", "]"], ["p", "`", "+"]),
    ]


@pytest.mark.parametrize("meaning", MEANINGS)
def test_a_newcomer_finds_the_key(meaning: str) -> None:
    assert Keys("en")[meaning] == Keys("es")[meaning] != ""


@pytest.mark.parametrize("language", PAGES)
def test_quoted_sentences_are_those_of_the_line(language: str) -> None:
    part = page(language).split(TROUBLES[language])[1]
    quoted = re.findall(r"^\| (.+?) \| .+ \|$", part, re.MULTILINE)[1:]
    assert len(quoted) >= 18
    command = [str(NODE), "--input-type=module", "--eval", SENTENCES, language]
    told = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True).stdout
    said = "\n".join(numbered(one) for one in json.loads(told))
    strange = [one for one in quoted if numbered(one) not in said and one not in NO_QUOTES[language]]
    assert strange == []


def numbered(sentence: str) -> str:
    return re.sub(r"\d+", "#", sentence.removesuffix("…").rstrip())


def test_sections_and_pictures_are_the_same_in_both() -> None:
    counts = {
        language: [sum(line.startswith(mark) for line in page(language).splitlines()) for mark in ("## ", "![", "| ")]
        for language in PAGES
    }
    assert counts["en"] == counts["es"]
    for language in PAGES:
        pictures = [line for line in page(language).splitlines() if line.startswith("![")]
        assert len(pictures) >= 11
        assert [line for line in pictures if f"(images/annotator/{language}/" not in line] == []
