"""The peer as a service: FastAPI around langchain-postgres' hybrid search, as its guide has it.

Run with uvicorn in the peers' environment; PEER_URL names the database, which is filled already.
"""

import os

from fastapi import FastAPI
from peer import Peer
from pydantic import BaseModel

peer = Peer()
peer.open(os.environ["PEER_URL"], anew=False)
app = FastAPI()


class Question(BaseModel):
    query: str
    k: int = 10


@app.post("/v1/search")
async def search(question: Question):
    found = await peer.store.asimilarity_search(question.query, k=question.k)
    return {"passages": [{"content": one.page_content, **one.metadata} for one in found]}
