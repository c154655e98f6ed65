"""TRL's trainer, as a fine-tune sets it up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from training.learning import base, callbacks
from training.learning.examples import Encoded
from training.learning.session import CHECKPOINTS, Job, shares


class Sequential(SFTTrainer):
    """The order is in the data: no sampler of a library goes on as it would have."""

    train_dataset: Any

    def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


@dataclass(frozen=True, slots=True)
class Watching:
    """What is asked of afterwards."""

    stop: callbacks.Stop
    patience: callbacks.Patience
    pace: callbacks.Pace


def build(
    job: Job,
    model: Any,
    tokenizer: Any,
    *,
    taken: Sequence[Encoded],
    validation: Sequence[Encoded],
    precision: str,
) -> tuple[Any, Watching]:
    """`taken` are the examples of all steps, in their order."""
    watching = Watching(
        callbacks.Stop(job.until, job.asked_to_stop),
        callbacks.Patience(job.config.patience),
        callbacks.Pace(),
    )
    by_length = sorted(validation, key=lambda one: len(one.ids))
    trainer: Any = Sequential(
        model=model,
        args=_arguments(job, len(taken) // job.config.batch_size, bool(by_length), precision),
        train_dataset=Dataset.from_list([one.to_row() for one in taken]),
        eval_dataset=Dataset.from_list([one.to_row() for one in by_length]) if by_length else None,
        processing_class=tokenizer,
        peft_config=base.lora(job.config),
        callbacks=[
            callbacks.Log(job.out / callbacks.LOG, job.tell),
            callbacks.Guard(precision),
            watching.stop,
            watching.patience,
            callbacks.Whole(),
            watching.pace,
        ],
    )
    trainer.remove_callback(PrinterCallback)
    for weights in trainer.model.parameters():
        if weights.requires_grad:  # TRL makes them bf16 over a base of 4 bits, which a T4 has not
            weights.data = weights.data.to(torch.float32)
    return trainer, watching


def _arguments(job: Job, steps: int, validates: bool, precision: str) -> SFTConfig:
    config = job.config
    cuda = torch.cuda.is_available()
    device_batch, accumulated = shares(config, job.processes)
    every = max(1, round(steps / config.evaluations))
    # Its older name is deprecated where there is a newer one, and the only one elsewhere.
    known = {one.name for one in fields(SFTConfig)}
    checkpointing = "activation" if "activation_checkpointing" in known else "gradient"
    options: dict[str, Any] = {
        f"{checkpointing}_checkpointing": config.gradient_checkpointing,
        f"{checkpointing}_checkpointing_kwargs": {"use_reentrant": False},
    }
    return SFTConfig(
        output_dir=str(job.out / CHECKPOINTS),
        num_train_epochs=1,  # all epochs are in the data
        per_device_train_batch_size=device_batch,
        per_device_eval_batch_size=device_batch,
        gradient_accumulation_steps=accumulated,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=round(config.warmup_share * steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim="adamw_torch_fused" if cuda else "adamw_torch",
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=not cuda,
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would put an average in the place of what is no number
        eval_strategy="steps" if validates else "no",
        eval_steps=every,
        eval_on_start=validates and job.checkpoint is None,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,  # the best and the last
        metric_for_best_model="loss",
        greater_is_better=False,
        max_length=None,
        packing=False,  # examples would see each other wherever there is no FlashAttention
        dataset_kwargs={"skip_prepare_dataset": True},
        dataloader_pin_memory=cuda,
        ddp_backend="gloo" if job.processes > 1 and not cuda else None,
        ddp_find_unused_parameters=False,
        report_to="none",
        disable_tqdm=True,
        **options,
    )
