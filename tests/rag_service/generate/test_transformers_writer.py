"""Real, tiny models by transformers: pinned, streamed, batched, stopped."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from model_pipeline.domain import AS_RELEASED, Wording
from model_pipeline.errors import ConfigurationError, ModelUnavailable
from rag_service.generate.factory import WriterOptions, open_writer
from rag_service.generate.transformers_writer import (
    TransformersWriter,
    Weights,
    parse_weights,
)
from rag_service.generate.writer import CUT, Cut, Message
from tests.language_models import make_adapter, make_language_model
from tests.rag_service.generate.conftest import SAYS

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ASKED = [Message("system", "Answer."), Message("user", "When is the shop open?")]


@pytest.fixture(scope="module")
def writer(tiny_llama: Path) -> Iterator[TransformersWriter]:
    opened = TransformersWriter(Weights(str(tiny_llama)), max_new_tokens=120)
    yield opened
    asyncio.run(opened.close())


async def all_of(
    writer: TransformersWriter, messages: list[Message] = ASKED, wording: Wording = AS_RELEASED
) -> list[str | Cut]:
    return [piece async for piece in writer.write(messages, wording)]


async def pieces(
    writer: TransformersWriter, messages: list[Message] = ASKED, wording: Wording = AS_RELEASED
) -> list[str]:
    found = await all_of(writer, messages, wording)
    return [piece for piece in found if isinstance(piece, str)]


def test_an_answer_comes_token_by_token_and_ends(writer: TransformersWriter) -> None:
    found = asyncio.run(pieces(writer))
    assert "".join(found) == SAYS
    assert CUT not in asyncio.run(all_of(writer))
    assert len(found) > 15


def test_a_long_answer_is_bounded_and_its_tokens_are_told(tiny_llama: Path) -> None:
    spent: list[tuple[int, int]] = []
    short = TransformersWriter(
        Weights(str(tiny_llama)), max_new_tokens=7, spent=lambda *tokens: spent.append(tokens)
    )
    assert len(asyncio.run(pieces(short))) == 7
    assert spent == [(short.count_tokens(short._prompt(ASKED)), 7)]
    assert asyncio.run(all_of(short))[-1] is CUT


def test_those_who_wait_together_are_generated_together(writer: TransformersWriter) -> None:
    """Each its own answer, whatever their lengths, and the same as alone."""
    asked = [[Message("user", "When? " * n)] for n in (1, 40, 7)]
    batches: list[int] = []
    generate = writer._generate

    def noted(batch: list[object], loop: asyncio.AbstractEventLoop) -> None:
        batches.append(len(batch))
        generate(batch, loop)  # type: ignore[arg-type]

    async def all_at_once() -> list[list[str]]:
        return list(await asyncio.gather(*[pieces(writer, one) for one in asked]))

    alone = [asyncio.run(pieces(writer, one)) for one in asked]
    writer._generate = noted  # type: ignore[method-assign, assignment]
    try:
        together = asyncio.run(all_at_once())
    finally:
        del writer._generate  # type: ignore[method-assign]
    assert together == alone
    assert batches == [3]


def test_a_reader_who_leaves_ends_the_generation(tiny_llama: Path) -> None:
    """One who stays gets everything; and nothing is generated for nobody."""
    endless = TransformersWriter(Weights(str(tiny_llama)), max_new_tokens=1500, batch=2)
    endless._model.generation_config.eos_token_id = 10**6  # it does not end by itself

    async def leave() -> float:
        reading = endless.write(ASKED)
        await anext(reading)
        await reading.aclose()
        left = time.perf_counter()
        while endless._running:  # noqa: ASYNC110 - set by its own task
            await asyncio.sleep(0.001)
        return time.perf_counter() - left

    async def whole() -> float:
        started = time.perf_counter()
        assert len(await pieces(endless)) > 200
        return time.perf_counter() - started

    assert asyncio.run(leave()) < asyncio.run(whole()) / 5

    async def one_stays() -> list[str]:
        reading = endless.write(ASKED)
        staying = asyncio.create_task(pieces(endless))
        await anext(reading)
        await reading.aclose()
        return await staying

    assert "".join(asyncio.run(one_stays())).startswith(SAYS)


def drawn(writer: TransformersWriter, **wording: float) -> str:
    return "".join(asyncio.run(pieces(writer, ASKED, Wording(max_tokens=40, **wording))))  # type: ignore[arg-type]


def test_what_is_drawn_by_chance_differs_but_for_the_same_seed(writer: TransformersWriter) -> None:
    torch.manual_seed(0)
    found = {drawn(writer, temperature=2.0) for _ in range(5)}
    assert len(found) > 1
    assert drawn(writer, temperature=2.0, seed=7) == drawn(writer, temperature=2.0, seed=7)
    seeded = {drawn(writer, temperature=2.0, seed=seed) for seed in range(5)}
    assert len(seeded) > 1
    # Only the likeliest is left to draw from; and without a temperature nothing is drawn.
    greedy = drawn(writer)
    assert SAYS.startswith(greedy)
    assert drawn(writer, temperature=2.0, top_p=1e-6) == greedy
    assert drawn(writer, temperature=2.0, top_p=0.0) == greedy
    assert drawn(writer, top_p=0.5, seed=7) == greedy


def test_a_seed_leaves_everybody_elses_chance_alone(writer: TransformersWriter) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    drawn(writer, temperature=2.0, seed=7)
    drawn(writer)  # which begins after that has ended
    assert torch.equal(torch.rand(1), expected)


def test_each_is_worded_as_it_asked_for_among_others(writer: TransformersWriter) -> None:
    asked = [
        Wording(max_tokens=3), AS_RELEASED, Wording(temperature=1.5, seed=3, max_tokens=9),
        Wording(max_tokens=3, stop=("x",)), Wording(max_tokens=10**6),
        Wording(temperature=1.5, seed=3, max_tokens=9),
    ]  # fmt: skip

    async def together() -> list[list[str | Cut]]:
        return list(await asyncio.gather(*[all_of(writer, ASKED, one) for one in asked]))

    short, whole, seeded, stopped, long, again = asyncio.run(together())
    assert len(short) == len(stopped) == 4 and short[-1] is CUT
    assert "".join(map(str, whole)) == "".join(map(str, long)) == SAYS
    assert seeded == again == asyncio.run(all_of(writer, ASKED, asked[2]))


def test_who_leaves_while_waiting_is_never_generated(writer: TransformersWriter) -> None:
    async def leave() -> None:
        reading = asyncio.ensure_future(anext(writer.write(ASKED)))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.sleep(0.1)
        assert not writer._running
        assert not writer._waiting

    asyncio.run(leave())


def test_what_fails_is_told_to_those_who_wait(tiny_llama: Path) -> None:
    broken = TransformersWriter(Weights(str(tiny_llama)))
    broken._model.lm_head = None
    with pytest.raises(ModelUnavailable, match="failed"):
        asyncio.run(pieces(broken))


def test_too_many_at_once_for_the_memory_are_fewer_from_then_on(tiny_llama: Path) -> None:
    """Nobody who was told nothing yet learns of it; one alone that does not fit is told so."""
    writer = TransformersWriter(Weights(str(tiny_llama)), max_new_tokens=120)
    generate, batches, most = writer._generate, [], 1

    def short_of_memory(batch: list[object], loop: asyncio.AbstractEventLoop) -> None:
        batches.append(len(batch))
        if len(batch) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        generate(batch, loop)  # type: ignore[arg-type]

    writer._generate = short_of_memory  # type: ignore[method-assign, assignment]

    async def together() -> list[list[str]]:
        return list(await asyncio.gather(*[pieces(writer) for _ in range(3)]))

    assert ["".join(one) for one in asyncio.run(together())] == [SAYS] * 3
    assert batches == [3, 1, 1, 1]
    most = 0
    with pytest.raises(ModelUnavailable, match="no memory left for this: ask in fewer words"):
        asyncio.run(pieces(writer))
    most = 1
    assert "".join(asyncio.run(pieces(writer))) == SAYS


def test_who_was_told_something_is_not_told_it_again(tiny_llama: Path) -> None:
    """Out of memory in the middle of an answer: its reader learns of it, who waits does not."""
    writer = TransformersWriter(Weights(str(tiny_llama)), max_new_tokens=120)
    generate = writer._generate

    def full_later(batch: list[Any], loop: asyncio.AbstractEventLoop) -> None:
        if len(batch) > 1:
            batch[0].told = 3
            loop.call_soon_threadsafe(batch[0].pieces.put_nowait, "The")
            raise torch.OutOfMemoryError("CUDA out of memory.")
        generate(batch, loop)

    writer._generate = full_later  # type: ignore[method-assign, assignment]

    async def together() -> list[object]:
        return list(await asyncio.gather(*[pieces(writer) for _ in "12"], return_exceptions=True))

    first, second = asyncio.run(together())
    assert isinstance(first, ModelUnavailable)
    assert "".join(second) == SAYS  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_adapter_changes_what_the_model_says(tiny_llama: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_llama, tmp_path / "adapter")
    spec = f"transformers:{tiny_llama}+{adapter}"
    merged = open_writer(spec, WriterOptions(max_new_tokens=40))
    assert isinstance(merged, TransformersWriter)
    assert "".join(asyncio.run(pieces(merged))) != SAYS[:40]
    assert merged.name.count("@") == 2
    with pytest.raises(ConfigurationError, match="is an adapter: name its model before it"):
        open_writer(f"transformers:{adapter}", WriterOptions())


def test_the_name_of_a_folder_follows_its_weights(tiny_llama: Path, tmp_path: Path) -> None:
    copy = tmp_path / tiny_llama.name
    shutil.copytree(tiny_llama, copy)
    assert Weights(str(copy)).name == Weights(str(tiny_llama)).name
    weights = copy / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    assert Weights(str(copy)).name != Weights(str(tiny_llama)).name


def test_a_model_without_a_chat_template_continues_a_text(tmp_path: Path) -> None:
    folder = make_language_model(tmp_path / "base", says="Nine.", template=None)
    plain = TransformersWriter(Weights(str(folder)))
    assert plain._prompt(ASKED) == "Answer.\n\nWhen is the shop open?\n\nAnswer:"


def test_a_template_without_system_turns_gets_one_in_the_first(tmp_path: Path) -> None:
    template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
        "{% for one in messages %}({{ one.role }}: {{ one.content }}){% endfor %}"
    )
    folder = make_language_model(tmp_path / "strict", says="Nine.", template=template)
    strict = TransformersWriter(Weights(str(folder)))
    assert strict._prompt(ASKED) == "(user: Answer.\n\nWhen is the shop open?)"


def test_specs() -> None:
    both = parse_weights(f"owner/name@{COMMIT}+owner/adapter@{COMMIT}")
    assert both == (Weights("owner/name", COMMIT), Weights("owner/adapter", COMMIT))
    assert both[0].name == f"owner/name@{COMMIT}"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("transformers:owner/name", "lacks its commit: write owner/name@<40"),
        ("transformers:owner/name@main", "lacks its commit"),
        ("transformers:owner/name@0123456", "lacks its commit"),
        (f"transformers:owner/name@{COMMIT}+owner/adapter", "'owner/adapter', which is no folder"),
        ("transformers:", "neither a folder here nor a Hub repository"),
        ("transformers:/no/such/folder", "neither a folder here nor a Hub repository"),
        ("gpt", "There is no generator 'gpt'"),
        ("openai:127.0.0.1#m", "write openai:<base url>#<model>"),
        ("openai:http://127.0.0.1/v1", "write openai:<base url>#<model>"),
        ("openai:http://me:secret@127.0.0.1/v1#m", "PROMPTLY_OPENAI_API_KEY instead"),
        ("openai:https://api.openai.com/v1#gpt", "wants a key: set PROMPTLY_OPENAI_API_KEY"),
    ],
)
def test_a_wrong_spec_is_told_in_one_sentence(spec: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        open_writer(spec, WriterOptions())
    assert "\n" not in caught.value.message
    assert "secret" not in caught.value.message


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be loaded") as caught:
        open_writer(f"transformers:{tmp_path}", WriterOptions())
    assert "\n" not in caught.value.message
