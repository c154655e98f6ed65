"""Chat completions: what is asked in OpenAI's shapes, and how an answer becomes one of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, WithJsonSchema

from model_pipeline.domain import Answer, Citation, Turn, Wording
from model_pipeline.errors import InvalidInput
from rag_service.api.openai_models import LONGEST_ID, MODEL
from rag_service.api.schemas import (
    CONTENT,
    LONGEST_TURN,
    MOST_TURNS,
    BiasModel,
    CollectionName,
    Filter,
    K,
    SpanModel,
    Strict,
    from_bias,
    from_citation,
    rounded,
)

MARKER = re.compile(r"\[(\d{1,4})\]")
# What would have to change the answer, each with the values that ask for nothing. Tools are offers,
# which chat UIs make with every question: none is taken up, and only to insist on one is refused.
# All else that is not a field below is ignored: what an answer rests on is not for a client to say.
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "tool_choice": (None, "none", "auto"),
    "function_call": (None, "none", "auto"),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "web_search_options": (None,),
}
PARTS = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "text"],
                "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
            },
        },
        {"type": "null"},
    ]
}


class MessageModel(BaseModel):
    role: Annotated[
        Literal["system", "developer", "user", "assistant", "tool", "function"],
        Field(
            description="Those of a system, a developer or a tool are read past.",
            examples=["user"],
        ),
    ]
    content: Annotated[
        Any,
        WithJsonSchema(PARTS),
        Field(examples=["When are default parameter values evaluated?"]),
    ] = None


class StreamOptions(BaseModel):
    include_usage: StrictBool = False


class Options(Strict):
    """Promptly's own, for `extra_body` of OpenAI's client."""

    collection: CollectionName = None
    filter: Filter = None
    k: K = 5


MaxTokens = Annotated[int | None, Field(ge=1, description="No more than the service allows.")]
Stop = Annotated[
    list[Annotated[str, Field(max_length=200)]],
    Field(max_length=16),
    BeforeValidator(lambda given: [given] if isinstance(given, str) else given or []),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class ChatRequest(BaseModel):
    model_config = ConfigDict(extra="allow")

    model: Annotated[
        str,
        Field(
            max_length=LONGEST_ID,
            description="`promptly`, or `promptly/COLLECTION`.",
            examples=[MODEL],
        ),
    ]
    messages: Annotated[
        list[MessageModel],
        Field(
            min_length=1,
            description="The last is the question; those before are what was said.",
            examples=[[{"role": "user", "content": "When are defaults evaluated?"}]],
        ),
    ]
    stream: StrictBool | None = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[
        float | None, Field(ge=0, le=2, description="Unset is 0: the likeliest word each time.")
    ] = None
    top_p: Annotated[float | None, Field(ge=0, le=1)] = None
    seed: Annotated[int | None, Field(ge=-(2**63), lt=2**63)] = None
    max_tokens: MaxTokens = None
    max_completion_tokens: MaxTokens = None
    stop: Stop = []
    promptly: Options | None = None

    def require_supported(self) -> None:
        """Raises InvalidInput for what no answer could follow."""
        extra = self.model_extra or {}
        for name, nothing in UNSUPPORTED.items():
            if name in extra and extra[name] not in nothing:
                raise InvalidInput(
                    f"The field {name!r} is not supported, since answers come from the documents "
                    "alone: leave it out.",
                    field=name,
                )

    def wording(self) -> Wording:
        return Wording(
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            stop=tuple(one for one in self.stop if one),
        )

    def question(self) -> tuple[str, list[Turn]]:
        """What is asked, and what was said before: the latest of it, as far as any generator
        reads. Raises InvalidInput."""
        said = [
            (one.role, _text(one.content, f"messages.{index}.content"))
            for index, one in enumerate(self.messages)
        ]
        turns = [
            Turn(role, text[:LONGEST_TURN])
            for role, text in said
            if role == "user" or role == "assistant"
        ]
        if not turns or turns[-1].role != "user":
            raise InvalidInput(
                "The last message is no user's: end with a question.", field="messages"
            )
        question = [text for role, text in said if role == "user"][-1]
        return question, turns[:-1][-MOST_TURNS:]


def _text(content: object, place: str) -> str:
    """The text of a message, one part a line."""
    if content is None:
        return ""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list):
        raise InvalidInput("A message's content is a text, or a list of parts.", field=place)
    texts = []
    for part in parts:
        kind, text = (part.get("type"), part.get("text")) if isinstance(part, dict) else ("", None)
        if kind != "text" or not isinstance(text, str):
            raise InvalidInput(
                f"A part of a message is {str(kind)[:80]!r}, and only texts are read: leave out "
                "images, sound and files.",
                field=place,
            )
        texts.append(text.encode("utf-8", "replace").decode())
    return "\n".join(texts)


class UrlCitation(BaseModel):
    """OpenAI's five fields, and what Promptly knows besides."""

    start_index: Annotated[int, Field(description="Of the [n] in the text, in characters.")]
    end_index: Annotated[int, Field(description="The first character after it.")]
    url: Annotated[
        str,
        Field(description="Where the document is from, or else its address in this API."),
    ]
    title: str
    n: int
    quote: Annotated[str, Field(description="Exactly what stands at [start, end) of the document.")]
    chunk_id: UUID
    document_id: UUID
    source: str
    heading_path: list[str]
    start: int
    end: int


class AnnotationModel(BaseModel):
    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation


class MessageReply(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: Annotated[str, Field(examples=[CONTENT + " [1]"])]
    refusal: None = None
    annotations: Annotated[
        list[AnnotationModel], Field(description="One for each [n], in the order of the text.")
    ]


class ChoiceModel(BaseModel):
    index: Literal[0] = 0
    message: MessageReply
    logprobs: None = None
    finish_reason: Literal["stop", "length"] = "stop"


class UsageModel(BaseModel):
    """In the embedder's tokens: the question with what was said before; the answer."""

    prompt_tokens: Annotated[int, Field(examples=[8])]
    completion_tokens: Annotated[int, Field(examples=[15])]
    total_tokens: Annotated[int, Field(examples=[23])]


class AboutModel(BaseModel):
    """What /v1/answers tells besides, under the same names."""

    answer_id: UUID
    declined: bool
    complete: bool
    dropped_citations: int
    unsupported: list[SpanModel]
    fallback: str | None
    cached: bool
    bias: BiasModel | None
    release_id: str
    timings_ms: dict[str, float]


class ChatReply(BaseModel):
    id: Annotated[str, Field(examples=["chatcmpl-5f0c2a"])]
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: Annotated[str, Field(examples=[MODEL])]
    choices: list[ChoiceModel]
    usage: UsageModel
    system_fingerprint: Annotated[str, Field(description="The release id.")]
    promptly: AboutModel


def from_citations(text: str, citations: Sequence[Citation], base_url: str) -> list[dict[str, Any]]:
    """One for each [n] of `text`; `base_url` is this API's own, with a slash at its end."""
    numbered = {one.n: one for one in citations}
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": match.start(),
                "end_index": match.end(),
                **_cited(numbered[int(match[1])], base_url),
            },
        }
        for match in MARKER.finditer(text)
        if int(match[1]) in numbered
    ]


def _cited(citation: Citation, base_url: str) -> dict[str, Any]:
    title = citation.title or citation.source
    return {**from_citation(citation), "title": title, "url": _url(citation, base_url)}


def _url(citation: Citation, base_url: str) -> str:
    # A source is whatever somebody called it: only a web page's is an address to be opened.
    try:
        if urlsplit(citation.source).scheme in ("http", "https"):
            return citation.source
    except ValueError:
        pass
    return f"{base_url}v1/documents/{citation.document_id}"


def about(answer: Answer) -> dict[str, Any]:
    return {
        "answer_id": str(answer.answer_id),
        "declined": answer.declined,
        "complete": answer.complete,
        "dropped_citations": answer.dropped_citations,
        "unsupported": [asdict(one) for one in answer.unsupported],
        "fallback": answer.fallback,
        "cached": answer.cached,
        "bias": from_bias(answer.bias),
        "release_id": answer.release_id,
        "timings_ms": rounded(answer.timings_ms),
    }
