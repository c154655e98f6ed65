"""The whole of it, with a model that is small enough for a CPU: everything real but its size."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from model_pipeline.errors import ConfigurationError, Conflict, InvalidInput
from rag_service.generate.transformers_writer import Weights, load
from tests.training.learning.material import CONFIG, write_data
from training import manifest
from training.finetune import Outcome, finetune
from training.learning.failed import FinetuneFailed
from training.learning.progress import Progress

# What PEFT and TRL call of transformers is called otherwise by now.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
MERGED = replace(CONFIG, merge=True)


def stop_after(step: int) -> tuple[Callable[[Progress], None], Callable[[], bool]]:
    """What hears of the progress, and asks to stop once that step is done."""
    done = 0

    def tell(progress: Progress) -> None:
        nonlocal done
        done = progress.done

    return tell, lambda: done >= step - 1  # it is told of a step after it is asked


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[float]:
    """Of each step."""
    return [one["loss"] for one in log(folder) if "loss" in one]


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / "adapter" / "adapter_model.safetensors")
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_data: Path) -> Outcome:
    """Without a pause."""
    out = tmp_path_factory.mktemp("whole") / "out"
    return finetune(tiny_data, out, MERGED, base=tiny_base, git_commit="c" * 40)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_data: Path) -> Outcome:
    """At step 6 of 11, between two evaluations and within an epoch."""
    out = tmp_path_factory.mktemp("stopped") / "out"
    tell, stop = stop_after(6)
    return finetune(tiny_data, out, MERGED, base=tiny_base, tell=tell, stop=stop)


def test_it_learns(whole: Outcome) -> None:
    found = whole.metrics["training"]
    assert whole.finished and found["ended"] == "all steps are done"
    assert (found["steps"], found["of_steps"], found["epochs"]) == (11, 11, 2.0)
    assert found["last_loss"] < found["first_loss"] - 0.5
    assert found["validation_loss"] < found["validation_loss_before"] - 0.5
    assert found["tokens"] == 2766 and 0 <= found["padding_share"] < 0.05
    assert whole.metrics["examples"] == {"train": 22, "validation": 6, "left_out": 0}
    assert whole.metrics["session"]["tokens_per_s"] > 0
    assert whole.metrics["session"]["peak_memory_bytes"] > 2**20


def test_some_lora_b_is_not_zero(whole: Outcome) -> None:
    """That some lora_A is not proves nothing: it never was."""
    learnt = [one for name, one in adapter(whole.folder).items() if "lora_B" in name]
    assert len(learnt) == 14 and any(bool(one.any()) for one in learnt)


def test_it_logs_the_loss_of_each_step_and_the_validations(whole: Outcome) -> None:
    found = log(whole.folder)
    assert [one["step"] for one in found if "loss" in one] == list(range(1, 12))
    assert [one["step"] for one in found if "validation_loss" in one] == [0, 4, 8, 11]


def test_the_folder_is_whole_and_says_what_it_is_of(whole: Outcome, tiny_data: Path) -> None:
    assert manifest.verify(whole.folder) == []
    found = manifest.read(whole.folder)
    assert set(found["files"]) == {
        "README.md",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "begun.json",
        "log.jsonl",
        "merged/chat_template.jinja",
        "merged/config.json",
        "merged/generation_config.json",
        "merged/model.safetensors",
        "merged/tokenizer.json",
        "merged/tokenizer_config.json",
        "metrics.json",
        "samples.jsonl",
    }
    assert found["config"] == MERGED.to_dict() and found["seed"] == 0
    assert (found["base_model"], found["base_revision"]) == ("owner/tiny", "a" * 40)
    assert found["git_commit"] == "c" * 40 and len(found["base_hash"]) == 64
    assert found["dataset_hash"] == manifest.read(tiny_data)["hash"]
    assert found["versions"]["torch"] == torch.__version__


def test_nothing_in_it_tells_where_it_was_made(whole: Outcome, tiny_base: Path) -> None:
    for path in (*whole.folder.rglob("*.json*"), whole.folder / "README.md"):
        assert str(tiny_base.parent) not in path.read_text(), path.name


def test_it_answers_before_and_after_and_scores_both(whole: Outcome) -> None:
    said = [json.loads(line) for line in (whole.folder / "samples.jsonl").read_text().splitlines()]
    assert [one["example_id"] for one in said] == ["q22", "q23", "q24", "q25"]
    assert said[0]["reference"] == "It opens at 7 [1]."
    assert all(one["after"].startswith("It opens at") for one in said)
    assert not any("opens" in one["before"] for one in said)
    found = whole.metrics["generation"]
    assert found["answered"] == 4
    assert found["after"]["rouge_l_f1"] > found["before"]["rouge_l_f1"]


def test_the_service_loads_the_adapter_and_the_merged_model_and_both_say_the_same(
    whole: Outcome, tiny_base: Path
) -> None:
    folder = whole.folder
    tokenizer, adapted = load(Weights(str(tiny_base)), Weights(str(folder / "adapter")), None)
    _, merged = load(Weights(str(folder / "merged")), None, None)
    _, before = load(Weights(str(tiny_base)), None, None)
    ids = torch.tensor([tokenizer("When does the pool open?")["input_ids"]])
    with torch.inference_mode():
        said = [model(input_ids=ids).logits for model in (adapted, merged, before)]
    assert torch.allclose(said[0], said[1], atol=1e-5)
    assert not torch.allclose(said[0], said[2], atol=1e-2)


def test_doing_it_again_does_nothing_again(
    whole: Outcome, tiny_base: Path, tiny_data: Path
) -> None:
    """As after a kill between its last two files."""
    (whole.folder / "manifest.json").unlink()
    heard: list[Progress] = []
    again = finetune(
        tiny_data, whole.folder, MERGED, base=tiny_base, git_commit="c" * 40, tell=heard.append
    )
    assert again == whole and heard == []
    assert manifest.verify(whole.folder) == []


def test_one_that_dies_after_its_last_step_learns_nothing_again(
    whole: Outcome, tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    def die(progress: Progress) -> None:
        if progress.stage == "answering":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(tiny_data, tmp_path / "out", MERGED, base=tiny_base, tell=die)
    found = finetune(tiny_data, tmp_path / "out", MERGED, base=tiny_base)
    assert found.finished and found.metrics["session"]["steps"] == 0
    assert found.metrics["training"] == whole.metrics["training"]
    assert log(found.folder) == log(whole.folder)
    learnt = adapter(found.folder)
    assert all(torch.equal(one, learnt[name]) for name, one in adapter(whole.folder).items())


def test_one_that_is_stopped_leaves_a_checkpoint_to_go_on_from(stopped: Outcome) -> None:
    assert not stopped.finished and stopped.metrics["training"]["ended"] == "it was stopped"
    assert stopped.metrics["training"]["steps"] == 6
    assert manifest.verify(stopped.folder) == [] and not (stopped.folder / "adapter").exists()
    assert (stopped.folder / "checkpoints" / "checkpoint-6" / "optimizer.pt").is_file()


def test_the_same_folder_is_for_the_same_fine_tune(
    stopped: Outcome, tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    other = replace(MERGED, learning_rate=1e-3)
    said = r"of a fine-tune with another learning_rate, 0.01 and not 0.001: name another folder"
    with pytest.raises(Conflict, match=said):
        finetune(tiny_data, stopped.folder, other, base=tiny_base)
    with pytest.raises(Conflict, match="another dataset_hash"):
        data = write_data(tmp_path / "data", train=5)
        finetune(data, tmp_path / "out", MERGED, base=tiny_base, resume=stopped.folder)
    with pytest.raises(InvalidInput, match="holds other things"):
        finetune(tiny_data, tiny_data, MERGED, base=tiny_base)


def test_what_goes_on_elsewhere_continues_the_loss_curve_to_the_last_digit(
    whole: Outcome, stopped: Outcome, tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    """Dropout, the order, the optimizer and the schedule go on, and so do the weights."""
    found = finetune(tiny_data, tmp_path / "out", MERGED, base=tiny_base, resume=stopped.folder)
    assert found.finished
    assert log(found.folder) == log(whole.folder)
    before, after = adapter(whole.folder), adapter(found.folder)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert found.metrics["training"] == whole.metrics["training"]
    assert found.metrics["generation"] == whole.metrics["generation"]
    assert found.metrics["session"]["steps"] == 5


def test_two_at_once_are_not_in_one_folder(
    tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def again(progress: Progress) -> None:
        with pytest.raises(Conflict, match=r"Another process fine-tunes in .*out: wait until"):
            finetune(tiny_data, out, CONFIG, base=tiny_base)

    config = replace(CONFIG, max_steps=1, generated=0)
    assert finetune(tiny_data, out, config, base=tiny_base, tell=again).finished


def test_checkpoints_that_are_torn_are_not_gone_on_from(
    whole: Outcome, stopped: Outcome, tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    """The machine went away while it wrote the last one. They may come without the rest."""
    given = shutil.copytree(stopped.folder / "checkpoints", tmp_path / "checkpoints")
    (given / "checkpoint-6" / "optimizer.pt").write_bytes(b"")
    heard: list[Progress] = []
    found = finetune(
        tiny_data, tmp_path / "out", MERGED, base=tiny_base, resume=given, tell=heard.append
    )
    assert heard[0].done == 5 and log(found.folder) == log(whole.folder)
    shutil.rmtree(given / "checkpoint-4")  # the best until then: without it 6 is of no use
    with pytest.raises(InvalidInput, match="has no whole checkpoint to go on from"):
        finetune(tiny_data, tmp_path / "other", MERGED, base=tiny_base, resume=given)


def test_it_ends_where_the_validation_loss_falls_no_more_with_the_best_wherever_it_was_made(
    tiny_base: Path, tmp_path: Path
) -> None:
    """The better it learns, the less it foresees of a validation that says otherwise."""
    other = "QQ ZZ QQ ZZ"
    data = write_data(tmp_path / "data", validation_says=other)
    config = replace(CONFIG, evaluations=11, patience=3, generated=0)
    heard, stop = stop_after(5)
    there = finetune(data, tmp_path / "there", config, base=tiny_base, tell=heard, stop=stop)
    assert not there.finished
    best = there.metrics["training"]["best_step"]
    assert best < 5
    learnt = there.folder / "checkpoints" / f"checkpoint-{best}" / "adapter_model.safetensors"
    kept = load_file(learnt)
    shutil.move(there.folder, tmp_path / "moved")  # where it was made is no more
    here = finetune(data, tmp_path / "here", config, base=tiny_base, resume=tmp_path / "moved")
    found = here.metrics["training"]
    assert here.finished and found["ended"] == "the validation loss fell no more"
    assert (found["best_step"], found["steps"]) == (best, best + 3)
    assert all(torch.equal(one, kept[name]) for name, one in adapter(here.folder).items())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "The loss is no finite number at step 2: lower"),
        ({"evaluations": 11}, "The validation loss is no finite number at step 1: lower"),
    ],
)
def test_numbers_that_are_none_end_it_before_a_checkpoint_is_made_of_them(
    changed: dict[str, Any], said: str, tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    config = replace(CONFIG, learning_rate=1e30, **changed)
    with pytest.raises(FinetuneFailed, match=said):
        finetune(tiny_data, tmp_path / "out", config, base=tiny_base)
    assert manifest.verify(tmp_path / "out") != []
    assert list((tmp_path / "out" / "checkpoints").glob("checkpoint-*")) == []


def test_an_adapter_that_is_still_zero_is_no_fine_tune(
    tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    """As where fp16 left every step out: the model is its base, and nothing else would tell."""
    config = replace(CONFIG, learning_rate=1e-300)
    with pytest.raises(FinetuneFailed, match="Nothing was learnt: every lora_B is still zero"):
        finetune(tiny_data, tmp_path / "out", config, base=tiny_base)
    assert not (tmp_path / "out" / "adapter").exists()


def test_a_device_without_memory_says_what_to_lower(
    tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    def full(progress: Progress) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(FinetuneFailed, match="no memory left at 2 examples at once: lower"):
        finetune(tiny_data, tmp_path / "out", CONFIG, base=tiny_base, tell=full)


def test_a_time_limit_leaves_a_checkpoint_after_whatever_step_it_is_at(
    tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    config = replace(CONFIG, time_limit_s=1e-3)
    found = finetune(tiny_data, tmp_path / "out", config, base=tiny_base)
    assert not found.finished and found.metrics["training"]["steps"] == 1
    again = finetune(tiny_data, tmp_path / "out", config, base=tiny_base)
    assert not again.finished and again.metrics["training"]["steps"] == 2


def test_without_validation_the_last_weights_are_taken(tiny_base: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data", validation=0)
    found = finetune(data, tmp_path / "out", replace(CONFIG, max_steps=2), base=tiny_base)
    assert found.finished and found.metrics["training"]["validation_loss"] is None
    assert found.metrics["training"]["steps"] == 2 and found.metrics["generation"]["answered"] == 0


def test_without_gradient_checkpointing_it_learns_the_same(
    whole: Outcome, tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    config = replace(CONFIG, gradient_checkpointing=False, generated=0)
    found = finetune(tiny_data, tmp_path / "out", config, base=tiny_base)
    assert losses(found.folder) == pytest.approx(losses(whole.folder), rel=1e-4)


def test_bf16_holds_the_base_in_16_bits_and_the_adapter_in_32(
    tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    config = replace(MERGED, precision="bf16")
    found = finetune(tiny_data, tmp_path / "out", config, base=tiny_base)
    assert found.metrics["precision"] == "bf16"
    assert found.metrics["training"]["last_loss"] < found.metrics["training"]["first_loss"] - 0.5
    assert {one.dtype for one in adapter(found.folder).values()} == {torch.float32}
    merged = load_file(found.folder / "merged" / "model.safetensors")
    assert {one.dtype for one in merged.values()} == {torch.bfloat16}
    assert found.metrics["generation"]["answered"] == 4


def test_too_long_examples_are_left_out_and_counted(
    tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    short = replace(CONFIG, max_tokens=60, max_steps=1, generated=0)
    found = finetune(tiny_data, tmp_path / "out", short, base=tiny_base)
    counted = found.metrics["examples"]
    assert 0 < counted["train"] < 22 and sum(counted.values()) == 28
    none = replace(CONFIG, max_tokens=16)
    with pytest.raises(InvalidInput, match="All 22 training examples are longer than"):
        finetune(tiny_data, tmp_path / "none", none, base=tiny_base)


@pytest.mark.skipif(torch.cuda.is_available(), reason="it can be done here")
def test_what_needs_a_gpu_says_so(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, max_steps=1, generated=0)
    with pytest.raises(ConfigurationError, match=r"precision is fp16, which needs a CUDA device"):
        finetune(tiny_data, tmp_path / "out", replace(config, precision="fp16"), base=tiny_base)
    # Nothing was learnt there: the folder is for any other settings.
    assert finetune(tiny_data, tmp_path / "out", config, base=tiny_base).finished


def test_a_base_that_is_not_there_is_one_sentence(tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=r"The base model .*empty cannot be loaded: "):
        finetune(tiny_data, tmp_path / "out", CONFIG, base=tmp_path / "empty")
