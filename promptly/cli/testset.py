"""`promptly testset`: what releases are measured with, frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from model_pipeline.errors import InvalidInput
from model_pipeline.evaluation import generated, leaks
from model_pipeline.evaluation.asked import from_asked
from model_pipeline.evaluation.examples import Example, TestSet
from model_pipeline.evaluation.rows import ExampleFields, read_examples, read_rows
from model_pipeline.evaluation.test_sets import Manifest, require_name
from promptly.cli.interrupt import be_interruptible
from promptly.cli.output import CollectionOption, JsonFlag, err, out, print_json, safe, say
from promptly.evaluating import Evaluating, evaluating, model_questions
from promptly.settings import Settings, read_settings
from rag_service.generate.factory import model_name

app = typer.Typer(
    help="Test sets: frozen questions and what is known of them.", no_args_is_help=True
)
EXIT_LEAKS = 1
SHOWN = 20
NameArgument = Annotated[str, typer.Argument(help="The test set's name.")]
ReferenceArgument = Annotated[str, typer.Argument(help="A name, or NAME@v2 for one version.")]
DraftFlag = Annotated[
    bool, typer.Option("--draft", help="Write a draft to look through; `freeze` freezes it.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="The same seed makes the same test set.")]


@app.command()
def make(
    name: NameArgument,
    origin: Annotated[
        str | None, typer.Option("--from", help="The collection whose documents are asked about.")
    ] = None,
    feedback: Annotated[
        bool, typer.Option("--feedback", help="From liked and corrected answers instead.")
    ] = False,
    unrated: Annotated[
        bool, typer.Option("--unrated", help="With --feedback: questions nobody rated too.")
    ] = False,
    collection: CollectionOption = None,
    n: Annotated[int, typer.Option("--n", min=1, max=100_000, help="How many questions.")] = 100,
    unanswerable: Annotated[
        int | None,
        typer.Option(min=0, help="How many of them no document answers; by default a fifth."),
    ] = None,
    by: Annotated[
        Literal["rules", "model"], typer.Option(help="Who words the questions.")
    ] = "rules",
    seed: SeedOption = 0,
    tag_field: Annotated[
        list[str] | None,
        typer.Option(help="A field of documents' metadata to slice by; may be repeated."),
    ] = None,
    draft: DraftFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a test set of documents, or of what people asked and said of the answers."""
    require_name(name)
    if bool(origin) == feedback:
        raise InvalidInput("Say what to make it of: --from COLLECTION, or --feedback.")
    settings = read_settings()
    be_interruptible()
    with evaluating(settings) as opened:
        if origin:
            examples, made = _of_documents(
                settings, opened, origin, n, unanswerable, by, seed, tag_field or []
            )
        else:
            found = from_asked(opened.corpus.asked(collection), unrated=unrated, n=n, seed=seed)
            examples = list(found.examples)
            made = {"from": "feedback", "collection": collection, "unrated": unrated, "n": n,
                    "seed": seed, "left_out_as_personal": found.personal}  # fmt: skip
        if not examples:
            raise InvalidInput(_nothing(made))
        _keep(opened, TestSet(name, tuple(examples)), made, draft=draft, as_json=as_json)


@app.command("import")
def import_(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(help="JSONL, or a JSON list of objects.")],
    id_field: Annotated[str | None, typer.Option(help="The field with a row's id.")] = None,
    question_field: Annotated[str | None, typer.Option(help="... its question.")] = None,
    reference_field: Annotated[
        str | None, typer.Option(help="... its right answer, or a list of such.")
    ] = None,
    relevant_field: Annotated[
        str | None, typer.Option(help="... the sources that hold the answer.")
    ] = None,
    answerable_field: Annotated[
        str | None, typer.Option(help="... whether the documents answer it.")
    ] = None,
    tag_field: Annotated[
        list[str] | None, typer.Option(help="A field to slice results by; may be repeated.")
    ] = None,
    draft: DraftFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Freeze the examples of a file; usual names of fields are found by themselves."""
    require_name(name)
    fields = ExampleFields(
        id_field, question_field, reference_field, relevant_field, answerable_field,
        tuple(tag_field or ()),
    )  # fmt: skip
    test_set = TestSet(name, read_examples(file, fields))
    with evaluating(read_settings()) as opened:
        _keep(opened, test_set, {"from": file.name}, draft=draft, as_json=as_json)


@app.command()
def freeze(name: NameArgument, as_json: JsonFlag = False) -> None:
    """Freeze a draft, as it was made or edited since."""
    with evaluating(read_settings()) as opened:
        manifest = opened.test_sets.freeze_draft(name)
        _tell(opened, manifest, as_json=as_json)


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """All test sets and their versions."""
    with evaluating(read_settings()) as opened:
        found = opened.test_sets.manifests()
    if as_json:
        print_json({"test_sets": found})
        return
    table = Table("name", "version", "examples", "hash", "made of")
    for one in found:
        table.add_row(
            one.name, f"v{one.version}", str(one.n), one.test_set_hash[:12],
            safe(str(one.made.get("from", ""))),
        )  # fmt: skip
    out.print(table)


@app.command()
def show(
    test_set: ReferenceArgument,
    examples: Annotated[int, typer.Option(min=0, help="How many examples to show.")] = 10,
    as_json: JsonFlag = False,
) -> None:
    """What a test set is, and its first examples."""
    with evaluating(read_settings()) as opened:
        frozen = opened.test_sets.load(test_set)
        path = opened.test_sets.path(frozen.manifest)
    shown = frozen.test_set.examples[:examples]
    if as_json:
        print_json({"manifest": frozen.manifest, "file": str(path),
                    "examples": [one.to_row() for one in shown]})  # fmt: skip
        return
    say(_summary(frozen.manifest))
    say(f"In {path}; hash {frozen.manifest.test_set_hash}.")
    for example in shown:
        about = ", ".join(f"{key} {value}" for key, value in example.tags.items())
        say(f"- {example.question}" + (f"  ({about})" if about else ""))
        for reference in example.references[:1]:
            say(f"    {' '.join(reference.split())[:200]}")


@app.command()
def check(
    test_set: ReferenceArgument,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="JSONL or JSON: training data, another test set; may be repeated."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0.01, max=1, help="The least likeness that is reported.")
    ] = leaks.THRESHOLD,
    as_json: JsonFlag = False,
) -> None:
    """Look for its questions and answers in other files, nearly the same; exit status 1 if any."""
    with evaluating(read_settings()) as opened:
        examples = opened.test_sets.load(test_set).test_set.examples
    found = leaks.within(examples, threshold=threshold)
    index = leaks.Index(examples, threshold=threshold)
    for path in against or ():
        for number, row in read_rows(path):
            found += index.leaks(leaks.texts(row, f"{path}:{number}"))
    if as_json:
        print_json({"leaks": found, "examples": len({one.example_id for one in found})})
    else:
        for leak in found[:SHOWN]:
            whose = f"{leak.part} of {leak.example_id}"
            say(f"{leak.likeness:.2f}  {whose} in {leak.place}: {leak.text}")
        if found[SHOWN:]:
            say(f"... and {len(found) - SHOWN} more; --json lists all.")
        leaking = len({one.example_id for one in found})
        say(f"{leaking} of {len(examples)} examples stand elsewhere, or twice, nearly the same.")
    if found:
        raise typer.Exit(EXIT_LEAKS)


def _of_documents(
    settings: Settings,
    opened: Evaluating,
    collection: str,
    n: int,
    unanswerable: int | None,
    by: str,
    seed: int,
    tags: list[str],
) -> tuple[list[Example], dict[str, Any]]:
    passages = opened.corpus.passages(collection, seed=seed, tags=tags)
    others = [one for one in opened.corpus.collections() if one != collection]
    wanted = n // 5 if unanswerable is None else min(unanswerable, n)
    foreign = [
        candidate
        for other in (others if wanted else ())
        for candidate in generated.by_rules(opened.corpus.passages(other, seed=seed))
    ]
    lacking = generated.unanswerable(
        foreign, lambda texts: opened.corpus.absent(collection, texts), n=wanted, seed=seed
    )
    made: dict[str, Any] = {
        "from": collection, "by": by, "n": n, "seed": seed, "unanswerable_wanted": wanted,
        "tag_fields": tags,
    }  # fmt: skip
    if by == "rules":
        candidates = generated.by_rules(passages)
    else:
        rest = n - len(lacking)
        candidates, made["prompt"] = _by_model(settings, opened, collection, passages, rest, seed)
        made["model"] = model_name(settings.generator)
    found = generated.chosen(candidates, n=n - len(lacking), seed=seed)
    known = {one.question.casefold() for one in candidates}
    lacking = [one for one in lacking if one.question.casefold() not in known]
    return [*generated.answerable(found), *lacking], made | {"unanswerable": len(lacking)}


def _by_model(
    settings: Settings,
    opened: Evaluating,
    collection: str,
    passages: list[generated.Source],
    n: int,
    seed: int,
) -> tuple[list[generated.Candidate], str]:
    async def ask() -> tuple[list[generated.Candidate], str]:
        async with model_questions(settings, opened, collection) as model:
            with err.status("Asking the model for questions") as status:
                found = await generated.by_model(
                    passages, model.ask, n=n, seed=seed,
                    progress=lambda done: status.update(f"{done} of {n} questions"),
                )  # fmt: skip
            return found, model.name

    return asyncio.run(ask())


def _nothing(made: Mapping[str, Any]) -> str:
    if made["from"] == "feedback":
        left_out = made["left_out_as_personal"]
        why = f" ({left_out} were left out for what looks personal in them)" if left_out else ""
        return f"No answer was liked or corrected yet{why}: --unrated takes what was only asked."
    if made["by"] == "model":
        return (
            f"Not one question of the model about the documents in {made['from']!r} stands: its "
            "answer must be in the passage to the letter, and a search must find it."
        )
    return (
        f"Not one question could be made of the documents in {made['from']!r}: are there any, in "
        "English? --by model words questions in other languages."
    )


def _keep(
    opened: Evaluating, test_set: TestSet, made: Mapping[str, Any], *, draft: bool, as_json: bool
) -> None:
    if not draft:
        _tell(opened, opened.test_sets.freeze(test_set, made), as_json=as_json)
        return
    path = opened.test_sets.draft(test_set, made)
    if as_json:
        print_json({"draft": str(path), "n": len(test_set.examples), "made": made})
    else:
        say(f"{len(test_set.examples)} examples to look through in {path}.")
        say(f"`promptly testset freeze {test_set.name}` freezes them.")


def _tell(opened: Evaluating, manifest: Manifest, *, as_json: bool) -> None:
    path = opened.test_sets.path(manifest)
    if as_json:
        print_json({"manifest": manifest, "file": str(path)})
        return
    say(_summary(manifest))
    short = int(manifest.made.get("n", 0)) - manifest.n
    if short > 0:
        say(f"{short} fewer than were asked for: there was nothing else to make them of.")
    wanted = int(manifest.made.get("unanswerable_wanted", 0))
    if int(manifest.made.get("unanswerable", 0)) < wanted:
        say(
            f"{wanted} unanswerable ones were wanted: they are made of other collections' "
            "documents, about what this one does not speak of."
        )
    if left_out := manifest.made.get("left_out_as_personal"):
        say(f"{left_out} questions were left out for what looks personal in them.")
    say(f"In {path}; hash {manifest.test_set_hash[:12]}.")


def _summary(manifest: Manifest) -> str:
    lacking = manifest.made.get("unanswerable")
    unanswerable = f", {lacking} of them unanswerable" if lacking else ""
    return f"{manifest.name} v{manifest.version}: {manifest.n} examples{unanswerable}."
