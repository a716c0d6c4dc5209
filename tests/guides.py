"""The keys as both guides for annotators print them, for who knows nothing but the guide."""

from __future__ import annotations

import re

from core.repository import REPOSITORY

PAGES = {"en": "annotator-guide.md", "es": "guia-del-anotador.md"}
CARDS = {"en": "## Keys on one card", "es": "## Las teclas en una ficha"}
# What a key is for, as the card says it in each language.
MEANINGS = {
    "accept": {"en": "accept the mask", "es": "aceptar la máscara"},
    "reject": {"en": "take mask and prompts back", "es": "descartar la máscara y lo que la pidió"},
    "not this": {"en": "points say", "es": "los puntos dicen"},
    "point": {"en": "point", "es": "punto"},
    "box": {"en": "box", "es": "caja"},
    "brush": {"en": "brush", "es": "pincel"},
    "all objects": {"en": "all objects of the image", "es": "todos los objetos de la imagen"},
    "continued": {"en": "those masks as SAM2 follows them", "es": "esas máscaras como SAM2 las sigue"},
    "take all": {"en": "take all of these", "es": "tomarlas todas"},
    "delete": {"en": "delete the selected mask", "es": "borrar la máscara seleccionada"},
    "next image": {"en": "save, and open the next image", "es": "guardar y abrir la imagen siguiente"},
    "submit": {"en": "submit", "es": "enviar"},
}
BROWSERS = {"Intro": "Enter", "Esc": "Escape", "Mayús": "Shift", "Ctrl": "Control", "Retroceso": "Backspace"}


def page(language: str) -> str:
    """The text of the guide in `en` or `es`."""
    return (REPOSITORY / "docs" / PAGES[language]).read_text("utf-8")


def card(language: str) -> list[tuple[list[str], str]]:
    """The rows of the guide's table of keys: the keys as they are printed, and what they are for."""
    part = page(language).split(CARDS[language])[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", part, re.MULTILINE)
    return [(re.findall(r"`+ ?([^` ]+|`) ?`+", keys), text) for keys, text in rows if "`" in keys]


def printed(meaning: str, language: str) -> str:
    """The key for one of `MEANINGS`, as the card prints it.

    Raises:
        LookupError: the card has none.
    """
    wanted = MEANINGS[meaning][language]
    for keys, text in card(language):
        parts = text.split(", ")
        named = dict(zip(parts, keys, strict=True)) if len(parts) == len(keys) > 1 else {text: keys[0]}
        for part, key in named.items():
            if part == wanted or (len(keys) == 1 and part.startswith(wanted)):
                return key
    raise LookupError(f"the card of {PAGES[language]} has no key to {wanted}")


def pressed(key: str) -> str:
    """A printed key as browsers call it: `Mayús+Intro` is `Shift+Enter`, `N` is `n`."""
    names = [BROWSERS.get(part, part) for part in key.split("+")]
    last = names[-1].lower() if len(names[-1]) == 1 and len(names) == 1 else names[-1]
    return "+".join([*names[:-1], last])


class Keys:
    """What the guide's card says to press, in the names of browsers."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __getitem__(self, meaning: str) -> str:
        return pressed(printed(meaning, self.language))
