"""/v1/collections: what there is, who made it, and who else may use it."""

from __future__ import annotations

import time
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from model_pipeline.errors import InvalidInput
from rag_service.api.collection_schemas import (
    CollectionChange,
    CollectionList,
    CollectionReply,
    MemberList,
    MemberReply,
    MemberRole,
    NewCollection,
    from_collection,
    from_member,
)
from rag_service.api.replies import reply, since
from rag_service.api.services import Services

CollectionId = Annotated[
    UUID,
    Path(
        description="As `GET /v1/collections` lists it.",
        examples=["5f0c2a1e-6c1e-4f3a-9d42-3b5f0e8c7a11"],
    ),
]
UserId = Annotated[
    UUID,
    Path(
        description="A person's id in Supabase Auth, or a service key's.",
        examples=["8d1f6c0e-4b7a-4e52-8f0d-2c9a7b1e3d55"],
    ),
]


def collection_routes(services: Services) -> APIRouter:
    routes = APIRouter(tags=["collections"])

    @routes.get("/v1/collections", response_model=CollectionList, summary="List collections")
    async def list_collections(request: Request) -> Response:
        """Those that you may read, by name, and what you may do with each."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        found = [from_collection(one) for one in await run_in_threadpool(mine.collections.visible)]
        names = [one["name"] for one in found]
        return reply({"collections": names, "details": found, "timings_ms": since(started)})

    @routes.post(
        "/v1/collections",
        status_code=201,
        response_model=CollectionReply,
        summary="Make a collection",
    )
    async def create_collection(body: NewCollection, request: Request) -> Response:
        """It is yours. Your first document into a new name makes one as well."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        made = await run_in_threadpool(mine.collections.create, body.name, body.visibility)
        return reply({**from_collection(made), "timings_ms": since(started)}, status=201)

    @routes.patch(
        "/v1/collections/{collection_id}",
        response_model=CollectionReply,
        summary="Rename or publish a collection",
    )
    async def change_collection(
        collection_id: CollectionId, body: CollectionChange, request: Request
    ) -> Response:
        """Its owners change its visibility; who made it, its name too."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        if body.name is None and body.visibility is None:
            raise InvalidInput("Nothing is to change: send a name, a visibility, or both.")
        changed = await run_in_threadpool(
            mine.collections.change, collection_id, name=body.name, visibility=body.visibility
        )
        return reply({**from_collection(changed), "timings_ms": since(started)})

    @routes.delete(
        "/v1/collections/{collection_id}", status_code=204, summary="Delete a collection"
    )
    async def delete_collection(collection_id: CollectionId, request: Request) -> Response:
        """With all its documents. For its owners."""
        mine = await services.acting_for(request)
        await run_in_threadpool(mine.collections.delete, collection_id)
        return Response(status_code=204)

    @routes.get(
        "/v1/collections/{collection_id}/members",
        response_model=MemberList,
        summary="List a collection's members",
    )
    async def list_members(collection_id: CollectionId, request: Request) -> Response:
        """Who may use it, and how. For its owners."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        found = await run_in_threadpool(mine.collections.members, collection_id)
        members = [from_member(one) for one in found]
        return reply({"members": members, "timings_ms": since(started)})

    @routes.put(
        "/v1/collections/{collection_id}/members/{user_id}",
        response_model=MemberReply,
        summary="Let someone in",
    )
    async def set_member(
        collection_id: CollectionId, user_id: UserId, body: MemberRole, request: Request
    ) -> Response:
        """As a reader, an editor or an owner; again changes which. For its owners."""
        started = time.perf_counter()
        mine = await services.acting_for(request)
        found = await run_in_threadpool(
            mine.collections.set_member, collection_id, user_id, body.role
        )
        return reply({**from_member(found), "timings_ms": since(started)})

    @routes.delete(
        "/v1/collections/{collection_id}/members/{user_id}",
        status_code=204,
        summary="Let someone in no more",
    )
    async def remove_member(
        collection_id: CollectionId, user_id: UserId, request: Request
    ) -> Response:
        """Who made the collection stays. For its owners."""
        mine = await services.acting_for(request)
        await run_in_threadpool(mine.collections.remove_member, collection_id, user_id)
        return Response(status_code=204)

    return routes
