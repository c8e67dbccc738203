"""Who is asked what, and what has been answered: leases of rows, progress, agreement of those who answered the same."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from affectkit.artifacts.annotations import LONGEST_NAME, Annotation, Journal, counting
from affectkit.evaluation.raters import LEVELS, cohen_kappa, krippendorff_alpha
from affectkit.labeling.queue import Question, Queue
from affectkit.labels import Target
from affectkit.plain import printable

LEASE_SEC = 300.0  # a row that was given to a tab is given to no other for so long
RECENT = 200  # answers of a person whose median says how long one takes
AGREEMENT_SEC = 1.0  # from one reckoning of agreement to the next, at least,
AGREEMENT_SHARE = 0.05  # and so much of the time may go into it
_NOBODY = -1
_NONE, _ANSWERED, _SKIPPED = 0, 1, 2


def name_of(text: str) -> str:
    """What a person is called, white space tidied. Raises ValueError, in words, for what is no name."""
    name = " ".join(text.split())
    if not name or len(name) > LONGEST_NAME or printable(name) != name:
        raise ValueError(f"a name has 1 to {LONGEST_NAME} characters, all of which can be seen")
    return name


class Desk:
    """Gives rows out and takes answers; safe in threads.

    What counts of the answers is held by row, in as many layers as the row has that was answered by most: [L, N] who
    answered, whether it was skipped, and by target what was said, the class's place or the number.
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
        """raters: persons who are to answer each row. clock: seconds."""
        self.queue, self.questions, self.journal, self.raters = queue, questions, journal, raters
        self._clock = clock
        self._people: dict[str, int] = {}
        self._seconds: dict[str, deque[float]] = {}
        self._who = np.full((0, len(queue)), _NOBODY, np.int32)
        self._state = np.zeros((0, len(queue)), np.int8)
        self._said = {question.target.name: np.zeros((0, len(queue))) for question in questions}
        self._leases: dict[tuple[int, str], tuple[str, float]] = {}  # (row, tab) -> who, until when; the oldest first
        self._turn = threading.Lock()  # of what is above
        self._writing = threading.Lock()  # so that answers count in the order in which they are written
        self._agreed: list[dict[str, Any]] = []
        self._agreed_anew, self._agreed_until = False, -math.inf
        for each in counting(list(journal.given.values())):
            self._count(each)
            self._time(each)

    @cached_property
    def targets(self) -> dict[str, Target]:
        return {question.target.name: question.target for question in self.questions}

    @cached_property
    def study(self) -> str:
        """Tells one queue with one journal from others, so that a browser sends no answer to the wrong one."""
        return self.queue.digest(self.journal.path.absolute(), [t.to_json() for t in self.targets.values()])

    # --- Giving rows out

    def next(self, annotator: str, tab: str, count: int, holding: Sequence[int] = ()) -> list[int]:
        """Rows for a tab, in the order in which they are to be asked, which are leased to it; and so are those that it
        is `holding`, while what else it had is free again."""
        with self._turn:
            now = self._clock()
            while self._leases and next(iter(self._leases.values()))[1] <= now:
                del self._leases[next(iter(self._leases))]
            for key in [key for key in self._leases if key[1] == tab]:
                del self._leases[key]
            answers, free = self._answers(), self._open_to(annotator)
            taken = answers.copy()
            for (row, _), (other, _) in self._leases.items():
                taken[row] += not self._has_answered(other, row)
                free[row] &= other != annotator
            free &= taken < self.raters
            free[list(holding)] = False
            begun = free & (answers > 0)  # first, so that agreement is known early
            rows = np.concatenate([np.flatnonzero(begun)[:count], np.flatnonzero(free & ~begun)[:count]])[:count]
            for row in [*holding, *rows.tolist()]:
                self._leases[row, tab] = annotator, now + LEASE_SEC
            return rows.tolist()

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
                row = self.queue.places[each.id]
                self._leases.pop((row, tab), None)
                if each.undo:  # it is shown again
                    self._leases[row, tab] = each.annotator, self._clock() + LEASE_SEC
                    self._count_again(each)
                else:
                    self._count(each)
                    self._time(each)
            return True

    def _check(self, each: Annotation) -> None:
        if each.id not in self.queue.places:
            raise ValueError(f"this queue has no row '{each.id}'")
        if each.undo:
            before = self.journal.given.get(each.undo)
            if before is None or before.undo or (before.id, before.annotator) != (each.id, each.annotator):
                raise ValueError("there is no such answer of yours to take back")

    def _count(self, each: Annotation) -> None:
        row = self.queue.places.get(each.id)
        if row is None:  # of another queue
            return
        person = self._people.setdefault(each.annotator, len(self._people))
        layer = self._layer(row, person)
        self._who[layer, row], self._state[layer, row] = person, _SKIPPED if each.skipped else _ANSWERED
        for name, said in self._said.items():
            value = each.labels.get(name, math.nan)
            said[layer, row] = self.targets[name].classes.index(value) if isinstance(value, str) else value
        self._agreed_anew = True

    def _layer(self, row: int, person: int) -> int:
        """Where a person's answer to a row stands, or is to stand."""
        for wanted in (person, _NOBODY):
            if len(layers := np.flatnonzero(self._who[:, row] == wanted)):
                return int(layers[0])
        width = (1, len(self.queue))
        self._who = np.vstack([self._who, np.full(width, _NOBODY, np.int32)])
        self._state = np.vstack([self._state, np.full(width, _NONE, np.int8)])
        for name, said in self._said.items():
            self._said[name] = np.vstack([said, np.full(width, math.nan)])
        return len(self._who) - 1

    def _count_again(self, undone: Annotation) -> None:
        """A person's answer to a row after one was taken back: the one before, if there was any."""
        row = self.queue.places[undone.id]
        layer = self._layer(row, self._people[undone.annotator])
        self._who[layer, row], self._state[layer, row] = _NOBODY, _NONE
        for said in self._said.values():
            said[layer, row] = math.nan
        given = self.journal.given.values()
        for before in counting([a for a in given if a.id == undone.id and a.annotator == undone.annotator]):
            self._count(before)
        self._agreed_anew = True

    def _time(self, each: Annotation) -> None:
        if each.seconds is not None:
            self._seconds.setdefault(each.annotator, deque(maxlen=RECENT)).append(each.seconds)

    # --- How it is getting on

    def counts(self) -> dict[str, int]:
        """labelled: rows that somebody answered. people: who answered any."""
        with self._turn:
            return {"labelled": int((self._answers() > 0).sum()), "people": len(self._people)}

    def progress(self, annotator: str) -> dict[str, Any]:
        """Of a person, rows: answered, skipped, left to be asked; total: of the queue. seconds_left: by the median of
        the person's last answers, None before the first. agreement: of all who answered."""
        with self._turn:
            states = self._state[self._who == self._people.get(annotator, _NOBODY - 1)]
            left = int((self._open_to(annotator) & (self._answers() < self.raters)).sum())
            recent = self._seconds.get(annotator)
            seconds = round(statistics.median(recent) * left, 1) if recent else None
        own = {"answered": int((states == _ANSWERED).sum()), "skipped": int((states == _SKIPPED).sum()), "left": left}
        return {**own, "total": len(self.queue), "seconds_left": seconds, "agreement": self.agreement()}

    def agreement(self) -> list[dict[str, Any]]:
        """Krippendorff's alpha of each target, and Cohen's kappa where two persons chose from classes, over the rows
        that were answered twice or more. It is reckoned anew when answers have come in, and some time has passed."""
        with self._turn:
            if not self._agreed_anew or self._clock() < self._agreed_until:
                return self._agreed
            self._agreed_anew, self._agreed_until = False, self._clock() + AGREEMENT_SEC
            several = self._answers() > 1
            who, said = self._who[:, several], {name: said[:, several] for name, said in self._said.items()}
        began = time.perf_counter()
        agreed = [entry for target in self.targets.values() for entry in _agreement(target, said[target.name], who)]
        pause = (time.perf_counter() - began) / AGREEMENT_SHARE
        with self._turn:
            self._agreed, self._agreed_until = agreed, max(self._agreed_until, self._clock() + pause)
        return agreed


def _agreement(target: Target, values: np.ndarray, who: np.ndarray) -> list[dict[str, Any]]:
    """values: [L, M] of a target, NaN where there is none. who: [L, M]."""
    rated = (~np.isnan(values)).sum(axis=0) > 1
    values, who = values[:, rated], who[:, rated]
    people = np.unique(who[~np.isnan(values)])
    if not values.shape[1]:
        return []
    figures = {"alpha": krippendorff_alpha(values, LEVELS[target.kind])}
    if target.classes and len(people) == 2:
        figures["kappa"] = cohen_kappa(*(np.where(who == person, values, -np.inf).max(axis=0) for person in people))
    known = {"target": target.name, "rows": int(rated.sum()), "raters": len(people)}
    return [{**known, "measure": name, "value": None if math.isnan(x) else x} for name, x in figures.items()]
