"""The nouns of Promptly: frozen values and the ports between stages. Standard library only.

Character offsets count Unicode code points of `Document.content`, start inclusive, end exclusive.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import UUID

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


SearchMode = Literal["hybrid", "dense", "lexical"]
Role = Literal["reader", "editor", "owner"]
Visibility = Literal["private", "public"]
DEFAULT_COLLECTION = "default"


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of a document under one heading path; sections of a document follow each other.

    `heading_path` runs from the document's top heading to the one this stretch stands under.
    """

    start: int
    end: int
    heading_path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """One text with its origin.

    `source` names it within its collection: a path, a URL, or the id given in a JSONL row.
    `blocks` are the stretches that a splitter should keep whole where they fit (paragraphs, list
    items, code blocks, tables, rows), in order, without overlap, with the heading path each stands
    under; empty means that nothing is known of its structure.
    `pre_chunked` holds the chunk boundaries for input that comes already split (JSONL rows).
    """

    source: str
    title: str
    content: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    blocks: tuple[Section, ...] = ()
    pre_chunked: tuple[Section, ...] = ()

    def content_hash(self) -> str:
        """sha256 (hex) over everything that decides the chunks and their vectors."""
        digest = hashlib.sha256()
        for part in (
            self.title,
            json.dumps(dict(self.metadata), sort_keys=True, ensure_ascii=True, default=str),
            repr([(s.start, s.end) for s in self.pre_chunked]),
            self.content,
        ):
            digest.update(part.encode("utf-8", "surrogatepass"))
            digest.update(b"\0")
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Chunk:
    """`content == document.content[start:end]`; the chunks of a document partition its content."""

    ordinal: int
    start: int
    end: int
    content: str
    heading_path: tuple[str, ...] = ()

    def context(self, title: str) -> str:
        """The line that tells what the chunk is about: title and headings, without repeats."""
        return " > ".join(dict.fromkeys(part for part in (title, *self.heading_path) if part))

    def text_to_embed(self, title: str) -> str:
        """What the embedder sees: the content, after what it does not itself begin with of the
        context. (The lexical index takes all of it: words of a title weigh more.)"""
        parts = dict.fromkeys(part for part in (title, *self.heading_path) if part)
        missing = [part for part in parts if part not in self.content[: len(part) + 100]]
        return "\n".join((" > ".join(missing), self.content)) if missing else self.content


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved chunk with its scores.

    `score` orders the result (reciprocal rank fusion in hybrid mode, the arm's own score
    otherwise). `dense_score` is the cosine similarity, in [-1, 1]; `lexical_score` is BM25, >= 0;
    None where that arm did not find the chunk. `start` is the chunk's place in its document.
    """

    chunk_id: UUID
    document_id: UUID
    source: str
    title: str
    heading_path: tuple[str, ...]
    content: str
    metadata: Mapping[str, Any]
    start: int
    score: float
    dense_score: float | None = None
    lexical_score: float | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """`complete` is False when the search stopped early, so that fewer than k rows may be shown
    although more match. `timings_ms` has an entry per stage. `scope`, where the store tells it,
    stands for all that the search could see: which collections, in which version, by which
    embedder. Of two that are equal, the same search finds the same."""

    passages: tuple[Passage, ...]
    complete: bool
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """An exact quote: `quote` stands at [start, end) of the document named by `source`.

    `n` is the number shown in the answer as [n], from 1, in order of first appearance.
    """

    n: int
    quote: str
    chunk_id: UUID
    document_id: UUID
    source: str
    title: str
    heading_path: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as Supabase has it: the database role, and the verified claims of their token
    (`sub` is the user's id). Row-level security goes by these."""

    role: Literal["anon", "authenticated"] = "anon"
    claims: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What a generator yields piece by piece: a text delta, and the citations it claims for it.

    A delta's text carries its own [n] markers. `claims` name quotes in passages (by index into the
    passages handed in); they are verified before anything is shown. `unsupported`: no passage was
    found that says it. `fallback`: why another generator than the one that is set wrote it, in one
    sentence. `cut`: the text ends here because it may not be longer.
    """

    text: str
    claims: tuple[Claim, ...] = ()
    declined: bool = False
    unsupported: bool = False
    fallback: str | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    n: int
    passage: int
    quote: str


@dataclass(frozen=True, slots=True)
class Span:
    """[start, end) of an answer's text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Bias:
    """What a judge said of an answer before it was shown, by the five-point rubric: 1 is harmful, 5
    is fair. `level` and `score` (1.0 to 5.0) are None where it could not be judged; `sure` is False
    where the judge abstains. `flagged`: below the level that is set, or not judged; `withheld`: and
    not shown. `verdict` is the whole of it, as a row of the table of verdicts."""

    level: int | None
    score: float | None
    sure: bool
    flagged: bool
    withheld: bool
    verdict: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """`dropped_citations` counts claims whose quote was not found in the passage they named.
    `cached`: made for a question before this one, from the same documents as they are now.

    `unsupported` are the stretches that no passage was found to say, in order. `fallback` is None,
    or why another generator than the one that is set wrote the answer or its end, in one sentence.
    `cut`: it ends where it may not be longer. `bias` is None where nothing judges answers before
    they are shown, and of one that is declined.
    """

    answer_id: UUID
    answer: str
    declined: bool
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    release_id: str
    dropped_citations: int = 0
    unsupported: tuple[Span, ...] = ()
    fallback: str | None = None
    complete: bool = True
    cached: bool = False
    cut: bool = False
    bias: Bias | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DocumentSummary:
    """A stored document without its text. Times are ISO 8601 in UTC."""

    document_id: UUID
    collection: str
    source: str
    title: str
    metadata: Mapping[str, Any]
    chunk_count: int
    content_hash: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Collection:
    """The unit of access, as one person sees it: `role` is what they may do with it."""

    collection_id: UUID
    name: str
    visibility: Visibility
    role: Role


@dataclass(frozen=True, slots=True)
class Member:
    """Someone, or a service key, who may use a collection. The time is ISO 8601 in UTC."""

    user_id: UUID
    role: Role
    created_at: str


@dataclass(frozen=True, slots=True)
class ServiceKey:
    """A key of a machine, without its secret. `scopes` are what it may use; times are ISO 8601 in
    UTC."""

    key_id: UUID
    name: str
    state: Literal["active", "expired", "revoked"]
    scopes: tuple[Collection, ...]
    created_at: str
    expires_at: str
    last_used_at: str | None = None


class Embedder(Protocol):
    """Turns texts into unit vectors.

    `name` identifies model, revision and variant: two embedders of one name give equal vectors.
    """

    @property
    def name(self) -> str: ...
    @property
    def spec(self) -> str:
        """What opens it, as PROMPTLY_EMBEDDER has it."""
        ...

    @property
    def dimensions(self) -> int: ...
    @property
    def max_tokens(self) -> int:
        """Tokens of one text that count, special tokens included; the rest is cut off."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 of shape [len(texts), dimensions], rows of L2 norm 1, in the order given."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens per text, uncut, special tokens left out."""
        ...


@dataclass(frozen=True, slots=True)
class Wording:
    """How a model chooses its words, as far as somebody asks for it; None leaves it to the release:
    the likeliest token each time, and as many as the release allows.

    `temperature` is 0 or more, `top_p` from 0 to 1, `max_tokens` at least 1 (more than the release
    allows are not given). The text ends before the first of `stop`.
    """

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()

    @property
    def is_random(self) -> bool:
        return bool(self.temperature) and self.top_p != 0

    @property
    def is_seeded(self) -> bool:
        return self.is_random and self.seed is not None

    @property
    def name(self) -> str:
        """What it changes, for a release id; empty where that is nothing."""
        told: dict[str, object] = {"max_tokens": self.max_tokens}
        if self.is_random:
            told |= {"temperature": self.temperature, "top_p": self.top_p, "seed": self.seed}
        if self.stop:  # somebody's own words
            told["stop"] = hashlib.sha256("\0".join(self.stop).encode()).hexdigest()[:8]
        return ",".join(f"{key}={value}" for key, value in told.items() if value is not None)


AS_RELEASED = Wording()


class Generator(Protocol):
    """Writes an answer from passages, and nothing else. `name` goes into the release id.

    Whoever reads only part of an answer closes it, and the work behind it stops.
    """

    @property
    def name(self) -> str: ...

    def worded(self, wording: Wording) -> Generator:
        """One that writes like that; itself where no model chooses the words."""
        ...

    def generate(
        self, question: str, passages: Sequence[Passage], history: Sequence[Turn]
    ) -> AsyncGenerator[Draft]: ...
