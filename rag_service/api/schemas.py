"""The API's shapes: searches, answers and documents; and how the domain's nouns become them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from model_pipeline.domain import (
    Answer,
    Bias,
    Citation,
    DocumentSummary,
    Passage,
    SearchResult,
)
from model_pipeline.store.pg_store import StoredChunk
from rag_service.api.services import IngestReport

# Of what was said before: characters of one turn, and turns.
LONGEST_TURN = 20_000
MOST_TURNS = 100
# What the code tests itself, with a sentence of its own, said for who reads the document.
VISIBLE = {"pattern": r"[^\s\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufeff]"}
NAME = {"pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}
Name = Annotated[str, Field(min_length=1, max_length=200, json_schema_extra=NAME)]
Question = Annotated[
    str,
    Field(
        max_length=8_000,
        examples=["When are default parameter values evaluated?"],
        json_schema_extra=VISIBLE,
    ),
]


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("should be a whole number")
    return value


# 10.0 is a whole number in JSON; true and "10" are none.
Whole = Annotated[int, Field(strict=False), BeforeValidator(_no_truth)]
K = Annotated[Whole, Field(ge=1, le=100, description="How many passages.")]
CollectionName = Annotated[Name | None, Field(description="Only this collection; null means all.")]
Filter = Annotated[
    dict[str, Any] | None,
    Field(
        description='Only chunks whose metadata match, e.g. `{"lang": "en"}`, '
        '`{"year": {"gte": 2020}}`, `{"tag": {"in": ["a", "b"]}}`, `{"tags": {"contains": "x"}}`, '
        '`{"any": [...]}`, `{"all": [...]}`, `{"not": {...}}`.',
        examples=[None],
    ),
]
Timings = Annotated[
    dict[str, float], Field(description="Milliseconds per stage.", examples=[{"total": 4.2}])
]
HeadingPath = Annotated[
    list[str],
    Field(description="The headings it stands under.", examples=[["Function definitions"]]),
]
Source = Annotated[
    str, Field(description="The document's name as given at ingest.", examples=["function.md"])
]
Title = Annotated[str, Field(examples=["Function definitions"])]
Metadata = Annotated[dict[str, Any], Field(examples=[{"lang": "en"}])]
CONTENT = "Default parameter values are evaluated when the function definition is executed."


# JSON has no ids of its own: they come as text.
Identity = Annotated[UUID, Field(strict=False)]


class Strict(BaseModel):
    """Takes what the document says and nothing like it: true is no number."""

    model_config = ConfigDict(extra="forbid", strict=True)


class SearchRequest(Strict):
    query: Question
    k: K = 10
    mode: Literal["hybrid", "dense", "lexical"] = "hybrid"
    collection: CollectionName = None
    filter: Filter = None
    diversity: Annotated[
        float | None, Field(ge=0, le=1, description="Trade relevance for variety; null is off.")
    ] = None


class TurnModel(Strict):
    role: Literal["user", "assistant"]
    content: Annotated[str, Field(max_length=LONGEST_TURN)]


class AnswerRequest(Strict):
    question: Question
    k: K = 5
    collection: CollectionName = None
    filter: Filter = None
    history: Annotated[
        list[TurnModel],
        Field(max_length=MOST_TURNS, description="What was said before, oldest first."),
    ] = []
    stream: Annotated[bool, Field(description="Answer as server-sent events.")] = False
    conversation_id: Annotated[
        Identity | None,
        Field(
            description="The conversation to go on with; one that is not yours, or that is not "
            "there, begins anew. Null: a new one.",
            examples=[None],
        ),
    ] = None


class PassageModel(BaseModel):
    chunk_id: UUID
    document_id: UUID
    source: Source
    title: Title
    heading_path: HeadingPath
    content: Annotated[str, Field(examples=[CONTENT])]
    metadata: Metadata
    start: Annotated[int, Field(description="Its place in the document, in characters.")]
    score: Annotated[float, Field(description="Orders the passages.")]
    dense_score: Annotated[float | None, Field(description="Cosine similarity.")]
    lexical_score: Annotated[float | None, Field(description="BM25.")]


class SearchReply(BaseModel):
    passages: list[PassageModel]
    complete: Annotated[
        bool, Field(description="False when the search stopped early, so that more may match.")
    ]
    timings_ms: Timings


class CitationModel(BaseModel):
    n: Annotated[int, Field(description="Its number in the answer, shown as [n].", examples=[1])]
    quote: Annotated[
        str,
        Field(
            description="Exactly what stands at [start, end) of the document.", examples=[CONTENT]
        ),
    ]
    chunk_id: UUID
    document_id: UUID
    source: Source
    title: Title
    heading_path: HeadingPath
    start: Annotated[int, Field(examples=[0])]
    end: Annotated[int, Field(examples=[len(CONTENT)])]


class SpanModel(BaseModel):
    start: Annotated[int, Field(description="In characters of `answer`.")]
    end: int


class BiasModel(BaseModel):
    """What the judge said of the text, before it was shown: 1 is harmful, 5 is fair."""

    level: Annotated[
        int | None, Field(description="1 to 5; null where it could not be judged.", examples=[5])
    ]
    score: Annotated[float | None, Field(description="1.0 to 5.0.", examples=[4.8])]
    sure: Annotated[bool, Field(description="False where the judge abstains.")]
    flagged: Annotated[
        bool, Field(description="Below the level that is set, or not judged.", examples=[False])
    ]
    withheld: Annotated[
        bool, Field(description="The text was not shown, for that.", examples=[False])
    ]


class AnswerModel(BaseModel):
    answer_id: UUID
    conversation_id: Annotated[UUID, Field(description="Send it along with the next question.")]
    answer: Annotated[str, Field(examples=[CONTENT + " [1]"])]
    declined: Annotated[bool, Field(description="True when the documents hold no answer.")]
    citations: list[CitationModel]
    passages: list[PassageModel]
    release_id: Annotated[str, Field(description="Everything that decided the answer.")]
    dropped_citations: Annotated[
        int, Field(description="Claims whose quote was not found where they said.", examples=[0])
    ]
    unsupported: Annotated[
        list[SpanModel],
        Field(description="Stretches that no passage was found to say.", examples=[[]]),
    ]
    fallback: Annotated[
        str | None,
        Field(
            description="Why another generator than the one that is set wrote it; else null.",
            examples=["The model does not answer: these are the documents' own sentences."],
        ),
    ]
    complete: Annotated[bool, Field(description="False when the search stopped early.")]
    cached: Annotated[
        bool,
        Field(
            description="True when it was made for a question before this one.", examples=[False]
        ),
    ]
    bias: Annotated[
        BiasModel | None,
        Field(description="Null where answers are not judged before they are shown, or declined."),
    ]
    timings_ms: Timings


class DocumentModel(BaseModel):
    document_id: UUID
    collection: Annotated[str, Field(examples=["default"])]
    source: Source
    title: Title
    metadata: Metadata
    chunk_count: Annotated[int, Field(examples=[3])]
    content_hash: str
    updated_at: Annotated[
        str, Field(description="ISO 8601, UTC.", examples=["2026-01-31T12:00:00.000000Z"])
    ]


class DocumentList(BaseModel):
    documents: list[DocumentModel]
    next: Annotated[UUID | None, Field(description="Give it as `after` for the next page.")]
    timings_ms: Timings


class ChunkModel(BaseModel):
    chunk_id: UUID
    ordinal: int
    start: Annotated[int, Field(description="Its place in the document, in characters.")]
    heading_path: HeadingPath
    content: Annotated[str, Field(examples=[CONTENT])]


class DocumentDetail(DocumentModel):
    chunks: Annotated[list[ChunkModel], Field(description="Joined, they are the document.")]
    timings_ms: Timings


class TextRequest(Strict):
    text: Annotated[str, Field(min_length=1, examples=["# Opening hours\n\nMonday to Friday."])]
    source: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1_000,
            description="Its name: the same one again replaces the text.",
            examples=["hours.md"],
        ),
    ]
    title: Annotated[str | None, Field(max_length=1_000)] = None
    collection: Name = "default"
    metadata: dict[str, Any] = {}


class FailureModel(BaseModel):
    source: str
    reason: str


class IngestReply(BaseModel):
    new: Annotated[int, Field(examples=[1])]
    changed: Annotated[int, Field(examples=[0])]
    unchanged: Annotated[int, Field(examples=[0])]
    failed: Annotated[int, Field(examples=[0])]
    failures: Annotated[list[FailureModel], Field(examples=[[]])]
    timings_ms: Timings


class Health(BaseModel):
    status: Annotated[Literal["ok"], Field(examples=["ok"])] = "ok"


class Problem(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: Annotated[str, Field(description="One sentence: what is wrong, and what to do.")]
    request_id: str
    field: Annotated[
        str | None, Field(description="The field that it is about, where it is one.")
    ] = None


def from_passage(passage: Passage) -> dict[str, Any]:
    # Its ids are left to the JSON encoder, in whose hands ten passages take a tenth less time.
    return {
        "chunk_id": passage.chunk_id,
        "document_id": passage.document_id,
        "source": passage.source,
        "title": passage.title,
        "heading_path": list(passage.heading_path),
        "content": passage.content,
        "metadata": dict(passage.metadata),
        "start": passage.start,
        "score": passage.score,
        "dense_score": passage.dense_score,
        "lexical_score": passage.lexical_score,
    }


def from_result(result: SearchResult) -> dict[str, Any]:
    return {
        "passages": [from_passage(passage) for passage in result.passages],
        "complete": result.complete,
        "timings_ms": rounded(result.timings_ms),
    }


def from_citation(citation: Citation) -> dict[str, Any]:
    return {
        "n": citation.n,
        "quote": citation.quote,
        "chunk_id": citation.chunk_id,
        "document_id": citation.document_id,
        "source": citation.source,
        "title": citation.title,
        "heading_path": list(citation.heading_path),
        "start": citation.start,
        "end": citation.end,
    }


def from_answer(answer: Answer, conversation_id: UUID) -> dict[str, Any]:
    return {
        "answer_id": str(answer.answer_id),
        "conversation_id": str(conversation_id),
        "answer": answer.answer,
        "declined": answer.declined,
        "citations": [from_citation(citation) for citation in answer.citations],
        "passages": [from_passage(passage) for passage in answer.passages],
        "release_id": answer.release_id,
        "dropped_citations": answer.dropped_citations,
        "unsupported": [{"start": one.start, "end": one.end} for one in answer.unsupported],
        "fallback": answer.fallback,
        "complete": answer.complete,
        "cached": answer.cached,
        "bias": from_bias(answer.bias),
        "timings_ms": rounded(answer.timings_ms),
    }


def from_bias(bias: Bias | None) -> dict[str, Any] | None:
    if bias is None:
        return None
    return {
        "level": bias.level,
        "score": bias.score and round(bias.score, 3),
        "sure": bias.sure,
        "flagged": bias.flagged,
        "withheld": bias.withheld,
    }


def from_document(document: DocumentSummary) -> dict[str, Any]:
    return {
        "document_id": str(document.document_id),
        "collection": document.collection,
        "source": document.source,
        "title": document.title,
        "metadata": dict(document.metadata),
        "chunk_count": document.chunk_count,
        "content_hash": document.content_hash,
        "updated_at": document.updated_at,
    }


def from_chunk(chunk: StoredChunk) -> dict[str, Any]:
    return {
        "chunk_id": str(chunk.chunk_id),
        "ordinal": chunk.ordinal,
        "start": chunk.start,
        "heading_path": list(chunk.heading_path),
        "content": chunk.content,
    }


def from_report(report: IngestReport) -> dict[str, Any]:
    return {
        "new": report.new,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "failed": len(report.failures),
        "failures": [{"source": source, "reason": why} for source, why in report.failures],
    }


def rounded(timings: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in timings.items()}
