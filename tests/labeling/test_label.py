"""`affectkit label`: rows that are given out, answers that are taken, agreement, a disk that takes no more."""

import errno
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi")

from label_kit import answer, asked, opened, told, write_queue, write_texts

from affectkit.artifacts.annotations import counting, read_annotations
from affectkit.evaluation.raters import cohen_kappa, krippendorff_alpha
from affectkit.labels import Target


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


# --- Rows


def test_rows_come_in_the_order_of_the_queue_with_what_is_needed_to_show_them(tmp_path):
    queue = write_queue(tmp_path, 3, columns=",pred,score,reason,label", cells=",angry,.9,sure,angry")
    with opened(queue) as (client, _):
        given = client.get("/api/next", params={"annotator": "ann", "tab": "t", "count": 2}).json()
        assert [item["id"] for item in given["items"]] == ["r1", "r2"] and given["items"][0]["row"] == 1
        assert given["items"][0]["media"] == [
            {"kind": "audio", "url": "/media/1/0", "peaks": "/peaks/1/0", "name": "", "start": None, "end": None,
             "problem": ""}
        ]  # fmt: skip
        assert "angry" not in json.dumps(given) and "r1.wav" not in json.dumps(given)
        assert given["progress"] == {
            "answered": 0, "skipped": 0, "left": 3, "total": 3, "seconds_left": None, "agreement": []
        }  # fmt: skip
    with opened(queue, shown=True) as (client, _):
        [item] = client.get("/api/next?annotator=ann&tab=t&count=1").json()["items"]
        assert item["shown"] == [["pred", "angry"], ["score", ".9"], ["reason", "sure"], ["label", "angry"]]
        assert item["media"][0]["name"] == "r1.wav"


def test_a_row_of_nothing_and_a_very_long_text_say_so(tmp_path):
    (tmp_path / "q.csv").write_text(f"id,path,text\na,,\nb,,{'x' * 30_000}\nc,none.wav,<b>\n")
    with opened(tmp_path / "q.csv") as (client, _):
        nothing, long, missing = client.get("/api/next?annotator=ann&tab=t&count=3").json()["items"]
    assert "nothing to be seen or heard" in nothing["problem"] and nothing["text"] is None
    assert len(long["text"]) == 20_000 and "30,000" in long["problem"]
    assert missing["media"][0]["problem"] == "no such file" and missing["text"] == "<b>" and not missing["problem"]


def test_a_row_is_lent_to_one_tab_until_it_is_answered_or_time_has_passed(tmp_path):
    clock = Clock()
    with opened(write_texts(tmp_path, 6), clock=clock) as (client, _):
        assert asked(client, tab="one", count=2) == ["r1", "r2"]
        assert asked(client, tab="two", count=2) == ["r3", "r4"]
        assert asked(client, "bob", "three", 9) == ["r5", "r6"]
        assert asked(client, "bob", "four", 9) == []
        assert asked(client, tab="one", count=2, holding=[1, 2]) == []  # they have been renewed
        assert asked(client, tab="one", count=2) == ["r1", "r2"]  # loaded again
        assert asked(client, tab="one", count=2, holding=[2]) == ["r1"]
        told(client, answer("r3", label="angry"), tab="two")
        clock.now = 200
        assert asked(client, tab="one", count=9, holding=[1]) == ["r2"]
        clock.now = 400  # those of the others have passed
        assert asked(client, "bob", "four", 9) == ["r4", "r5", "r6"]
        assert asked(client, "bob", "five", 9) == []
        clock.now = 501
        assert asked(client, "bob", "five", 9) == ["r1", "r2"]


@pytest.mark.parametrize("holding", ["1,1,x,-3,0,99999999999999999999,7", ",,,", "1;2", "१"])
def test_rows_that_are_not_there_are_not_held(tmp_path, holding):
    with opened(write_texts(tmp_path, 3)) as (client, desk):
        rows = client.get("/api/next", params={"annotator": "a", "tab": "t", "count": 9, "holding": holding})
        assert rows.status_code == 200
        assert {row for row, _ in desk._leases} == {0, 1, 2}


def test_a_row_that_another_person_has_begun_comes_first_until_it_has_its_raters(tmp_path):
    with opened(write_texts(tmp_path, 5), raters=2) as (client, _):
        told(client, answer("r3", label="angry"), answer("r4"), answer("r5", label="happy"))
        assert asked(client, "bob", "b", 9) == ["r3", "r5", "r1", "r2", "r4"]  # a row that was skipped has no answer
        assert asked(client, "eve", "e", 9) == ["r1", "r2", "r4"]  # lent to bob, r3 and r5 lack nobody
        told(client, answer("r3", label="angry"), annotator="bob", tab="b")
        assert asked(client, "bob", "b", 9) == ["r5", "r1", "r2", "r4"]
        told(client, answer("r1", label="angry"), annotator="eve", tab="e")
        assert asked(client, "ann", "t", 9) == []  # r1 and r2 are with bob and eve
        progress = client.get("/api/progress?annotator=ann").json()
        assert (progress["answered"], progress["skipped"], progress["left"], progress["total"]) == (2, 1, 2, 5)


def test_two_people_and_two_tabs_at_once_share_a_queue_without_a_row_twice(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with opened(write_texts(tmp_path, 60)) as (client, desk):

        def work(who, tab):
            done = []
            while rows := asked(client, who, tab, 2):
                told(client, *(answer(row, label="happy", seconds=1) for row in rows), annotator=who, tab=tab)
                done += rows
            return done

        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(work, ["ann", "ann", "bob", "bob"], "1234"))
        assert sorted(row for part in parts for row in part) == sorted(desk.queue.ids)
    written = read_annotations(tmp_path / "labels.jsonl").given
    assert sorted(each.id for each in written) == sorted(desk.queue.ids)


# --- Answers


def test_an_answer_is_in_the_journal_once_however_often_it_is_sent(tmp_path):
    given = answer("r1", key="k", label="angry", comment="<i>\x1b[2J\n", seconds=1.5, at="2026-01-02T03:04:05.678Z")
    with opened(write_texts(tmp_path, 3)) as (client, _):
        for _ in range(3):
            assert told(client, given)["written"] == ["k"]
        other = told(client, {**given, "id": "r2"})
        assert other["refused"] == [{"key": "k", "why": "key 'k' is that of another answer already"}]
        assert other["progress"]["answered"] == 1 and other["progress"]["seconds_left"] == 3.0
    with opened(tmp_path / "queue.csv") as (client, _):  # started again
        assert told(client, given)["written"] == ["k"]
        assert asked(client) == ["r2"]
    [line] = (tmp_path / "labels.jsonl").read_text().splitlines()[1:]
    assert json.loads(line) == {
        "key": "k", "id": "r1", "annotator": "ann", "labels": {"label": "angry"}, "comment": "<i>\x1b[2J\n",
        "seconds": 1.5, "at": "2026-01-02T03:04:05.678+00:00", "tool": "label",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"id": "r9"}, "this queue has no row 'r9'"),
        ({"id": "../r1"}, "no row"),
        ({"labels": {"label": "sad"}}, "label 'sad' is not in angry, happy"),
        ({"labels": {"mood": "angry"}}, "there is no target 'mood'"),
        ({"labels": {"label": 1}}, "label '1' is not in"),
        ({"labels": {"label": None}}, "'label' is not"),
        ({"labels": ["angry"]}, "'labels' is not an object"),
        ({"key": ""}, "'key' is empty"),
        ({"key": "k" * 101}, "'key' has more than 100"),
        ({"key": 7}, "'key' is not text"),
        ({"comment": "c" * 4001}, "'comment' has more than 4,000"),
        ({"seconds": -1}, "'seconds' is negative"),
        ({"undo": "k", "labels": {}}, "no such answer of yours"),
        ({"undo": "other", "labels": {}}, "no such answer of yours"),
    ],
)
def test_an_answer_that_cannot_be_is_refused_alone_with_its_reason(tmp_path, change, why):
    with opened(write_texts(tmp_path, 3)) as (client, desk):
        told(client, answer("r1", key="other", label="angry"), annotator="bob")
        bad, good = {**answer("r2", key="bad", label="angry"), **change}, answer("r3", label="happy")
        found = told(client, bad, good)
        assert found["written"] == [good["key"]]
        [refused] = found["refused"]
        assert refused["key"] == bad["key"] and why in refused["why"]
        assert len(desk.journal.given) == 2


@pytest.mark.parametrize("at", ["", "yesterday", "\x1b[2J", 7, None, "2026-13-01", "0001-01-01T00:00:00+23:00"])
def test_a_browser_without_a_clock_is_given_the_time(tmp_path, at):
    with opened(write_texts(tmp_path, 1)) as (client, desk):
        told(client, answer("r1", label="angry", at=at))
        [written] = desk.journal.given.values()
    assert written.at[:2] == "20" and len(written.at) == 29


def test_an_answer_that_is_taken_back_is_asked_again_of_the_same_tab(tmp_path):
    with opened(write_texts(tmp_path, 2)) as (client, desk):
        assert asked(client) == ["r1"]
        told(client, answer("r1", key="a", label="angry"), answer("r2", key="b"))
        assert asked(client) == []
        for _ in range(2):
            found = told(client, answer("r1", key="u", undo="a"))
            assert found["written"] == ["u"]
            assert (found["progress"]["answered"], found["progress"]["left"]) == (0, 1)
        assert asked(client, "bob", "b", 9) == ["r2"]  # it is shown in the tab that took it back
        assert "no such answer" in told(client, answer("r2", undo="a"))["refused"][0]["why"]
        assert "no such answer" in told(client, answer("r1", undo="u"))["refused"][0]["why"]
        assert asked(client) == ["r1"]
        told(client, answer("r1", label="happy"))
        assert [each.labels for each in counting(list(desk.journal.given.values()))] == [{}, {"label": "happy"}]


def test_the_newest_answer_counts_and_after_an_undo_the_one_before(tmp_path):
    with opened(write_texts(tmp_path, 1), raters=2) as (client, desk):
        told(client, answer("r1", label="angry"), answer("r1", key="b", label="happy"))
        told(client, answer("r1", label="angry"), annotator="bob")
        assert desk._said["label"].tolist() == [[1], [0]]
        told(client, answer("r1", undo="b"))
        assert desk._said["label"].tolist() == [[0], [0]]
        assert client.get("/api/progress?annotator=ann").json()["answered"] == 1


WHAT = ["angry", "happy", "", "undo"]
OPERATION = st.tuples(st.sampled_from(["r1", "r2", "r3"]), st.sampled_from(["ann", "bob"]), st.sampled_from(WHAT))


@given(st.lists(OPERATION, max_size=25), st.integers(0, 25))
def test_what_the_desk_counts_is_what_readers_of_the_journal_count(operations, restart):
    from affectkit.artifacts.annotations import Annotation
    from affectkit.labeling.desk import Desk
    from affectkit.labeling.queue import Question

    target = Target("label", "class", ("angry", "happy"))
    queue, journal = FakeQueue(), FakeJournal()
    desk = Desk(queue, [Question(target)], journal, raters=2)
    for number, (row, who, what) in enumerate(operations):
        if number == restart:
            desk = Desk(queue, [Question(target)], journal, raters=2)
        earlier = [a.key for a in journal.given.values() if (a.id, a.annotator) == (row, who) and not a.undo]
        if what == "undo" and not earlier:
            continue
        undo = earlier[number % len(earlier)] if what == "undo" else ""
        labels = {"label": what} if what in target.classes else {}
        desk.take(Annotation(str(number), row, who, labels, undo=undo), "t")
    counted = {(a.id, a.annotator): a.labels.get("label", "") for a in counting(list(journal.given.values()))}
    for who in ("ann", "bob"):
        own = [label for (_, each), label in counted.items() if each == who]
        progress = desk.progress(who)
        assert (progress["answered"], progress["skipped"]) == (len(own) - own.count(""), own.count(""))
        full = [row for row in queue.ids if sum(bool(counted.get((row, each))) for each in ("ann", "bob")) == 2]
        open_to = [row for row in queue.ids if (row, who) not in counted and row not in full]
        assert progress["left"] == len(open_to)


class FakeQueue:
    ids = ("r1", "r2", "r3")
    places = {"r1": 0, "r2": 1, "r3": 2}  # noqa: RUF012

    def __len__(self):
        return 3


class FakeJournal:
    def __init__(self):
        self.given = {}

    def append(self, each):
        self.given[each.key] = each
        return True


# --- Agreement


def test_agreement_is_of_the_rows_that_two_have_answered(tmp_path):
    clock, rng = Clock(), np.random.default_rng(0)
    a, b, values = rng.integers(0, 2, 20), rng.integers(0, 2, 20), rng.normal(0, 0.3, (2, 20)).clip(-1, 1).round(2)
    scale = "valence=-1:1"
    with opened(write_texts(tmp_path, 25), scale=scale, raters=2, clock=clock) as (client, desk):
        classes = ("angry", "happy")
        for who, codes, numbers in (("ann", a, values[0]), ("bob", b, values[1])):
            rows = [answer(f"r{n + 1}", label=classes[codes[n]], valence=float(numbers[n])) for n in range(20)]
            told(client, *rows, annotator=who)
        told(client, answer("r21", label="angry"))  # alone
        told(client, answer("r22", valence=0.5), answer("r22", label="angry"), annotator="bob")
        clock.now += 10
        agreement = desk.agreement()
        alpha, kappa = krippendorff_alpha(np.stack([a, b]), "nominal"), cohen_kappa(a, b)
        assert [(e["target"], e["measure"], e["rows"], e["raters"]) for e in agreement] == [
            ("label", "alpha", 20, 2), ("label", "kappa", 20, 2), ("valence", "alpha", 20, 2)
        ]  # fmt: skip
        interval = krippendorff_alpha(values, "interval")
        assert [e["value"] for e in agreement] == pytest.approx([alpha, kappa, interval], abs=1e-12)
        told(client, answer("r1", label="angry"), annotator="eve")
        clock.now += 10
        assert [(e["measure"], e["raters"]) for e in desk.agreement()] == [("alpha", 3), ("alpha", 2)]


def test_agreement_is_reckoned_now_and_then_and_unknown_where_all_answers_are_alike(tmp_path, monkeypatch):
    from affectkit.labeling import desk as module

    clock, reckoned = Clock(), []
    monkeypatch.setattr(module, "krippendorff_alpha", lambda *a: reckoned.append(a) or krippendorff_alpha(*a))
    with opened(write_texts(tmp_path, 50), raters=2, clock=clock) as (client, desk):
        for n in range(1, 51):
            for who in ("ann", "bob"):
                told(client, answer(f"r{n}", label="angry"), annotator=who)
        assert len(reckoned) <= 1
        clock.now += 100
        assert [e["value"] for e in desk.agreement()] == [None, None]
        before = len(reckoned)
        clock.now += 100
        assert desk.agreement()[0]["rows"] == 50 and len(reckoned) == before  # nothing has changed


# --- A disk that takes no more


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_is_told_and_the_answers_are_taken_later(tmp_path, monkeypatch, caplog, number):
    answers, pwrite, left = [answer(f"r{n}", key=f"k{n}", label="angry") for n in (1, 2, 3)], os.pwrite, [1]

    def full(file, data, place):
        if not left:
            pwrite(file, data[: len(data) // 2], place)
            raise OSError(number, os.strerror(number))
        left.pop()
        return pwrite(file, data, place)

    with opened(write_texts(tmp_path, 3)) as (client, desk):
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", full)
            error = told(client, *answers, status=507)["error"]
            assert error["message"] == f"the answer cannot be written: {os.strerror(number).lower()}"
            assert list(desk.journal.given) == ["k1"]
            assert client.get("/api/progress?annotator=ann").json()["answered"] == 1
        assert told(client, *answers)["written"] == ["k1", "k2", "k3"]
    assert [each.key for each in read_annotations(tmp_path / "labels.jsonl").given] == ["k1", "k2", "k3"]


def test_a_journal_that_was_deleted_meanwhile_takes_no_answer(tmp_path):
    with opened(write_texts(tmp_path, 3)) as (client, _):
        (tmp_path / "labels.jsonl").unlink()
        assert "deleted or replaced" in told(client, answer("r1", label="angry"), status=507)["error"]["message"]


def test_answers_take_little_memory_and_a_long_queue_no_time(tmp_path):
    import time
    import tracemalloc

    from affectkit.artifacts.annotations import parse_annotation

    with opened(write_texts(tmp_path, 100_000), raters=2) as (_, desk):
        tracemalloc.start()
        seconds, before = [], 0
        for number in range(1200):
            if number == 200:
                before = tracemalloc.get_traced_memory()[0]
            began = time.perf_counter()
            [row] = desk.next("ann", "t", 1)
            seconds.append(time.perf_counter() - began)
            data = json.loads(
                json.dumps(answer(desk.queue.ids[row], label="angry", seconds=2.5, at="2026-01-02T03:04:05Z"))
            )
            desk.take(parse_annotation({**data, "annotator": "ann"}, desk.targets), "t")
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert grown / 1000 < 800  # bytes of an answer
        assert sorted(seconds)[600] < 0.02
