"""The journal of labels: what is told to be written is there, whatever happens, and once."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

from affectkit.artifacts.annotations import Annotation, counting, open_journal, read_annotations
from affectkit.errors import AffectkitError
from affectkit.labels import Target

MOOD = Target("label", "class", ("angry", "happy"))
VALENCE = Target("valence", "number", scale=(-1.0, 1.0))


def answer(key, row="r1", who="ann", undo="", **labels):
    return Annotation(key, row, who, labels, undo=undo)


def write(path, *answers, targets=(MOOD, VALENCE)):
    with open_journal(path, targets) as journal:
        return [journal.append(each) for each in answers]


def test_what_is_written_is_read_and_more_is_added(tmp_path):
    path = tmp_path / "new" / "labels.jsonl"
    first, second = answer("a", label="angry", valence=-0.5), Annotation("b", "r2", "ann", comment="\x1b[31m\nred")
    assert write(path, first) == [True]
    assert write(path, first, second, targets=[MOOD]) == [False, True]
    found = read_annotations(path)
    assert found.given == [first, second] and found.targets == {"label": MOOD, "valence": VALENCE}
    assert found.given[1].skipped and len(path.read_bytes().splitlines()) == 3
    assert os.listdir(path.parent) == ["labels.jsonl"]


def test_the_newest_answer_counts_and_one_that_was_taken_back_does_not():
    given = [
        answer("a", label="angry"), answer("b", label="happy"), answer("c", who="bob", label="angry"),
        answer("d", undo="b"), answer("e", "r2", label="happy"), answer("f", "r2", undo="e"),
    ]  # fmt: skip
    assert [(each.key, each.annotator) for each in counting(given)] == [("a", "ann"), ("c", "bob")]


def test_a_key_is_of_one_answer(tmp_path):
    with open_journal(tmp_path / "l.jsonl", [MOOD]) as journal:
        journal.append(answer("a", label="angry"))
        with pytest.raises(ValueError, match="another answer"):
            journal.append(answer("a", label="happy"))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"key": "a", "id": "r", "annotator": "x", "labels": {"label": "sad"}}', "label 'sad' is not in angry, happy"),
        ('{"key": "a", "id": "r", "annotator": "x", "labels": {"mood": "sad"}}', "no target 'mood'"),
        ('{"key": "a", "id": "r", "annotator": "x", "labels": {"valence": 2}}', "no number from -1 to 1"),
        ('{"key": "a", "id": "r", "annotator": "x", "labels": {"valence": true}}', "not text"),
        ('{"key": "a", "id": "r", "annotator": "x", "labels": {"valence": "1"}}', "no number from"),
        ('{"key": "a", "id": "", "annotator": "x", "labels": {}}', "'id' is empty"),
        ('{"key": "a", "id": "r", "annotator": "x"}', "no 'labels'"),
        ('{"key": "a", "id": "r", "annotator": "x", "labels": {}, "comment": "%s"}' % ("c" * 4001), "4,000"),
        ('{"key": "a", "id": "r", "annotator": "x", "labels": {}, "seconds": -1}', "negative"),
        ('{"key": "a", "id": "r", "annotator": "x", "labels": {}, "seconds": NaN}', "NaN"),
        ('{"key": "a", "id": "r", "annotator": "x", "labels": {"valence": 0}, "undo": "b"}', "takes an answer back"),
        ('{"schema": 9, "targets": []}', "newer"),
        ('{"targets": [{"name": "label", "kind": "class", "classes": ["x"]}]}', "other classes"),
        ("[1]", "not an object"),
        ("{", "Expecting"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused_by_its_line(tmp_path, line, what):
    path = tmp_path / "labels.jsonl"
    write(path)
    with open(path, "a") as file:
        file.write(line + "\n")
    with pytest.raises(AffectkitError, match=what) as refused:
        read_annotations(path)
    assert (str(refused.value.file), refused.value.row) == (str(path), 2)


def test_other_classes_and_a_second_writer_are_refused(tmp_path):
    path = tmp_path / "labels.jsonl"
    write(path, answer("a", label="angry"))
    with (
        pytest.raises(AffectkitError, match="labels of label with angry, happy"),
        open_journal(path, [Target("label", "class", ("calm",))]),
    ):
        pass
    with open_journal(path, [MOOD]), pytest.raises(AffectkitError) as refused, open_journal(path, [MOOD]):
        pass
    assert refused.value.code == "busy"


def test_a_line_that_was_never_ended_is_left_out_and_written_over(tmp_path):
    path = tmp_path / "labels.jsonl"
    write(path, answer("a", label="angry"))
    with open(path, "ab") as file:
        file.write(b'{"key": "b", "id": "r2", "ann')
    assert [each.key for each in read_annotations(path).given] == ["a"]
    write(path, answer("c", label="happy"))
    assert [each.key for each in read_annotations(path).given] == ["a", "c"]


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path):
    path = tmp_path / "labels.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_journal(path, [MOOD]) as journal:
        journal.append(answer("a", label="angry"))
        size = path.stat().st_size
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
            with pytest.raises(OSError):
                journal.append(answer("b", label="happy"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.stat().st_size == size
        assert journal.append(answer("b", label="happy"))
    assert [each.key for each in read_annotations(path).given] == ["a", "b"]


def test_answers_of_several_threads_stand_on_lines_of_their_own(tmp_path):
    path = tmp_path / "labels.jsonl"
    with open_journal(path, [MOOD]) as journal:

        def give(who):
            for number in range(50):
                journal.append(answer(f"{who}{number}", f"r{number}", who, label="angry"))
                journal.append(answer(f"{who}{number}", f"r{number}", who, label="angry"))

        threads = [threading.Thread(target=give, args=(who,)) for who in "abcd"]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    assert len(read_annotations(path).given) == 200 == len(path.read_text().splitlines()) - 1


WRITER = """
import sys
from affectkit.artifacts.annotations import Annotation, open_journal
from affectkit.labels import Target
with open_journal(sys.argv[1], [Target("label", "class", ("angry", "happy"))]) as journal:
    print("ready", flush=True)
    for number in range(int(sys.argv[2]), 10**6):
        journal.append(Annotation(f"k{number}", f"r{number}", "ann", {"label": "angry"}, comment="x" * 300))
        print(number, flush=True)
"""


def test_a_writer_that_is_killed_loses_nothing_that_it_told(tmp_path):
    path, told = tmp_path / "labels.jsonl", []
    for _ in range(3):
        start = told[-1] + 1 if told else 0
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(start)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout.read().split("\n")[:-1]]
        process.wait()
        rows = [int(each.id[1:]) for each in read_annotations(path).given]
        assert rows == list(range(len(rows))) and len(rows) - len(told) in (0, 1)
        told = rows
    assert len(told) > 3
    assert all(json.loads(line) for line in path.read_text().split("\n")[:-1])
