"""Puts the judges of bias together, by their settings."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from bias.ensemble import Ensemble, Member
from bias.model_judge import BEGINNING, SCHEMA, TIMEOUT_S, Ask, ModelJudge, Reply, level_chances
from bias.remembered import Remembered
from bias.verdicts import LEVELS, Judge
from model_pipeline.errors import ConfigurationError
from promptly.generators import naming, options
from promptly.judging import KEY, message
from promptly.settings import Settings
from rag_service.generate.factory import OPENAI, TRANSFORMERS, model_name
from rag_service.generate.told import Told

LOCAL, LOCAL_FILE = "local", "local:"
MAX_NEW_TOKENS = 300  # of a verdict
IN_PROCESS_S = 600.0  # one after another, also without a GPU
WEIGHTED = re.compile(r"(\d+(?:\.\d+)?)\*(.+)")
Progress = Callable[[int, int], None]


def open_judge(
    specs: Sequence[str],
    settings: Settings,
    *,
    remembers: bool = True,
    timeout_s: float = TIMEOUT_S,
    progress: Progress = lambda done, of: None,
) -> Judge:
    """Of "local", "local:<file>", "openai:<base url>#<model>" or "transformers:<model>"; of several
    an ensemble, each with a weight before it, as in "2*local", or 1. What models say is kept under
    PROMPTLY_HOME where it `remembers`; `timeout_s` is an endpoint's, for one text. Loads no
    language model until it is asked. Raises ConfigurationError."""
    members = []
    for spec in specs or (LOCAL,):
        weighted = WEIGHTED.fullmatch(spec)
        weight, name = (float(weighted[1]), weighted[2]) if weighted else (1.0, spec)
        if not weight > 0:
            raise ConfigurationError(f"The judge {spec!r} has no weight: leave it out.")
        judge = _one(name, settings, timeout_s)
        if remembers and isinstance(judge, ModelJudge):
            kept = settings.cache_dir / "bias-verdicts.sqlite"
            judge = Remembered(judge, kept, progress=progress)
        members.append(Member(judge, weight))
    return members[0].judge if len(members) == 1 else Ensemble(members)


def _one(spec: str, settings: Settings, timeout_s: float) -> Judge:
    if spec == LOCAL or spec.startswith(LOCAL_FILE):
        return local_judge(settings, Path(spec.removeprefix(LOCAL_FILE)) if spec != LOCAL else None)
    with naming("--judge", KEY):
        if spec.startswith(OPENAI):
            return _endpoint(spec, settings, timeout_s)
        if spec.startswith(TRANSFORMERS):
            return _in_process(spec, settings)
    raise ConfigurationError(
        f"There is no judge {spec!r}: give {LOCAL}, {LOCAL_FILE}<file>, "
        f"{OPENAI}<base url>#<model> or {TRANSFORMERS}<repository>@<commit>."
    )


def local_judge(settings: Settings, model: Path | None = None) -> Judge:
    """The shipped one, or that of the file `model`. Raises ConfigurationError."""
    from bias.local.judge import LocalJudge  # half a second of every command's start

    threads, folder = settings.threads, settings.cache_dir
    if model is None:
        return LocalJudge(cache_dir=folder, threads=threads)
    return LocalJudge(cache_dir=folder, threads=threads, model=model)


def _endpoint(spec: str, settings: Settings, timeout_s: float) -> Judge:
    from rag_service.generate.openai_teller import OpenAITeller
    from rag_service.generate.openai_writer import parse_endpoint

    endpoint = parse_endpoint(spec.removeprefix(OPENAI))
    key = settings.judge_api_key

    @asynccontextmanager
    async def open_model() -> AsyncIterator[Ask]:
        with naming("--judge", KEY):
            teller = OpenAITeller(
                *endpoint,
                api_key=key.get_secret_value() if key else None,
                context_tokens=settings.context_tokens,
                max_new_tokens=MAX_NEW_TOKENS,
                timeout_s=2 * timeout_s,  # of silence: what ends first is the verdict's time
            )

        async def ask(prompt: str) -> Reply:
            with naming("--judge", KEY):
                return _reply(await teller.tell([message(prompt, teller)], SCHEMA))

        try:
            yield ask
        finally:
            await teller.close()

    return ModelJudge(open_model, model_name(spec), timeout_s=timeout_s)


def _in_process(spec: str, settings: Settings) -> Judge:
    from rag_service.generate.transformers_teller import TransformersTeller
    from rag_service.generate.transformers_writer import parse_weights

    weights, adapter = parse_weights(spec.removeprefix(TRANSFORMERS))

    @cache
    def loaded() -> TransformersTeller:
        folder = options(settings).cache_dir
        return TransformersTeller(weights, adapter, max_new_tokens=MAX_NEW_TOKENS, cache_dir=folder)

    @asynccontextmanager
    async def open_model() -> AsyncIterator[Ask]:
        with naming("--judge", KEY):
            teller = await asyncio.to_thread(loaded)
        levels = [str(level) for level in LEVELS]

        async def ask(prompt: str) -> Reply:
            return _reply(await teller.tell([message(prompt, teller)], BEGINNING, levels))

        yield ask

    return ModelJudge(open_model, model_name(spec), timeout_s=IN_PROCESS_S)


def _reply(told: Told) -> Reply:
    return Reply(told.text, level_chances(told.tokens))
