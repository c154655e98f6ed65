"""Addresses in generated text: only those that stand in the passages stay addresses.

A model that was talked into it could put what it was shown into the address of an image or a link,
which some page then loads or someone clicks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ADDRESS = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]{1,20}:(?=//)|\b(?:data|javascript|vbscript|file|mailto):|\bwww\.)"
    r"[^\s<>\"'`\])]*",
    re.IGNORECASE,
)
# [text](target "title") and ![text](target), as far as a model could write them in one line.
LINK = re.compile(r"(!?)\[([^\[\]\n]*)\]\(\s*<?([^()\s<>]*(?:\([^()\s]*\)[^()\s<>]*)*)>?[^()\n]*\)")
REFERENCE = re.compile(r"^[ \t]*\[[^\]\n]+\]:[ \t]*\S.*$", re.MULTILINE)
TAG = re.compile(r"<[a-z/!][^<>]*(?:>|\Z)", re.IGNORECASE)
CARRIES = re.compile(r"\b(?:src|srcset|href|style|action|data|on\w+)\s*=", re.IGNORECASE)
LEFT_OUT = "(address left out)"


def addresses(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(_ended(found[0]) for text in texts for found in ADDRESS.finditer(text))


def known_only(text: str, known: frozenset[str]) -> str:
    """`text` without images, and with the links alone whose address is `known`, character for
    character; a link's words stay."""

    def link(match: re.Match[str]) -> str:
        image, words, target = match.groups()
        if not image and target in known:
            return match[0]
        return f"[{words}]" if words.isdigit() else words  # a marker that was made a link

    def address(match: re.Match[str]) -> str:
        whole = _ended(match[0])
        return match[0] if whole in known else LEFT_OUT + match[0][len(whole) :]

    text = TAG.sub(lambda tag: "" if CARRIES.search(tag[0]) else tag[0], text)
    text = REFERENCE.sub(lambda one: one[0] if addresses([one[0]]) & known else "", text)
    return ADDRESS.sub(address, LINK.sub(link, text))


def _ended(address: str) -> str:
    """Without the point that ends the sentence."""
    return address.rstrip(".,;:!?*_")
