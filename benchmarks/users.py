"""Users of the service, for locust: they think, ask one of the questions, and read what comes; rate
answers that they got, ask on, and look at what they asked before.

Runs in the peers' environment. From the environment: QUESTIONS, a file with a JSON list; THINK_S,
the mean pause of one user between two requests, exponential; NEW, the share of questions that
nobody has asked before; PATHS, what they ask for, weighted.
"""

import json
import os
import random
from itertools import count
from pathlib import Path

from locust import FastHttpUser, task

QUESTIONS = json.loads(Path(os.environ["QUESTIONS"]).read_text(encoding="utf-8"))
THINK_S = float(os.environ["THINK_S"])
NEW = float(os.environ["NEW"])
PATHS = json.loads(os.environ["PATHS"])
numbers = count(1)


def question():
    asked = random.choice(QUESTIONS)
    return f"{asked} (case {next(numbers)})" if random.random() < NEW else asked


class Reader(FastHttpUser):
    connection_timeout = network_timeout = 60.0
    last = None  # the answer before: its id, its conversation's, question and text

    def wait_time(self):
        return random.expovariate(1 / THINK_S) if THINK_S else 0

    @task
    def act(self):
        kind = random.choices(list(PATHS), list(PATHS.values()))[0]
        if kind in ("rate", "follow") and self.last is None:
            kind = "answers"
        getattr(self, kind)()

    def search(self):
        self.send("search", "/v1/search", {"query": question()}, self.has_passages)

    def answers(self):
        body = {"question": question()}
        self.send("answers", "/v1/answers", body, lambda reply: self.remember(body, reply.json()))

    def streams(self):
        body = {"question": question(), "stream": True}
        self.send("streams", "/v1/answers", body, self.has_ended)

    def follow(self):
        """With what was said before, as the UI sends it."""
        turns = [("user", self.last["question"]), ("assistant", self.last["answer"])]
        body = {
            "question": question(),
            "conversation_id": self.last["conversation_id"],
            "history": [{"role": role, "content": content} for role, content in turns],
        }
        self.send("follow", "/v1/answers", body, lambda reply: self.remember(body, reply.json()))

    def rate(self):
        said = {"answer_id": self.last["answer_id"], "rating": random.choice(("up", "down"))}
        if random.random() < 0.3:
            said["comment"] = f"About case {random.random()}."
        self.send("rate", "/v1/feedback", said)

    def look(self):
        if self.last is None or random.random() < 0.5:
            self.send("look", "/v1/history?limit=20")
        else:
            self.send("look", f"/v1/history/{self.last['conversation_id']}")

    def send(self, kind, path, body=None, check=None):
        method = "GET" if body is None else "POST"
        with self.client.request(method, path, json=body, name=kind, catch_response=True) as reply:
            if reply.status_code != 200:
                reply.failure(f"status {reply.status_code}")
            elif check and (missing := check(reply)):
                reply.failure(missing)

    def remember(self, asked, answer):
        self.last = {**answer, "question": asked["question"]}

    def has_passages(self, reply):
        return None if reply.json()["passages"] else "no passages"

    def has_ended(self, reply):
        return None if "event: done" in reply.text else "a stream without its end"
