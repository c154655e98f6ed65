"""GET /v1/models: what the other routes of OpenAI's API take as `model`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from model_pipeline.errors import NotFound
from rag_service.api import openai_errors
from rag_service.api.replies import encoded
from rag_service.api.services import Services

# Answers from every collection that one may read; with a name behind a slash, from that one.
MODEL = "promptly"
# With a collection's name of 200 characters, or an embedder's.
LONGEST_ID = 300


class ModelModel(BaseModel):
    id: Annotated[str, Field(examples=[MODEL, f"{MODEL}/handbook"])]
    object: Literal["model"] = "model"
    created: Annotated[int, Field(description="Not known: 0.", examples=[0])]
    owned_by: Annotated[str, Field(examples=[MODEL])]


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ModelModel]


def model_routes(services: Services) -> APIRouter:
    routes = APIRouter(tags=["openai"], responses=openai_errors.documented())

    @routes.get("/v1/models", response_model=ModelList, summary="List models")
    async def list_models(request: Request) -> Response:
        """`promptly`, `promptly/NAME` for each collection that you may read, and the embedder."""
        found = [_model(one) for one in await _ids(await services.acting_for(request))]
        return _reply({"object": "list", "data": found})

    @routes.get("/v1/models/{model:path}", response_model=ModelModel, summary="Show a model")
    async def show_model(
        model: Annotated[str, Path(description="As `GET /v1/models` lists it.", examples=[MODEL])],
        request: Request,
    ) -> Response:
        """One of those, or 404."""
        if model not in await _ids(await services.acting_for(request)):
            raise unknown(model)
        return _reply(_model(model))

    return routes


def unknown(model: str) -> NotFound:
    return NotFound(
        f"There is no model {model[:LONGEST_ID]!r}: GET /v1/models lists them.", field="model"
    )


def collection_of(model: str) -> str | None:
    """The collection that a model answers from; None for all. Raises NotFound for other models."""
    name, slash, collection = model.partition("/")
    if name != MODEL or (slash and not collection):
        raise unknown(model)
    return collection or None


async def _ids(mine: Services) -> list[str]:
    names = sorted({one.name for one in await run_in_threadpool(mine.collections.visible)})
    embedder = [] if mine.anonymous else [mine.embedder().spec]
    return [MODEL, *(f"{MODEL}/{name}" for name in names), *embedder]


def _model(identity: str) -> dict[str, Any]:
    return {"id": identity, "object": "model", "created": 0, "owned_by": MODEL}


def _reply(body: dict[str, Any]) -> Response:
    return Response(encoded(body), media_type="application/json")
