"""Users of the service, for locust: they think, ask one of the questions, and read what comes.

Runs in the peers' environment. From the environment: QUESTIONS, a file with a JSON list; THINK_S,
the mean pause between two requests of one user, exponential; PATHS, what they ask for, weighted.
"""

import json
import os
import random
from pathlib import Path

from locust import FastHttpUser, task

QUESTIONS = json.loads(Path(os.environ["QUESTIONS"]).read_text(encoding="utf-8"))
THINK_S = float(os.environ["THINK_S"])
BODIES = {
    "search": lambda question: ("/v1/search", {"query": question}),
    "answers": lambda question: ("/v1/answers", {"question": question}),
    "streams": lambda question: ("/v1/answers", {"question": question, "stream": True}),
}
PATHS = json.loads(os.environ["PATHS"])


class Reader(FastHttpUser):
    connection_timeout = network_timeout = 60.0

    def wait_time(self):
        return random.expovariate(1 / THINK_S) if THINK_S else 0

    @task
    def ask(self):
        kind = random.choices(list(PATHS), list(PATHS.values()))[0]
        path, body = BODIES[kind](random.choice(QUESTIONS))
        with self.client.post(path, json=body, name=kind, catch_response=True) as reply:
            if reply.status_code != 200:
                reply.failure(f"status {reply.status_code}")
            elif kind == "streams" and "event: done" not in reply.text:
                reply.failure("a stream without its end")
            elif kind == "search" and not reply.json()["passages"]:
                reply.failure("no passages")
