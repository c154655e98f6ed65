"""The option that names a judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from model_pipeline.errors import ModelUnavailable
from promptly.cli.output import say_error
from promptly.settings import Settings

if TYPE_CHECKING:
    from promptly.judging import Judge

JudgeOption = Annotated[
    str | None,
    typer.Option(
        help="Grades of a language model too: openai:<base url>#<model>, or "
        "transformers:<repository>@<commit>; by default PROMPTLY_JUDGE."
    ),
]


def open_judge(settings: Settings, spec: str | None, timeout_s: float) -> Judge | None:
    """The one that is named or set. One that is away may be back when it is asked, and else its
    grades are failures by name. Raises ConfigurationError."""
    spec = spec or settings.judge
    if spec is None:
        return None
    from promptly.judging import Judge

    judge = Judge(spec, settings, timeout_s=timeout_s)
    try:
        judge.check()
    except ModelUnavailable as error:
        say_error(f"The judge is away: {error.message}")
    return judge
