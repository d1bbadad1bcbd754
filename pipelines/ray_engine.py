"""Shards on Ray: each goes to a worker that is free, and what a lost worker held goes to another."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from tqdm import tqdm

from pipelines.ray_session import one_line
from pipelines.shards import Failure, Outcome, Processor, Row, Settings, Shard, process_rows, process_shard, save_shard
from tr2m_plugin.device import pick_device
from tr2m_plugin.errors import InputError

TRIES = 3
"""Workers that may be lost on a shard before its rows are tried one by one, and on a row before it has failed."""

LOSSES = 12
"""Workers that may be lost one after another, without a row done in between, before the run ends."""

WAIT = 60.0
"""Seconds in which Ray should answer, and after which a line says that no worker has begun."""


class Worker:
    """A Ray actor that holds a processor."""

    def prepare(
        self, make_processor: Callable[..., Processor], options: dict[str, Any], settings: Settings
    ) -> Iterator[int]:
        """Makes the processor; a constructor's errors are then those of a task, told from a worker that is lost."""
        import torch

        torch.set_num_threads(settings.cpus_per_worker)
        self.processor = make_processor(**options, device=pick_device(settings.device))
        self.batch_size = settings.batch_size
        yield from ()

    def process(self, shard: Shard, folder: Path) -> Iterator[int]:
        """Computes and writes a shard; gives the number of rows of every batch."""
        yield from process_shard(self.processor, shard, folder, self.batch_size)

    def attempt(self, row: Row) -> Iterator[Outcome]:
        """Computes one row and gives its outcome."""
        for (outcome,) in process_rows(self.processor, [row], 1):
            yield outcome


@dataclass
class Task:
    """A shard; or one row of a shard on which too many workers were lost.

    Attributes:
        shard: the shard.
        number: number of the row in the shard.
        outcomes: outcomes of the shard's rows so far, by number; all its tasks share it.
        losses: workers lost on it.
    """

    shard: Shard
    number: int | None = None
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    losses: int = 0


@dataclass(eq=False)
class Hand:
    """A worker as this process sees it.

    Attributes:
        actor: its handle.
        words: what it says until its task is done.
        task: what it does; none while it prepares.
        done: rows of its task that it has done.
        outcome: outcome of its task where that is a single row.
        heard: when it spoke last.
    """

    actor: Any
    words: Any
    task: Task | None = None
    done: int = 0
    outcome: Outcome | None = None
    heard: float = field(default_factory=time.monotonic)


class RayRun:
    """Shards computed by workers on Ray; iterated, it gives numbers of rows as they are done.

    What a lost worker had done of its shard is taken back as a negative number. A shard on which `TRIES` workers were
    lost is computed row by row, and a row on which as many were lost has failed.

    Args:
        name: name of the stage, for messages.
        shards: what to compute.
        make_processor: makes a processor in each worker from `options` and `device`.
        options: keyword arguments of `make_processor`.
        folder: folder of the shards.
        settings: how to divide the work.

    Raises:
        InputError: no node has room for a worker, or workers are lost one after another. What the processor's
            constructor or the writing of a shard raises is raised here.
    """

    def __init__(
        self,
        name: str,
        shards: Sequence[Shard],
        make_processor: Callable[..., Processor],
        options: dict[str, Any],
        folder: Path,
        settings: Settings,
    ) -> None:
        self.name, self.folder, self.settings = name, folder, settings
        self.recipe = (make_processor, options, settings)
        self.queue = deque(Task(shard) for shard in shards)
        self.hands: list[Hand] = []
        self.losses = 0
        self.begun = False
        gpus = settings.gpus_per_worker
        if gpus is None:
            gpus = 1.0 if settings.device != "cpu" and ray.cluster_resources().get("GPU", 0) >= 1 else 0.0
        self.needs = {"CPU": settings.cpus_per_worker, "GPU": gpus}
        self.count = min(settings.workers or self._room(), len(shards))

    def _room(self) -> int:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        needs = {kind: need for kind, need in self.needs.items() if need}
        room = sum(min((int(node.get(kind, 0) // need) for kind, need in needs.items()), default=1) for node in nodes)
        if not room:
            raise InputError(
                f"{self.name}: no machine has the {self.needs['CPU']} processors and {self.needs['GPU']:g} GPUs that a "
                "worker is to have: lower cpus_per_worker or gpus_per_worker"
            )
        return room

    def __iter__(self) -> Iterator[int]:
        try:
            while self.queue or self._busy():
                self._staff()
                yield from self._listen()
        except RayTaskError as error:
            raise error.cause or error from error
        except RayError as error:
            raise InputError(f"Ray failed; what is done is kept, so repeat the run ({one_line(error)})") from error
        finally:
            self.hands.clear()

    def _busy(self) -> list[Hand]:
        return [hand for hand in self.hands if hand.task]

    def _staff(self) -> None:
        """As many workers as there is work for: one that waits for room which another's end would give is no use."""
        busy = self._busy()
        wanted = min(self.count, len(self.queue) + len(busy))
        for hand in [hand for hand in self.hands if not hand.task][max(wanted - len(busy), 0) :]:
            self._dismiss(hand)
        for _ in range(wanted - len(self.hands)):
            make = ray.remote(Worker).options(
                num_cpus=self.needs["CPU"], num_gpus=self.needs["GPU"], max_restarts=0, max_task_retries=0
            )
            actor: Any = make.remote()
            self.hands.append(Hand(actor, actor.prepare.options(num_returns="streaming").remote(*self.recipe)))

    def _dismiss(self, hand: Hand) -> None:
        self.hands.remove(hand)
        ray.kill(hand.actor)

    def _listen(self) -> Iterator[int]:
        stall = self.settings.stall_seconds
        waits = [hand.heard + stall - time.monotonic() for hand in self._busy()]
        ready, _ = ray.wait([hand.words for hand in self.hands], timeout=max(min([*waits, WAIT]), 0))
        for hand in [hand for hand in self.hands if hand.words in ready]:
            yield from self._answer(hand)
        for hand in self._busy():
            if time.monotonic() - hand.heard > stall:
                yield from self._lose(hand, f"it finished nothing in {stall:g} s")
        if not ready and not self.begun:
            self.begun = True
            tqdm.write(f"{self.name}: no worker has begun in {WAIT:g} s: is the cluster busy?", file=sys.stderr)

    def _answer(self, hand: Hand) -> Iterator[int]:
        try:
            word = ray.get(next(hand.words), timeout=WAIT)
        except StopIteration:
            self._next(hand)
        except RayTaskError:
            raise
        except RayError as error:
            yield from self._lose(hand, one_line(error))
        else:
            yield self._hear(hand, word)

    def _hear(self, hand: Hand, word: Any) -> int:
        hand.heard, self.losses = time.monotonic(), 0
        rows = word
        if hand.task and hand.task.number is not None:
            hand.outcome, rows = word, 1
        hand.done += rows
        return rows

    def _next(self, hand: Hand) -> None:
        """A worker has done its task, or is prepared, and gets the next one."""
        self.begun = True
        if hand.task and hand.outcome:
            self._settle(hand.task, hand.outcome)
        hand.task = None
        if not self.queue:
            self._dismiss(hand)
            return
        hand.task, hand.done, hand.outcome, hand.heard = self.queue.popleft(), 0, None, time.monotonic()
        shard, number = hand.task.shard, hand.task.number
        if number is None:
            hand.words = hand.actor.process.options(num_returns="streaming").remote(shard, self.folder)
        else:
            hand.words = hand.actor.attempt.options(num_returns="streaming").remote(shard.rows[number])

    def _settle(self, task: Task, outcome: Outcome) -> None:
        """Keeps the outcome of a single row; that of the last one writes the shard."""
        task.outcomes[task.number or 0] = outcome
        if len(task.outcomes) == len(task.shard.rows):
            save_shard(task.shard, [task.outcomes[number] for number in sorted(task.outcomes)], self.folder)

    def _lose(self, hand: Hand, reason: str) -> Iterator[int]:
        """Gives a lost worker's task to another, in the end row by row."""
        self._dismiss(hand)
        self.losses += 1
        tqdm.write(f"{self.name}: a worker is lost: {reason}", file=sys.stderr)
        if self.losses >= LOSSES:
            raise InputError(
                f"{self.losses} workers were lost one after another; what is done is kept, so repeat the run when the "
                f"cause is gone ({reason})"
            )
        task = hand.task
        if task is None:
            self.count = max(self.count - 1, 1)  # its machine may lack what a worker needs
            return
        yield -hand.done
        task.losses += 1
        if task.losses < TRIES:
            self.queue.append(task)
        elif task.number is None and len(task.shard.rows) > 1:
            self.queue.extend(Task(task.shard, number, task.outcomes) for number in range(len(task.shard.rows)))
        else:
            row = task.shard.rows[task.number or 0]
            self._settle(task, (row, Failure(f"{TRIES} workers were lost on it ({reason})")))
            yield 1
