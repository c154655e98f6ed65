"""What ends a fine-tune that no other try of the same would save."""

from __future__ import annotations

from model_pipeline.errors import PromptlyError


class FinetuneFailed(PromptlyError):
    title = "The fine-tune failed"
