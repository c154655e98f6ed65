"""For schemathesis, which loads this file in the peers' environment: real ids in place of many of
those that it makes up, and a tally of what each operation answered.

From the environment: FUZZ_ADDRESS and FUZZ_TOKEN, the service and who asks; FUZZ_TALLY, the file
for the tally.
"""

import atexit
import json
import os
import random
import re
from collections import Counter, defaultdict
from itertools import count
from pathlib import Path

import requests
import schemathesis

ADDRESS = os.environ["FUZZ_ADDRESS"]
SHARE = 0.7  # of the ids and names that could be real ones
COLLECTION = "seeded"
MOSTLY_REFUSED = ("filter", "promptly", "dimensions", "signature")  # as they are made up
EMBEDDER = "onnx:all-MiniLM-L6-v2"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NAMES = re.compile(r"^(?=.*[^\s\x00])[^\x00]{1,200}$", re.DOTALL)
session = requests.Session()
session.headers["Authorization"] = f"Bearer {os.environ['FUZZ_TOKEN']}"
numbers = count(1)
chance = random.Random(1)
told = defaultdict(Counter)
seen = set()  # ids that the service gave: those of a sequence stay as they are


def ask(method, path, body=None):
    reply = session.request(method, ADDRESS + path, json=body, timeout=60)
    seen.update(UUID.findall(reply.text))
    return reply.json() if reply.content else {}


def make_collection():
    return ask("POST", "/v1/collections", {"name": f"made {next(numbers)}"})["collection_id"]


def make_document():
    source = f"made-{next(numbers)}.md"
    text = "# Hours\n\nThe museum opens at nine.\n\n# Price\n\nA ticket costs 7 euros.\n"
    ask("POST", "/v1/documents", {"text": text, "source": source, "collection": COLLECTION})
    listed = ask("GET", f"/v1/documents?limit=1000&collection={COLLECTION}")["documents"]
    return next(one["document_id"] for one in listed if one["source"] == source)


def make_answer():
    return ask("POST", "/v1/answers", {"question": f"What does a ticket cost? {next(numbers)}"})


def make_source():
    settings = {"urls": [f"https://made-{next(numbers)}.invalid/"]}
    body = {"kind": "web", "settings": settings, "collection": COLLECTION}
    return ask("POST", "/v1/sources", body)["source_id"]


def find_job():
    """One that waits or failed, as those of addresses that are nowhere do."""
    jobs = ask("GET", "/v1/jobs?limit=1000")["jobs"]
    if not jobs:
        make_source()
        return find_job()
    return chance.choice(jobs)["job_id"]


MAKE = {
    "collection_id": make_collection,
    "document_id": make_document,
    "source_id": make_source,
    "answer_id": lambda: make_answer()["answer_id"],
    "conversation_id": lambda: make_answer()["conversation_id"],
}
made = {}


def real(name, *, own):
    """An id of something that is there; `own` for what the request may change or end."""
    if own or name not in made or chance.random() < 0.1:
        made[name] = MAKE[name]()
    return made.pop(name) if own else made[name]


def put(values, *, own=False, embedding=False):
    """Real ids and names in place of made-up ones."""
    for name, value in list(values.items()):
        if not isinstance(value, str) or chance.random() > SHARE:
            continue
        if name in MAKE and UUID.fullmatch(value) and value not in seen:
            values[name] = real(name, own=own)
        elif name == "collection" and NAMES.match(value):
            values[name] = COLLECTION
        elif name == "model":
            models = [one["id"] for one in ask("GET", "/v1/models")["data"]]
            values[name] = EMBEDDER if embedding else chance.choice(models)


@schemathesis.hook
def before_call(context, case, kwargs):
    path, method = case.operation.path, case.operation.method.upper()
    parameters = case.path_parameters or {}
    put(parameters, own=method in ("DELETE", "PATCH"))
    if str(parameters.get("job_id", "")).isdigit() and chance.random() < SHARE:
        parameters["job_id"] = find_job()
    if method == "DELETE" and path.endswith("/members/{user_id}") and chance.random() < SHARE:
        ask("PUT", case.formatted_path, {"role": "reader"})
    put(case.query or {})
    if isinstance(case.body, dict) and case.media_type == "application/json":
        put(case.body, embedding=path == "/v1/embeddings")
        for name in MOSTLY_REFUSED:
            if name in case.body and chance.random() < SHARE:
                del case.body[name]


@schemathesis.hook
def after_call(context, case, response):
    told[case.operation.label][response.status_code] += 1
    seen.update(UUID.findall(response.text[:100_000]))
    if response.status_code == 404:
        gone = set((case.path_parameters or {}).values())
        for name in [one for one, value in made.items() if value in gone]:
            del made[name]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """What is none: 413 refuses too, and a form's field is a text, whatever it was made of."""
    if failure.code != "ST201":
        return True
    of_text = "`type` at /properties/collection" in failure.message
    return response.status_code != 413 and not (
        of_text and case.media_type == "multipart/form-data"
    )


@atexit.register
def write():
    Path(os.environ["FUZZ_TALLY"]).write_text(json.dumps(told))
