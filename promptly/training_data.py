"""Builds what makes training data: a door to the material, the service's own search, prompt and
citations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from model_pipeline import material
from model_pipeline.domain import Embedder, Passage, Turn
from model_pipeline.errors import ConfigurationError, NotFound
from model_pipeline.evaluation import generated
from model_pipeline.evaluation.generated import Candidate
from model_pipeline.evaluation.generated import Source as Passages
from model_pipeline.in_use import require_same
from model_pipeline.store import training_lines
from model_pipeline.store.connect import open_async_pool, open_pool
from model_pipeline.store.doors import Door, PostgresDoor, SupabaseDoor
from model_pipeline.store.pg_store import PgStore
from model_pipeline.store.retrieval import PgRetriever
from model_pipeline.store.supabase_retrieval import SupabaseRetriever
from promptly import bootstrap
from promptly.evaluating import evaluating, model_questions
from promptly.settings import Settings
from rag_service.condense import condense
from rag_service.generate.extractive import declined
from rag_service.generate.openai_writer import BYTES_PER_TOKEN
from rag_service.generate.prompt import Prompt, plain
from rag_service.generate.recited import recited
from rag_service.generate.transformers_writer import special_of
from rag_service.retrieve import Retriever, cleaned
from training import manifest
from training.config import FinetuneConfig
from training.data.files import CARD, PAGE, name_of
from training.data.make import Made, Material, Tell
from training.data.rows import Ask, Asking, Message, Tools
from training.data.split import SIDES

AT_ONCE = 4  # searches


@dataclass(frozen=True, slots=True)
class Source:
    """Where training data is made from, through one of the two doors."""

    door: Door
    tools: Tools
    put: Callable[[str, Sequence[Path]], None]

    def keep(self, made: Made) -> None:
        """In the database; what tells that it is whole comes last."""
        names = (*map(name_of, SIDES), CARD, PAGE, manifest.NAME)
        self.put(made.hash, [made.folder / name for name in names])


@contextmanager
def source(
    settings: Settings,
    config: FinetuneConfig,
    *,
    https: bool,
    by_model: bool,
    seed: int,
    tell: Tell,
) -> Iterator[Source]:
    """Prompts are as long as a model of `config` reads them. With `by_model` the language model
    that is set words questions; raises ConfigurationError where none is, and where a key lacks."""
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        executor = stack.enter_context(ThreadPoolExecutor(2, thread_name_prefix="embed"))
        if https and (settings.supabase_user_token or not settings.supabase_secret_key):
            raise ConfigurationError(
                "Training data is checked against every frozen test set, which only the project's "
                "secret key may read: set SUPABASE_SECRET_KEY without SUPABASE_USER_TOKEN, or "
                "leave --https away."
            )
        if https:
            client = stack.enter_context(bootstrap.supabase_client(settings))
            over_https = SupabaseRetriever(client)
            stored = over_https.embedder()
            embedder = bootstrap.embedder(settings, stored.spec)
            require_same(embedder, stored)
            retriever = Retriever(embedder, over_https, executor)
            door: Door = SupabaseDoor(client)
            put = partial(training_lines.put_over_https, client)
        else:
            conninfo = stack.enter_context(bootstrap.database(settings))
            pool = stack.enter_context(open_pool(conninfo, min_size=1, max_size=2))
            embedders = bootstrap.in_use(settings, PgStore(pool))
            embedder = embedders.current
            opened = open_async_pool(conninfo, min_size=1, max_size=AT_ONCE)
            searching = runner.run(opened.__aenter__())
            stack.callback(lambda: runner.run(opened.__aexit__(None, None, None)))
            retriever = Retriever(embedder, PgRetriever(searching), executor, embedders.follow)
            door = PostgresDoor(pool)
            put = partial(training_lines.put, pool)
        tools = _tools(runner, retriever, embedder, config)
        if by_model:
            tools = replace(tools, ask=_asking(settings, stack, runner, seed, tell))
        yield Source(door, tools, put)


def collected(door: Door, collections: Sequence[str]) -> Material:
    """Raises NotFound for a collection without a document and without an answer."""
    for name in collections:
        if not any(True for _ in material.passages(door, name)) and not any(
            True for _ in material.rated(door, name)
        ):
            raise NotFound(f"There is no collection {name!r} with documents or rated answers.")
    wanted: Sequence[str | None] = list(dict.fromkeys(collections)) or [None]
    return Material(
        (one for name in wanted for one in material.passages(door, name)),
        (one for name in wanted for one in material.rated(door, name)),
        material.test_sets(door),
    )


def _tools(
    runner: asyncio.Runner, retriever: Retriever, embedder: Embedder, config: FinetuneConfig
) -> Tools:
    prompt = Prompt()
    reader = FinetunedReader(config)

    async def search(one: Asking, turn: asyncio.Semaphore) -> Sequence[Passage]:
        asked = condense(cleaned(one.question), one.history)
        async with turn:
            try:
                found = await retriever.retrieve(
                    asked.question, k=one.k, collection=one.collection, words=asked.words,
                    context=asked.context,
                )  # fmt: skip
            except NotFound:  # its collection was removed since it was asked
                return ()
        return found.passages

    async def search_all(wanted: Sequence[Asking]) -> list[Sequence[Passage]]:
        turn = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(search(one, turn) for one in wanted))

    def messages(
        question: str, passages: Sequence[Passage], history: Sequence[Turn]
    ) -> tuple[list[Message], int]:
        asked = condense(cleaned(question), history)
        found, room = prompt.messages(asked.text, passages, history, reader)
        return [{"role": one.role, "content": one.content} for one in found], room

    return Tools(
        find=lambda wanted: runner.run(search_all(wanted)),
        prompt=messages,
        cite=lambda question, answer, passages: recited(question, answer, passages, embedder),
        plain=lambda text: plain(text, reader.special_tokens),
        declines=declined(()).text,
        name=prompt.name,
    )


def _asking(
    settings: Settings, stack: ExitStack, runner: asyncio.Runner, seed: int, tell: Tell
) -> Ask:
    opened = stack.enter_context(evaluating(settings))

    async def asked(collection: str, passages: Sequence[Passages], many: int) -> list[Candidate]:
        async with model_questions(settings, opened, collection) as model:
            return await generated.by_model(
                passages, model.ask, n=many, seed=seed,
                progress=lambda done: tell(f"questions of {collection}", done, many),
            )  # fmt: skip

    return lambda collection, passages, many: runner.run(asked(collection, passages, many))


class FinetunedReader:
    """As much as the model reads that is to be fine-tuned: by its own tokenizer where it is a
    folder, else guessed as for a model behind an endpoint."""

    def __init__(self, config: FinetuneConfig) -> None:
        self.context_tokens = config.max_tokens
        self.max_new_tokens = config.max_new_tokens
        file = Path(config.base_model).expanduser() / "tokenizer.json"
        self._tokenizer = Tokenizer.from_file(str(file)) if file.is_file() else None
        self.special_tokens = _special(self._tokenizer) if self._tokenizer else ()

    def count_tokens(self, text: str) -> int:
        if self._tokenizer is None:
            return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _special(tokenizer: Any) -> tuple[str, ...]:
    """As a model in this process has them."""
    added = tokenizer.get_added_tokens_decoder().values()
    return special_of((one.content, one.special) for one in added)
