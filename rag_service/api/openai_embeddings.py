"""POST /v1/embeddings: the vectors of texts, by the embedder in use."""

from __future__ import annotations

import asyncio
import base64
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import BaseModel, Field, WithJsonSchema
from starlette.responses import Response

from model_pipeline.documents.split import SPECIAL_TOKENS
from model_pipeline.domain import Embedder
from model_pipeline.errors import InvalidInput, TooLarge, Unauthorized
from rag_service.api import openai_errors
from rag_service.api.openai_models import LONGEST_ID, unknown
from rag_service.api.replies import encoded
from rag_service.api.schemas import Whole
from rag_service.api.services import Services

MAX_TEXTS = 2048
# Texts embedded at once: between two such pieces questions get their turn.
PIECE = 32
TEXTS = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_TEXTS},
    ]
}


class EmbeddingRequest(BaseModel):
    """What else OpenAI's clients send is ignored."""

    model: Annotated[str, Field(max_length=LONGEST_ID, examples=["onnx:all-MiniLM-L6-v2"])]
    input: Annotated[
        Any,
        WithJsonSchema(TEXTS),
        Field(description="A text, or a list of texts.", examples=["Opening hours"]),
    ]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[Whole | None, Field(description="The embedder's own, or none.")] = None


class EmbeddingModel(BaseModel):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: Annotated[
        list[float] | str,
        Field(
            description="Of length 1; in base64, as little-endian float32.", examples=[[0.6, 0.8]]
        ),
    ]


class EmbeddingUsage(BaseModel):
    prompt_tokens: Annotated[int, Field(description="In the embedder's own tokens.", examples=[2])]
    total_tokens: Annotated[int, Field(examples=[2])]


class EmbeddingReply(BaseModel):
    object: Literal["list"] = "list"
    data: list[EmbeddingModel]
    model: str
    usage: EmbeddingUsage


def embedding_routes(services: Services) -> APIRouter:
    routes = APIRouter(tags=["openai"], responses=openai_errors.documented())
    turn = asyncio.Lock()  # so that of the executor's threads one is left to questions

    @routes.post("/v1/embeddings", response_model=EmbeddingReply, summary="Embed texts")
    async def embed(body: EmbeddingRequest, request: Request) -> Response:
        """Unit vectors by the embedder that makes those in the store, in the order given."""
        async with asyncio.timeout(services.limits.request_timeout_s):
            mine = await services.acting_for(request)
            if mine.anonymous:
                # Whatever is public may be read by anybody; this is work for somebody.
                raise Unauthorized(
                    "Texts are embedded for those who are signed in: send an access token or a key."
                )
            embedder = mine.embedder()
            texts = _texts(body, embedder)
            loop = asyncio.get_running_loop()
            run = partial(loop.run_in_executor, mine.executor)
            counts = await run(embedder.count_tokens, texts)
            _require_short(counts, embedder)
            async with turn:
                vectors = [
                    await run(embedder.embed, texts[start : start + PIECE])
                    for start in range(0, len(texts), PIECE)
                ]
            content = await run(_reply, body, np.concatenate(vectors), sum(counts))
        return Response(content, media_type="application/json")

    return routes


def _texts(body: EmbeddingRequest, embedder: Embedder) -> list[str]:
    """The checked texts. Raises NotFound, InvalidInput, TooLarge."""
    if body.model != embedder.spec:
        raise unknown(body.model)
    if body.dimensions not in (None, embedder.dimensions):
        raise InvalidInput(
            f"{body.model} has {embedder.dimensions} dimensions, not {body.dimensions}: leave the "
            "field out.",
            field="dimensions",
        )
    given = [body.input] if isinstance(body.input, str) else body.input
    if not isinstance(given, list) or not given:
        raise InvalidInput("The input is no text: send a string or a list of some.", field="input")
    if len(given) > MAX_TEXTS:
        raise TooLarge(
            f"The input has {len(given):,} texts: send at most {MAX_TEXTS:,} at once.",
            field="input",
        )
    for index, text in enumerate(given):
        if isinstance(text, int | list):
            raise InvalidInput(
                "The input is in tokens, which each model counts its own way: send texts.",
                field="input",
            )
        if not isinstance(text, str) or not text.strip():
            raise InvalidInput(
                f"Text {index} of the input is empty or no text: leave it out.", field="input"
            )
    return given


def _require_short(counts: list[int], embedder: Embedder) -> None:
    """What is longer would be cut off without a word."""
    most = embedder.max_tokens - SPECIAL_TOKENS
    for index, count in enumerate(counts):
        if count > most:
            raise InvalidInput(
                f"Text {index} of the input has {count:,} tokens, and {embedder.spec} reads "
                f"{most:,}: split it.",
                field="input",
            )


def _reply(body: EmbeddingRequest, vectors: NDArray[np.float32], tokens: int) -> bytes:
    shown: list[Any] = vectors.tolist()
    if body.encoding_format == "base64":
        rows = vectors.astype("<f4", copy=False)
        shown = [base64.b64encode(row.tobytes()).decode("ascii") for row in rows]
    data = [
        {"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(shown)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return encoded({"object": "list", "data": data, "model": body.model, "usage": usage})
