"""Markdown. The content stays Markdown, so that quotes stand in the file as they are.

MkDocs includes such as `{* ../../docs_src/x.py ln[1:5] hl[3] *}` become code blocks with the lines
of the file they name.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt

from model_pipeline.documents.decode import decode
from model_pipeline.documents.found import Found, ReadLimits
from model_pipeline.documents.outline import Outline
from model_pipeline.domain import Document, Section

FRONT_MATTER = re.compile(r"\A---\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
INCLUDE = re.compile(r"^[ \t]*\{\*\s*(?P<path>\S+)(?P<options>[^*\n]*)\*\}[ \t]*$", re.MULTILINE)
LINES = re.compile(r"ln\[([\d:,\s]+)\]")
ANCHOR = re.compile(r"\s*\{\s*[#.][^}]*\}\s*$")
INLINE = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|[`*]+|(?<!\w)_+|_+(?!\w)")
HTML_TAG = re.compile(r"<[^>]{1,200}>")
# How far above the target an include may reach, in folders.
INCLUDE_LEVELS = 3
INCLUDE_BYTES = 200_000
_PARSER = MarkdownIt("commonmark", {"maxNesting": 50}).enable("table").disable("inline")


def read(found: Found, content: bytes, limits: ReadLimits) -> Document:
    text, metadata = _front_matter(decode(content, found.source))
    text = _expand_includes(text, found, limits.file_bytes)
    starts = _line_starts(text)
    outline = Outline()
    title = ""
    blocks: list[Section] = []
    tokens = _PARSER.parse(text)
    for index, token in enumerate(tokens):
        if token.level or token.nesting < 0 or token.map is None:
            continue
        if token.type == "heading_open":
            heading = plain(tokens[index + 1].content)
            title = title or heading
            outline.heading(int(token.tag[1]), heading)
        start, end = starts[token.map[0]], starts[min(token.map[1], len(starts) - 1)]
        if blocks and start < blocks[-1].end:
            continue
        blocks.append(Section(start, end, outline.path))
    named = metadata.pop("title", None)
    return Document(
        found.source,
        str(named or title or found.name),
        text,
        metadata=metadata,
        blocks=tuple(blocks),
    )


def plain(markdown: str) -> str:
    """A heading's words, without its anchor and marks."""
    return HTML_TAG.sub("", INLINE.sub(r"\1", ANCHOR.sub("", markdown))).strip()


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    starts[-1] = len(text)
    return starts


def _front_matter(text: str) -> tuple[str, dict[str, Any]]:
    """The text after its front matter, and what that says; kept as text where it is no YAML."""
    match = FRONT_MATTER.match(text)
    if match is None or len(match[1]) > 20_000 or "&" in match[1]:
        return text, {}
    try:
        values = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError):
        return text, {}
    if not isinstance(values, dict):
        return text, {}
    simple = {
        str(key): value if isinstance(value, str | int | float | bool | list) else str(value)
        for key, value in values.items()
        if value is not None
    }
    return text[match.end() :], {
        key: [str(item) for item in value] if isinstance(value, list) else value
        for key, value in simple.items()
    }


def _expand_includes(text: str, found: Found, room: int) -> str:
    """With up to `room` characters more; what is over it stays as it is written."""
    if found.path is None or found.root is None:
        return text
    folder = found.path.resolve().parent
    root = found.root.resolve()
    fence = root.parents[min(INCLUDE_LEVELS, len(root.parents)) - 1] if root.parents else root

    def expand(match: re.Match[str]) -> str:
        nonlocal room
        included = _included(match["path"], folder, fence)
        if included is None or len(included) > room:
            return match[0]
        room -= len(included)
        lines = included.split("\n")
        chosen = _chosen(lines, match["options"])
        language = Path(match["path"]).suffix.lstrip(".")
        return f"```{language}\n" + "\n".join(chosen).rstrip() + "\n```"

    return INCLUDE.sub(expand, text)


def _included(name: str, folder: Path, fence: Path) -> str | None:
    """The text of an included file: from this folder or one above it, never outside of `fence`."""
    for base in (folder, *folder.parents):
        if not base.is_relative_to(fence):
            return None
        path = (base / name).resolve()
        if path.is_relative_to(fence) and path.is_file():
            if path.stat().st_size > INCLUDE_BYTES:
                return None
            try:
                return decode(path.read_bytes(), name)
            except Exception:  # an include that cannot be read stays as it is written
                return None
    return None


def _chosen(lines: list[str], options: str) -> list[str]:
    wanted = LINES.search(options)
    if wanted is None:
        return lines
    chosen: list[str] = []
    for part in wanted[1].split(","):
        first, colon, last = part.strip().partition(":")
        start = int(first or 1)
        end = int(last or len(lines)) if colon else start
        chosen += lines[start - 1 : end]
    return chosen
