"""`promptly train data` on a real database: what the service would ask, through both doors, and
back where only HTTPS is."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from model_pipeline.errors import ConfigurationError, InvalidInput, NotFound
from model_pipeline.store.connect import open_pool
from model_pipeline.store.pg_store import PgStore
from promptly import serving
from promptly.settings import Settings
from promptly.training_data import FinetunedReader
from rag_service.generate import transformers_writer
from tests.conftest import NewDatabase
from tests.language_models import random_language_model
from tests.promptly.material import House, rate, write_documents
from tests.servers import openai_compatible, supabase_lite
from tests.servers.openai_compatible import Endpoint
from tests.servers.supabase_lite import SupabaseServer
from tests.training.data.making import DECLINES, sentence
from training import manifest
from training.config import FinetuneConfig
from training.data.source import training_data

TALK = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def house(
    module_database: str, embedder_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> House:
    folder = tmp_path_factory.mktemp("house")
    cache = folder / "home" / "cache"
    cache.mkdir(parents=True)
    for one in embedder_cache.iterdir():
        if ".sqlite" not in one.name:
            (cache / one.name).symlink_to(one)
    write_documents(folder)
    made = House(folder, module_database)
    for name in ("shop", "garden"):
        made.run("ingest", str(folder / name), "--collection", name)
    answer = "The Dario kettle 3 keeps stoves warm for 6 long days [1]."
    rate(module_database, "How long does kettle 3 last?", answer, conversation=TALK)
    rate(
        module_database, "And the screws of tool 4?", "It has 9 [1].", conversation=TALK, after=1,
        rating="down", corrected="Tool 4 has 6 red screws. It was made by elves.",
    )  # fmt: skip
    rate(module_database, "Who won the cup?", f"{DECLINES} The nearest is “Tool 3”.", declined=True)
    rate(module_database, "Call me at +41 44 123 45 67?", "Tool 5 has 7 red screws.")
    rate(module_database, "Is tool 6 evil?", "Tool 6 has 8 red screws.", harm="It insults me.")
    rows = [
        {"id": "x", "question": "WHAT is the Alba kettle 0??", "answer": "A tool."},
        {"id": "y", "question": "Anything else?", "answer": sentence(9).upper()},
    ]
    (folder / "frozen.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made.run("testset", "import", "frozen", str(folder / "frozen.jsonl"))
    return made


@pytest.fixture(scope="module")
def supabase(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SupabaseServer]:
    if reason := supabase_lite.missing():
        pytest.skip(f"{reason}: sh tests/servers/install-node.sh supabase")
    with supabase_lite.running(house.database, tmp_path_factory.mktemp("supabase")) as server:
        yield server


def read(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for side in ("train", "validation")
        for line in (folder / f"{side}.jsonl").read_text().splitlines()
    ]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def question(row: dict[str, Any]) -> str:
    return str(row["prompt"][-1]["content"]).rsplit("Question: ", 1)[1]


def test_rows_of_documents_and_of_people(house: House) -> None:
    folder = house.data("data", "--validation", "0.2")
    rows = read(folder)
    assert manifest.verify(folder) == []
    by_source = {
        name: [r for r in rows if r["source"] == name] for name in ("corpus", "liked", "corrected")
    }
    assert len(by_source["corpus"]) > 40
    (corrected,) = by_source["corrected"]
    # What no passage says is no part of it; the passage is named anew.
    assert corrected["completion"][0]["content"].startswith("Tool 4 has 6 red screws [")
    assert "elves" not in str(corrected["completion"])
    assert [one["role"] for one in corrected["prompt"]] == ["system", "user", "assistant", "user"]
    assert corrected["prompt"][1]["content"] == "How long does kettle 3 last?"
    liked = {question(one): one["completion"][0]["content"] for one in by_source["liked"]}
    assert liked["Who won the cup?"] == DECLINES
    assert liked["How long does kettle 3 last?"].startswith("The Dario kettle 3 keeps stoves")
    assert len(liked) == 2
    counts = manifest.read(folder)["counts"]
    assert counts["left_out"]["personal"] == 1 and counts["left_out"]["leaked"] >= 2
    assert counts["collections"]["garden"] > 15 and counts["declined"] >= 5


def test_it_tells_what_was_made_and_what_was_not(house: House) -> None:
    said = house.tell("train", "data", "--collection", "shop", "--n", "30").splitlines()
    assert said[0].startswith("30 rows (") and "to validate with." in said[0]
    assert any(line.endswith("that hold what looks personal.") for line in said)
    folder = house.folder / "home" / "training-data"
    assert said[-1].startswith(f"In {folder}, with its card; hash ")
    assert manifest.verify(folder) == []


def test_nothing_of_a_frozen_test_set(house: House) -> None:
    folder = house.data("checked")
    rows = [f"{folder}/{side}.jsonl" for side in ("train", "validation")]
    found = house.run("testset", "check", "frozen", *(f"--against={one}" for one in rows))
    assert found == {"leaks": [], "examples": 0}


def served_prompts(house: House, questions: Sequence[str], collection: str) -> list[Any]:
    """What the service sends its language model for each."""

    async def ask(spec: str) -> None:
        settings = Settings(home=house.folder / "home", generator=spec, cache=False)
        with open_pool(house.database, min_size=1, max_size=2) as pool:
            async with serving.answering(settings, house.database, PgStore(pool)) as parts:
                for one in questions:
                    await parts.answerer.answer(one, collection=collection)

    endpoint = Endpoint(cast(Any, None), scripted=lambda _: "It is red [1].")
    with openai_compatible.running(endpoint):
        asyncio.run(ask(endpoint.spec))
    return [one["messages"] for one in endpoint.asked]


def test_prompts_are_the_services_own(house: House) -> None:
    rows = [
        row
        for row in read(house.data("unsplit", "--validation", "0", "--collection", "garden"))
        # Elsewhere the documents are withheld, or the one that answers was found further down.
        if re.search(r" \[[1-4]\]\.$", row["completion"][0]["content"])
    ]
    assert len(rows) > 10
    sent = served_prompts(house, [question(row) for row in rows], "garden")
    assert [row["prompt"] for row in rows] == sent


def test_the_same_bytes_through_both_doors(house: House, supabase: SupabaseServer) -> None:
    given = {"SUPABASE_URL": supabase.url, "SUPABASE_SECRET_KEY": supabase.service_key}
    direct = house.data("direct", "--n", "40")
    https = house.data("https", "--n", "40", "--https", **given)
    assert files(direct) == files(https)
    with pytest.raises(ConfigurationError, match="set SUPABASE_SECRET_KEY without"):
        house.data(
            "open", "--https", SUPABASE_URL=supabase.url, SUPABASE_KEY=supabase.anon_key,
            SUPABASE_SECRET_KEY="",
        )  # fmt: skip
    assert not (house.folder / "open").exists()


@pytest.mark.parametrize("door", ["direct", "https"])
def test_what_is_kept_is_loaded_where_only_https_is(
    house: House, supabase: SupabaseServer, door: str, tmp_path: Path
) -> None:
    given = {"SUPABASE_URL": supabase.url, "SUPABASE_SECRET_KEY": supabase.service_key}
    seed = {"direct": "1", "https": "2"}[door]
    arguments = ["--n", "30", "--keep", "--seed", seed] + (["--https"] if door == "https" else [])
    folder = house.data(f"kept-{door}", *arguments, **given)
    house.data(f"kept-{door}", *arguments, **given)  # the same again changes nothing
    known = {"url": supabase.url, "key": supabase.service_key}
    found = manifest.read(folder)["hash"]
    to = training_data(tmp_path / "to", inputs=tmp_path, dataset_hash=found, **known)
    assert files(to) == files(folder)
    with pytest.raises(NotFound, match="--keep"):
        training_data(tmp_path / "no", inputs=tmp_path / "x", dataset_hash="0" * 64, **known)
    assert not (tmp_path / "no").exists()


def test_questions_that_a_model_words(house: House) -> None:
    def words(messages: list[Any]) -> str:
        passage = messages[-1].content
        number = passage.split("You can repair tool ")[1].split(" ")[0]
        said = f"You can repair tool {number} by turning its {int(number) + 2} red screws."
        return f"Question: Which screws are turned to mend tool {number}?\nAnswer: {said}"

    endpoint = Endpoint(cast(Any, None), scripted=words)
    with openai_compatible.running(endpoint):
        folder = house.data(
            "worded", "--by", "model", "--collection", "garden", PROMPTLY_GENERATOR=endpoint.spec
        )
    asked = [question(row) for row in read(folder) if row["source"] == "corpus"]
    assert len(asked) >= 10 and all(one.startswith("Which screws are") for one in asked)
    assert manifest.read(folder)["made"]["by"] == "model"


def test_what_cannot_be_is_one_sentence(house: House, new_database: NewDatabase) -> None:
    with pytest.raises(NotFound, match="no collection 'gone'"):
        house.data("gone", "--collection", "gone")
    (house.folder / "params.yaml").write_text("finetune: {rang: 3}")
    with pytest.raises(InvalidInput, match="'rang', which is none of"):
        house.data("wrong", "--params", str(house.folder / "params.yaml"))
    with new_database() as empty, pytest.raises(InvalidInput, match="nothing to learn from yet"):
        House(house.folder, empty).data("empty")
    assert not {"gone", "wrong", "empty"} & {path.name for path in house.folder.iterdir()}


def test_a_prompt_is_measured_by_the_models_own_tokenizer(tmp_path: Path) -> None:
    tokenizer, _ = random_language_model("The kettle boils at nine. <|im_end|> Is it red?")
    tokenizer.save_pretrained(tmp_path)
    config = FinetuneConfig(base_model=str(tmp_path), base_revision=None, max_tokens=700)
    reader = FinetunedReader(config)
    writer = transformers_writer.special_of(
        (str(one), one.special) for one in tokenizer.added_tokens_decoder.values()
    )
    assert tuple(reader.special_tokens) == writer and "<|im_end|>" in writer
    for text in ("Is the kettle red at nine?", "", "<|im_end|> ü"):
        assert reader.count_tokens(text) == len(
            tokenizer(text, add_special_tokens=False)["input_ids"]
        )
    assert (reader.context_tokens, reader.max_new_tokens) == (700, config.max_new_tokens)
    guessed = FinetunedReader(FinetuneConfig())
    assert guessed.count_tokens("four") == 2 and guessed.special_tokens == ()
