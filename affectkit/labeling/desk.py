"""Who is asked what, and what has been answered: leases of rows, progress, agreement of those who answered the same."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from affectkit.artifacts.annotations import Annotation, Journal, counting
from affectkit.labeling.queue import Question, Queue
from affectkit.labels import Target

LEASE_SEC = 300.0  # a row that was given to a tab is given to no other for so long
RECENT = 200  # answers of a person whose median says how long one takes
_NOBODY = -1
_NONE, _ANSWERED, _SKIPPED = 0, 1, 2


class Desk:
    """Gives rows out and takes answers; safe in threads.

    What counts of the answers is held by row: in each of as many layers as the most answered row has answers, [L, N],
    who gave one, whether it was skipped, and by target what was said: the class's index, or the number.
    """

    def __init__(
        self,
        queue: Queue,
        questions: Sequence[Question],
        journal: Journal,
        *,
        raters: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.queue, self.questions, self.journal, self.raters = queue, questions, journal, raters
        self._clock = clock
        self._people: dict[str, int] = {}
        self._seconds: dict[int, deque[float]] = {}
        self._who = np.full((0, len(queue)), _NOBODY, np.int32)
        self._state = np.zeros((0, len(queue)), np.int8)
        self._said = {question.target.name: np.zeros((0, len(queue))) for question in questions}
        self._codes = {
            q.target.name: {name: float(code) for code, name in enumerate(q.target.classes)} for q in questions
        }
        self._leases: dict[tuple[int, str], tuple[str, float]] = {}  # (row, tab) -> who, until when; the oldest first
        self._turn = threading.Lock()  # of what is above
        self._writing = threading.Lock()  # so that answers count in the order in which they are written
        self._agreement = _Agreement()
        for each in counting(list(journal.given.values())):
            self._count(each)

    @cached_property
    def targets(self) -> dict[str, Target]:
        return {question.target.name: question.target for question in self.questions}

    @cached_property
    def study(self) -> str:
        """Tells one queue with one journal from others, so that a browser sends no answer to the wrong one."""
        return self.queue.digest(self.journal.path.absolute(), [t.to_json() for t in self.targets.values()])

    def counts(self) -> dict[str, int]:
        with self._turn:
            return {"labelled": int((self._answers() > 0).sum()), "people": len(self._people)}

    # --- Giving rows out

    def next(self, annotator: str, tab: str, count: int, holding: Sequence[int] = ()) -> list[int]:
        """Rows for a tab, in the order in which they are to be asked, which are leased to it; and so are those that it
        is `holding`, while what else it had is free again."""
        with self._turn:
            now = self._clock()
            self._expire(now)
            for key in [key for key in self._leases if key[1] == tab]:
                del self._leases[key]
            free = self._open_to(annotator)
            room = self.raters - self._answers()
            for (row, _), (other, _) in self._leases.items():
                room[row] -= not self._has_answered(other, row)
                free[row] &= other != annotator
            free &= room > 0
            free[list(holding)] = False
            begun = free & (room < self.raters) & self._answers().astype(bool)
            rows = np.concatenate([np.flatnonzero(begun)[:count], np.flatnonzero(free & ~begun)[:count]])[:count]
            for row in [*holding, *rows.tolist()]:
                self._leases[row, tab] = annotator, now + LEASE_SEC
            return rows.tolist()

    def _expire(self, now: float) -> None:
        while self._leases and next(iter(self._leases.values()))[1] <= now:
            del self._leases[next(iter(self._leases))]

    def _answers(self) -> np.ndarray:
        """[N] how many persons have answered each row."""
        return (self._state == _ANSWERED).sum(axis=0)

    def _open_to(self, annotator: str) -> np.ndarray:
        """[N] bool, rows that a person has neither answered nor skipped."""
        person = self._people.get(annotator)
        return ~(self._who == person).any(axis=0) if person is not None else np.ones(len(self.queue), bool)

    def _has_answered(self, annotator: str, row: int) -> bool:
        person = self._people.get(annotator)
        return person is not None and bool((self._who[:, row] == person).any())

    # --- Taking answers

    def take(self, each: Annotation, tab: str) -> bool:
        """Whether an answer, or one taken back, is new. It is in the journal when this returns.

        Raises ValueError, in words, for one that cannot be; OSError where it cannot be written.
        """
        with self._writing:
            if each.key not in self.journal.given:
                self._check(each)
            if not self.journal.append(each):
                return False
            with self._turn:
                row = self.queue.place[each.id]
                self._leases.pop((row, tab), None)
                if each.undo:
                    self._leases[row, tab] = each.annotator, self._clock() + LEASE_SEC
                    self._uncount(each)
                else:
                    self._count(each)
            return True

    def _check(self, each: Annotation) -> None:
        if each.id not in self.queue.place:
            raise ValueError(f"this queue has no row '{each.id}'")
        if each.undo:
            before = self.journal.given.get(each.undo)
            if before is None or (before.id, before.annotator) != (each.id, each.annotator) or before.undo:
                raise ValueError("there is no such answer of yours to take back")

    def _count(self, each: Annotation) -> None:
        row = self.queue.place.get(each.id)
        if row is None:  # of another queue
            return
        person = self._people.setdefault(each.annotator, len(self._people))
        layer = self._layer(row, person)
        self._who[layer, row], self._state[layer, row] = person, _SKIPPED if each.skipped else _ANSWERED
        for name, said in self._said.items():
            value = each.labels.get(name, np.nan)
            said[layer, row] = self.targets[name].classes.index(value) if isinstance(value, str) else value
        if each.seconds is not None:
            self._seconds.setdefault(person, deque(maxlen=RECENT)).append(each.seconds)
        self._agreement.changed = True

    def _layer(self, row: int, person: int) -> int:
        """Where a person's answer to a row stands, or may stand."""
        for wanted in (person, _NOBODY):
            if len(layers := np.flatnonzero(self._who[:, row] == wanted)):
                return int(layers[0])
        self._who = np.vstack([self._who, np.full((1, len(self.queue)), _NOBODY, np.int32)])
        self._state = np.vstack([self._state, np.zeros((1, len(self.queue)), np.int8)])
        for name, said in self._said.items():
            self._said[name] = np.vstack([said, np.full((1, len(self.queue)), np.nan)])
        return len(self._who) - 1

    def _uncount(self, each: Annotation) -> None:
        """After an answer was taken back: the one before it counts again, if there was one."""
        row, person = self.queue.place[each.id], self._people[each.annotator]
        layer = self._layer(row, person)
        self._who[layer, row], self._state[layer, row] = _NOBODY, _NONE
        for said in self._said.values():
            said[layer, row] = np.nan
        theirs = [a for a in self.journal.given.values() if a.id == each.id and a.annotator == each.annotator]
        for before in counting(theirs):
            self._count(before)
        self._agreement.changed = True

    # --- How it is getting on

    def progress(self, annotator: str) -> dict[str, Any]:
        """total: rows of the queue. left: those that the person may still be asked."""
        with self._turn:
            person = self._people.get(annotator, _NOBODY - 1)
            states = self._state[self._who == person]
            left = int((self._open_to(annotator) & (self._answers() < self.raters)).sum())
            recent = self._seconds.get(person)
            seconds = statistics.median(recent) if recent else None
        return {
            "answered": int((states == _ANSWERED).sum()),
            "skipped": int((states == _SKIPPED).sum()),
            "left": left,
            "total": len(self.queue),
            "seconds_left": None if seconds is None else round(seconds * left, 1),
            "agreement": [],
        }


class _Agreement:
    changed = True
