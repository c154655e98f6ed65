"""HTML: what a reader sees, with its headings, lists, code and tables; navigation left out."""

from __future__ import annotations

import codecs
import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from model_pipeline.documents.decode import clean, decode
from model_pipeline.documents.found import Found, ReadLimits
from model_pipeline.documents.outline import TextBuilder
from model_pipeline.domain import Document

UNSEEN = (
    "script, style, noscript, template, nav, footer, aside, form, iframe, object, svg, canvas, "
    "button, select, head, [hidden], [aria-hidden=true]"
)
BLOCKS = frozenset(
    """
    address article blockquote body center dd details dialog div dl dt fieldset figcaption figure
    header hr html li main ol p section summary table tbody td tfoot th thead tr ul pre
    h1 h2 h3 h4 h5 h6 br
    """.split()
)
SPACES = re.compile(r"[ \t\n\f\r\u00a0]+")
CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w-]+)", re.IGNORECASE)
# Codecs of Python, not of pages: slow, or able to spell a tag without its brackets.
NOT_OF_PAGES = frozenset("idna punycode raw-unicode-escape undefined unicode-escape utf-7".split())


def read(found: Found, content: bytes, limits: ReadLimits) -> Document:
    tree = LexborHTMLParser(_text(content, found.source))
    heading = tree.css_first("title")
    title = _flat(heading.text()) if heading else ""
    for node in tree.css(UNSEEN):
        node.decompose(recursive=True)
    walker = _Walker()
    start = tree.css_first("main") or tree.css_first("article") or tree.body or tree.root
    if start is not None:
        walker.walk(start)
    if not walker.builder.text and tree.body is not None and start is not tree.body:
        walker.walk(tree.body)
    return Document(
        found.source,
        title or walker.builder.first_heading or found.name,
        walker.builder.text,
        blocks=walker.builder.blocks,
    )


def _text(content: bytes, source: str) -> str:
    declared = CHARSET.search(content[:2048])
    if declared and not content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        try:
            charset = codecs.lookup(declared[1].decode("ascii")).name.replace("_", "-")
            if charset not in NOT_OF_PAGES:
                return clean(content.decode(charset))
        except (LookupError, UnicodeDecodeError):
            pass
    return decode(content, source)


class _Walker:
    """Goes through the tree without recursion: pages nest deeper than Python's stack."""

    def __init__(self) -> None:
        self.builder = TextBuilder()
        self._inline: list[str] = []
        self._items: list[str] = []

    def walk(self, root: LexborNode) -> None:
        # Each entry is a node to enter, or the closing of one that was entered.
        stack: list[tuple[LexborNode, bool]] = [(root, False)]
        while stack:
            node, closing = stack.pop()
            tag = (node.tag or "").lower()
            if closing:
                self._close(tag)
            elif tag == "-text":
                self._inline.append(node.text(deep=False) or "")
            elif tag in ("h1", "h2", "h3", "h4", "h5", "h6"):
                self._flush()
                self.builder.heading(int(tag[1]), _flat(node.text()))
            elif tag == "pre":
                self._flush()
                self.builder.block(clean(node.text()).strip("\n"))
            elif tag == "table" and not node.css_first("table table"):
                self._flush()
                self._table(node)
            else:
                if tag in BLOCKS:
                    self._flush()
                stack.append((node, True))
                stack.extend(
                    (child, False) for child in reversed(list(node.iter(include_text=True)))
                )
        self._flush()
        self._flush_items()

    def _close(self, tag: str) -> None:
        if tag == "li":
            self._flush(item=True)
        elif tag in BLOCKS:
            self._flush()
        if tag in ("ul", "ol"):
            self._flush_items()

    def _flush(self, *, item: bool = False) -> None:
        text = _flat("".join(self._inline))
        self._inline.clear()
        if not text:
            return
        if item:
            self._items.append(f"- {text}")
        else:
            self._flush_items()
            self.builder.block(text)

    def _flush_items(self) -> None:
        if self._items:
            self.builder.block("\n".join(self._items))
            self._items.clear()

    def _table(self, table: LexborNode) -> None:
        rows = [
            " | ".join(_flat(cell.text()) for cell in row.css("th, td")) for row in table.css("tr")
        ]
        self.builder.block("\n".join(row for row in rows if row.strip(" |")))


def _flat(text: str) -> str:
    return SPACES.sub(" ", clean(text)).strip()
