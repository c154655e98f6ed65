"""The shapes of collections and their members."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from model_pipeline.domain import Collection, Member, Role, Visibility
from rag_service.api.schemas import Name, Strict, Timings


class CollectionModel(BaseModel):
    collection_id: UUID
    name: Annotated[str, Field(examples=["handbook"])]
    visibility: Annotated[Visibility, Field(description="Public: anybody reads.")]
    role: Annotated[Role, Field(description="What you may do with it.", examples=["owner"])]


class CollectionReply(CollectionModel):
    timings_ms: Timings


class CollectionList(BaseModel):
    collections: Annotated[list[str], Field(description="Their names.", examples=[["handbook"]])]
    details: Annotated[list[CollectionModel], Field(description="The same, in the same order.")]
    timings_ms: Timings


class NewCollection(Strict):
    name: Annotated[Name, Field(examples=["handbook"])]
    visibility: Visibility = "private"


class CollectionChange(Strict):
    name: Annotated[Name | None, Field(examples=["handbook"])] = None
    visibility: Visibility | None = None


class MemberModel(BaseModel):
    user_id: Annotated[UUID, Field(description="A person's id, or a service key's.")]
    role: Role
    created_at: Annotated[
        str, Field(description="ISO 8601, UTC.", examples=["2026-01-31T12:00:00Z"])
    ]


class MemberReply(MemberModel):
    timings_ms: Timings


class MemberList(BaseModel):
    members: Annotated[list[MemberModel], Field(description="Who made the collection first.")]
    timings_ms: Timings


class MemberRole(Strict):
    role: Annotated[Role, Field(examples=["reader"])]


def from_collection(collection: Collection) -> dict[str, Any]:
    return {
        "collection_id": str(collection.collection_id),
        "name": collection.name,
        "visibility": collection.visibility,
        "role": collection.role,
    }


def from_member(member: Member) -> dict[str, Any]:
    return {
        "user_id": str(member.user_id),
        "role": member.role,
        "created_at": member.created_at,
    }
