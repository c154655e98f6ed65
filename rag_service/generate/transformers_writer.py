"""A language model in this process, by transformers: a Hub repository at a pinned commit, or a
folder; on a GPU where there is one.

Requests that wait together are generated together. Each gets its tokens as they come, and a reader
who leaves ends their own at the next token.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from model_pipeline.chat import prompt_text
from model_pipeline.domain import AS_RELEASED, Wording
from model_pipeline.errors import ConfigurationError, ModelUnavailable
from rag_service.generate.writer import CUT, Cut, Message, Spent, unheard

log = structlog.get_logger()
COMMIT = re.compile(r"[0-9a-f]{40}")
INSTALL = "`pip install 'promptly-rag[torch]'`"
# Where a model's own configuration does not say how much it reads.
USUAL_CONTEXT = 4096
# Those who ask at the same moment should not wait for one another.
GATHERING_S = 0.01
END = None  # in a request's queue: nothing follows


@dataclass(frozen=True, slots=True)
class Weights:
    """`place` is a Hub repository with its `commit`, or a folder without one."""

    place: str
    commit: str | None = None

    @property
    def name(self) -> str:
        """The same for the same weights alone: a folder goes by what is in it."""
        if self.commit:
            return f"{self.place}@{self.commit}"
        return f"{Path(self.place).name}@{_content_hash(Path(self.place))}"


def parse_weights(spec: str) -> tuple[Weights, Weights | None]:
    """The model and its LoRA adapter, if any, of "<model>" or "<model>+<adapter>", each
    "<repository>@<commit>" or a folder. Raises ConfigurationError."""
    if Path(spec).expanduser().is_dir():  # its name may hold a plus sign
        return _weights(spec), None
    model, plus, adapter = spec.partition("+")
    return _weights(model), _weights(adapter) if plus else None


def weights_name(model: Weights, adapter: Weights | None = None) -> str:
    return "+".join(one.name for one in (model, adapter) if one)


def _weights(spec: str) -> Weights:
    folder = Path(spec).expanduser()
    if spec and folder.is_dir():
        return Weights(str(folder.resolve()))
    place, _, commit = spec.partition("@")
    if not re.fullmatch(r"[\w-][\w.-]*(?:/[\w.-]+)?", place):
        raise ConfigurationError(
            f"PROMPTLY_GENERATOR names {spec!r}, which is neither a folder here nor a Hub "
            "repository: write transformers:owner/name@<commit>, or the path of a folder."
        )
    if not COMMIT.fullmatch(commit):
        raise ConfigurationError(
            f"PROMPTLY_GENERATOR names {place!r}, which is no folder here, and as a Hub repository "
            f"lacks its commit: write {place}@<40 hexadecimal digits>, so that a release is always "
            "the same model."
        )
    return Weights(place, commit)


def _content_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(one for one in folder.iterdir() if one.is_file()):
        with path.open("rb") as file:
            digest.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


@dataclass(eq=False)
class _Request:
    prompt: str
    wording: Wording = AS_RELEASED
    pieces: asyncio.Queue[str | Cut | Exception | None] = field(default_factory=asyncio.Queue)
    prompt_tokens: int = 0
    """0 until it is begun."""
    tokens: list[int] = field(default_factory=list)
    told: int = 0
    """Characters handed out."""
    left: bool = False
    """Its reader is gone."""
    ended: bool = False
    cut: bool = False
    """By the most tokens that it may have."""


class TransformersWriter:
    """`batch` is how many requests are generated at once. Made in a thread: it loads the model."""

    def __init__(
        self,
        model: Weights,
        adapter: Weights | None = None,
        *,
        max_new_tokens: int = 512,
        batch: int = 8,
        cache_dir: Path | None = None,
        spent: Spent = unheard,
    ) -> None:
        self._spent = spent
        self._tokenizer, self._model = load(model, adapter, cache_dir)
        # One of its own to count with: a tokenizer fails where its settings change while another
        # thread uses it.
        self._counting: Any = deepcopy(self._tokenizer)
        self.name = weights_name(model, adapter)
        self.max_new_tokens = max_new_tokens
        self.special_tokens = _special_tokens(self._tokenizer)
        self.context_tokens = context_tokens(self._model.config, self._tokenizer)
        if self.context_tokens <= 2 * max_new_tokens:
            self.max_new_tokens = self.context_tokens // 4
        self._batch = batch
        self._waiting: deque[_Request] = deque()
        self._running: list[_Request] = []
        self._task: asyncio.Task[None] | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="generate")

    def count_tokens(self, text: str) -> int:
        return len(self._counting(text, add_special_tokens=False, verbose=False)["input_ids"])

    async def write(
        self, messages: Sequence[Message], wording: Wording = AS_RELEASED
    ) -> AsyncGenerator[str | Cut]:
        """Greedy unless `wording` has a temperature. Raises ModelUnavailable."""
        request = _Request(self._prompt(messages), replace(wording, stop=()))
        self._waiting.append(request)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        try:
            while (piece := await request.pieces.get()) is not END:
                if isinstance(piece, Exception):
                    raise ModelUnavailable(said_of(piece)) from piece
                yield piece
        finally:
            request.left = True
            if request.prompt_tokens:
                self._spent(request.prompt_tokens, len(request.tokens))

    async def close(self) -> None:
        """Ends what is being generated at the next token."""
        for request in (*self._running, *self._waiting):
            request.left = True
        await asyncio.to_thread(self._executor.shutdown)

    def _prompt(self, messages: Sequence[Message]) -> str:
        turns = [{"role": one.role, "content": one.content} for one in messages]
        return prompt_text(self._counting, turns)

    async def _work(self) -> None:
        """Until nobody waits: whoever waits now is the next batch."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(GATHERING_S)
            waiting = [one for one in self._waiting if not one.left]
            self._running = self._together(waiting)
            self._waiting = deque(one for one in waiting if one not in self._running)
            if not self._running:
                continue
            failed: Exception | None = None
            try:
                await loop.run_in_executor(self._executor, self._generate, self._running, loop)
            except Exception as error:  # those who wait for it are told
                log.warning("model_unavailable", model=self.name, error=repr(error)[:500])
                failed = error.with_traceback(None)  # which holds what was computed
            if failed is not None:
                again = self._once_more(failed)
                for request in self._running:
                    if request not in again:
                        request.pieces.put_nowait(failed)
                self._waiting.extendleft(reversed(again))
            self._running = []

    def _once_more(self, failed: Exception) -> list[_Request]:
        """Where there was no memory for so many at once, those who were told nothing yet: they go
        again, in smaller batches from now on."""
        import torch

        if not isinstance(failed, torch.OutOfMemoryError):
            return []
        torch.cuda.empty_cache()
        if len(self._running) == 1:
            return []
        self._batch = len(self._running) // 2
        again = [one for one in self._running if not one.told]
        for request in again:
            request.tokens = []
        return again

    def _together(self, waiting: Sequence[_Request]) -> list[_Request]:
        """The next batch: those that are worded as the first is. One with a seed goes alone, since
        what is drawn for one row depends on the others."""
        alike = [one for one in waiting if one.wording == waiting[0].wording]
        return alike[: 1 if alike and alike[0].wording.is_seeded else self._batch]

    def _generate(self, batch: Sequence[_Request], loop: asyncio.AbstractEventLoop) -> None:
        import torch

        encoded = self._tokenizer(
            [one.prompt for one in batch],
            add_special_tokens=False,  # the template has them
            padding=True,
            padding_side="left",
            return_tensors="pt",
        ).to(self._model.device)
        for request, own in zip(batch, encoded["attention_mask"].sum(1).tolist(), strict=True):
            request.prompt_tokens = own
        ends = self._model.generation_config.eos_token_id or self._tokenizer.eos_token_id
        progress = _Progress(batch, self._tokenizer, ends, loop)
        wording, device = batch[0].wording, self._model.device
        forked = torch.random.fork_rng(
            [device] if device.type == "cuda" else [], enabled=wording.is_seeded
        )
        with torch.inference_mode(), forked:
            if wording.seed is not None and wording.is_seeded:
                torch.manual_seed(wording.seed)
            self._model.generate(
                input_ids=encoded["input_ids"],
                attention_mask=encoded["attention_mask"],
                generation_config=self._configured(wording, ends),
                streamer=progress,
                stopping_criteria=[progress.stops],
            )

    def _configured(self, wording: Wording, ends: Any) -> Any:
        from transformers import GenerationConfig

        configured: Any = GenerationConfig
        drawn: dict[str, Any] = {"do_sample": False}
        if wording.is_random:
            top_p = 1.0 if wording.top_p is None else wording.top_p
            drawn = {
                "do_sample": True, "temperature": wording.temperature, "top_p": top_p, "top_k": 0,
            }  # fmt: skip
        return configured(
            **drawn,
            max_new_tokens=min(self.max_new_tokens, wording.max_tokens or self.max_new_tokens),
            eos_token_id=ends,
            pad_token_id=self._tokenizer.pad_token_id,
        )


class _Progress:
    """Hands each request of a batch its text; transformers calls `put` with the prompts first, then
    with one token of each row."""

    def __init__(
        self,
        batch: Sequence[_Request],
        tokenizer: Any,
        ends: int | list[int] | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._batch = batch
        self._tokenizer = tokenizer
        self._ends = {ends} if isinstance(ends, int) else set(ends or ())
        self._loop = loop
        self._prompts = True

    def put(self, value: Any) -> None:
        if self._prompts:
            self._prompts = False
            return
        for request, token in zip(self._batch, value.tolist(), strict=True):
            if request.left or request.ended:
                continue
            request.ended = token in self._ends
            if not request.ended:
                request.tokens.append(token)
            self._tell(request)

    def end(self) -> None:
        for request in self._batch:
            if not request.ended:
                request.ended = request.cut = True
                self._tell(request)

    def stops(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Which rows are done because nobody reads them, [batch]."""
        import torch

        return torch.tensor([one.left for one in self._batch], device=input_ids.device)

    def _tell(self, request: _Request) -> None:
        text = self._tokenizer.decode(request.tokens, skip_special_tokens=True)
        # A character of several tokens is not whole yet.
        broken = text.endswith("\N{REPLACEMENT CHARACTER}") and not request.ended
        if len(text) > request.told and not broken:
            fresh, request.told = text[request.told :], len(text)
            self._loop.call_soon_threadsafe(request.pieces.put_nowait, fresh)
        if request.ended:
            for last in (CUT, END) if request.cut else (END,):
                self._loop.call_soon_threadsafe(request.pieces.put_nowait, last)


def said_of(failed: Exception) -> str:
    import torch

    if isinstance(failed, torch.OutOfMemoryError):
        return "The language model has no memory left for this: ask in fewer words, or again later."
    return "The language model failed: ask again."


def load(model: Weights, adapter: Weights | None, cache_dir: Path | None) -> tuple[Any, Any]:
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils.peft_utils import find_adapter_config_file
    except ImportError as error:
        raise ConfigurationError(
            f"The generator 'transformers' is not installed: {INSTALL}."
        ) from error
    # No code of a repository is run, and no pickle is opened.
    where = {"revision": model.commit, "cache_dir": cache_dir, "trust_remote_code": False}
    cuda = torch.cuda.is_available()
    try:
        if find_adapter_config_file(model.place, revision=model.commit, cache_dir=cache_dir):
            raise ConfigurationError(
                f"{model.place} is an adapter: name its model before it, as in "
                "transformers:<model>@<commit>+<adapter>."
            )
        tokenizer: Any = AutoTokenizer.from_pretrained(model.place, **where)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model.place, use_safetensors=True, dtype="auto" if cuda else torch.float32, **where
        )
        if adapter:
            loaded = _merged(loaded, adapter, cache_dir)
        if not (
            cuda and loaded.device.type == "cuda"
        ):  # quantised ones are, and refuse to be moved
            loaded = loaded.to("cuda" if cuda else "cpu")
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        names = "+".join(one.place for one in (model, adapter) if one)
        raise ConfigurationError(f"The model {names} cannot be loaded: {reason}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, loaded.eval()


def _merged(model: Any, adapter: Weights, cache_dir: Path | None) -> Any:
    """With the adapter's weights added to the model's own: it costs nothing per token."""
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ConfigurationError(f"Adapters need the extra torch: {INSTALL}.") from error
    attached: Any = PeftModel.from_pretrained(
        model, adapter.place, revision=adapter.commit, cache_dir=cache_dir
    )
    return attached.merge_and_unload()


def _special_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Those that are special, and those that look it: a template may use them all the same."""
    added = [(str(one), one.special) for one in tokenizer.added_tokens_decoder.values()]
    return special_of(added + [(str(one), True) for one in tokenizer.all_special_tokens])


def special_of(added: Iterable[tuple[str, bool]]) -> tuple[str, ...]:
    """Of a tokenizer's added tokens, each with whether it says that it is special."""
    found = {one for one, special in added if special or re.fullmatch(r"[<\[].*[>\]]", one)}
    return tuple(sorted(one for one in found if len(one) > 1 and not one.isspace()))


def context_tokens(config: Any, tokenizer: Any) -> int:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    limits = [getattr(text, "max_position_embeddings", None), tokenizer.model_max_length]
    given = [int(one) for one in limits if one and one < 10**7]  # tokenizers say 10**30 for none
    return min(given, default=USUAL_CONTEXT)
