"""Bytes to text that the store can hold."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from model_pipeline.errors import UnreadableDocument

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
PROBE_BYTES = 100_000
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_CONTROLS = re.compile("[\x01-\x08\x0e-\x1f]")


def decode(content: bytes, source: str) -> str:
    """The text of a file: by its byte order mark, as UTF-8, or as the encoding it looks like.

    Raises UnreadableDocument for what is no text.
    """
    for mark, encoding in BOMS:
        if content.startswith(mark):
            return clean(content.decode(encoding, "replace"))
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        guess = from_bytes(content[:PROBE_BYTES]).best()
        if guess is None:
            raise UnreadableDocument(f"{source} is not text in any known encoding.") from None
        text = content.decode(guess.encoding, "replace")
    head = text[:PROBE_BYTES]
    if head.count("\0") + len(_CONTROLS.findall(head)) > len(head) * 0.05:
        raise UnreadableDocument(f"{source} is not text: it has binary content.")
    return clean(text)


def clean(text: str) -> str:
    """`text` with newlines as \\n; what Postgres cannot store becomes U+FFFD, one for one."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)
