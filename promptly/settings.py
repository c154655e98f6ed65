"""All settings, read once from the environment (PROMPTLY_...) and `.env`, passed down as values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from model_pipeline.errors import ConfigurationError

Port = Annotated[int, Field(ge=1, le=65535)]


LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


class Settings(BaseSettings):
    """The environment variables of Promptly; every default runs on a laptop without any set."""

    model_config = SettingsConfigDict(
        env_prefix="PROMPTLY_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        populate_by_name=True,
    )

    home: Annotated[Path, AfterValidator(_absolute)] = Path("~/.promptly")
    """Everything Promptly writes: the embedded database, the embedder's cache, logs."""
    database_url: str | None = None
    """A Postgres URL; unset means the embedded server under `home`."""
    embedder: str | None = None
    """Unset means the one that made the stored vectors, in an empty store onnx:all-MiniLM-L6-v2."""
    generator: str = "extractive"
    """Or transformers:<repository>@<commit>, transformers:<folder>, openai:<base url>#<model>."""
    openai_api_key: SecretStr | None = None
    """Of the endpoint that the generator names, where it wants one."""
    judge: str | None = None
    """A language model that grades answers in evaluations, written as the generator's is."""
    judge_api_key: SecretStr | None = None
    """Of the endpoint that the judge names: the generator's key is not sent to another."""
    condense: Literal["rule", "model"] = "rule"
    """What puts a follow-up in full: a rule over words, or before it the generator's model."""
    unsupported: Literal["flag", "drop"] = "flag"
    """What becomes of a model's sentence that no passage says."""
    max_new_tokens: Annotated[int, Field(ge=16, le=8192)] = 512
    """The longest answer of a model."""
    context_tokens: Annotated[int, Field(ge=1024)] = 8192
    """What a model behind an endpoint reads and writes at once; one in this process says itself."""
    generator_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    """How long an endpoint may be silent."""
    generator_batch: Annotated[int, Field(ge=1, le=256)] = 8
    """Answers that a model in this process writes at once."""
    cache: bool = True
    """Whether an answer is given again to who asks the same while the documents are the same."""
    cache_threshold: Annotated[float | None, Field(gt=0, le=1)] = None
    """The cosine from which two questions may be the same. Unset, as calibrated for the embedder;
    for one that was not, only the very same question is."""
    bias_policy: Literal["off", "flag", "withhold"] = "off"
    """Whether answers are judged for bias before they are shown, and what becomes of low ones."""
    bias_level: Annotated[int, Field(ge=2, le=5)] = 3
    """Of the rubric's levels, the lowest that an answer passes with."""
    threads: Annotated[int, Field(ge=1, le=256)] = 2
    """Threads that one embedding call may use."""
    api_host: str = "127.0.0.1"
    api_port: Port = 8000
    ui_host: str = "127.0.0.1"
    ui_port: Port = 8501
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = (
        "127.0.0.1",
        "localhost",
        "[::1]",
    )
    """Host headers that the API answers to: a web page elsewhere cannot reach a local service."""
    supabase_url: Annotated[str | None, Field(validation_alias="SUPABASE_URL")] = None
    supabase_key: Annotated[str | None, Field(validation_alias="SUPABASE_KEY")] = None
    """The project's publishable (anon) key: what anybody may see, and who signs in."""
    supabase_secret_key: Annotated[
        SecretStr | None, Field(validation_alias="SUPABASE_SECRET_KEY")
    ] = None
    """The project's secret (service role) key, which row-level security does not bind."""
    supabase_user_token: Annotated[
        SecretStr | None, Field(validation_alias="SUPABASE_USER_TOKEN")
    ] = None
    """Whose rows that API gives: a signed-in user's access token."""
    supabase_jwt_secret: Annotated[
        SecretStr | None, Field(validation_alias="SUPABASE_JWT_SECRET")
    ] = None
    """The shared secret of projects whose tokens are signed with one (HS256)."""
    supabase_jwks_url: Annotated[str | None, Field(validation_alias="SUPABASE_JWKS_URL")] = None
    """Where the public keys of tokens are; by default where SUPABASE_URL has them."""
    accounts: bool | None = None
    """Whether people sign in: unset, as soon as one of the three above is set; true without any of
    them means service keys alone. Without accounts whoever reaches the service sees everything, so
    it listens on this machine alone."""
    request_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    upload_bytes: Annotated[int, Field(gt=0)] = 50_000_000
    rate_per_minute: Annotated[int | None, Field(ge=0)] = None
    """Units for each caller: a search is 1, an answer 5, an upload 10. Unset, 600 with accounts and
    no limit without; 0 is no limit."""
    concurrency: Annotated[int, Field(ge=1)] = 200
    concurrency_per_caller: Annotated[int | None, Field(ge=0)] = None
    """Unset, 20 with accounts and no limit without; 0 is no limit."""
    answers_at_once: Annotated[int | None, Field(ge=1)] = None
    """Unset, 8 where this machine generates them, 64 where another does."""
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    """Whose X-Forwarded-For is believed: addresses or networks."""
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 5.0
    """How long requests under way have to finish when the service is stopped."""
    drain_notice_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """How long before that /readyz says so, while new requests are still answered."""
    metrics_token: SecretStr | None = None
    """With it /metrics is read from elsewhere than an unguarded service's own machine."""
    otlp_endpoint: Annotated[str | None, Field(validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")] = (
        None
    )
    """Where traces go, by OTLP over HTTP; unset, there are none."""
    tracking_uri: Annotated[str | None, Field(validation_alias="MLFLOW_TRACKING_URI")] = None
    """The MLflow server that evaluations are kept in; unset, none."""
    hub_endpoint: Annotated[str, Field(validation_alias="HF_ENDPOINT")] = "https://huggingface.co"
    """Where models are published, and loaded from."""
    hub_token: Annotated[SecretStr | None, Field(validation_alias="HF_TOKEN")] = None
    """Of the Hub: what may write where models are published."""
    hub_keyless: Annotated[str | None, Field(validation_alias="HF_OIDC_RESOURCE")] = None
    """The repository that a CI job's identity may publish to, without a token."""
    kaggle_token: Annotated[SecretStr | None, Field(validation_alias="KAGGLE_API_TOKEN")] = None
    """Of the Kaggle account on whose GPUs models are fine-tuned."""
    kaggle_username: Annotated[str | None, Field(validation_alias="KAGGLE_USERNAME")] = None
    kaggle_key: Annotated[SecretStr | None, Field(validation_alias="KAGGLE_KEY")] = None
    """With the name, in place of the token."""
    kaggle_poll_s: Annotated[float, Field(gt=0, le=600)] = 20.0
    """How long between two looks at what Kaggle is doing."""
    notify: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)] = ()
    """Whom to tell of runs that start and end: addresses as Apprise takes them, commas between."""
    git_commit: Annotated[str | None, Field(validation_alias="GITHUB_SHA")] = None
    """The commit that this is; GitHub's runners say it."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    pool_size: Annotated[int, Field(ge=1, le=100)] = 8

    @property
    def has_accounts(self) -> bool:
        if self.accounts is not None:
            return self.accounts
        return bool(self.supabase_url or self.supabase_jwt_secret or self.supabase_jwks_url)

    def require_private(self, host: str, variable: str) -> None:
        """Raises ConfigurationError where others could reach what has no accounts."""
        if not self.has_accounts and host not in LOOPBACK:
            raise ConfigurationError(
                f"{variable} is {host!r}, but without accounts whoever reaches the service reads "
                "and changes everything: leave it at 127.0.0.1, or set SUPABASE_URL, "
                "SUPABASE_JWT_SECRET or, for service keys alone, PROMPTLY_ACCOUNTS=true."
            )

    @property
    def database_dir(self) -> Path:
        return self.home / "postgres"

    @property
    def cache_dir(self) -> Path:
        return self.home / "cache"

    @property
    def outbox_dir(self) -> Path:
        return self.home / "outbox"

    @property
    def reports_dir(self) -> Path:
        return self.home / "reports"

    @property
    def test_sets_dir(self) -> Path:
        return self.home / "testsets"

    @property
    def runs_dir(self) -> Path:
        return self.home / "runs"

    @property
    def evaluations_dir(self) -> Path:
        return self.home / "evaluations"

    @property
    def training_data_dir(self) -> Path:
        return self.home / "training-data"


def read_settings() -> Settings:
    """Settings of this process; ConfigurationError names the variable that is wrong."""
    try:
        found = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        if not name.startswith(("SUPABASE_", "OTEL_", "HF_", "KAGGLE_", "GITHUB_")):
            name = f"PROMPTLY_{name}"
        raise ConfigurationError(
            f"{name} is {first.get('input')!r}: {first['msg']}. Correct it or unset it."
        ) from error
    _tell_the_hubs_client(found)
    return found


def _tell_the_hubs_client(settings: Settings) -> None:
    """What `.env` says of the Hub holds for its client too, which reads the environment alone."""
    token, endpoint = settings.hub_token, settings.hub_endpoint
    told = {
        "HF_TOKEN": token.get_secret_value() if token else None,
        "HF_ENDPOINT": endpoint
        if endpoint != Settings.model_fields["hub_endpoint"].default
        else None,
        "HF_OIDC_RESOURCE": settings.hub_keyless,
    }
    for name, value in told.items():
        if value:
            os.environ.setdefault(name, value)
