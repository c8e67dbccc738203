"""Queues in the formats of other tools, and what people answered in them."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pandas as pd
import pytest

from affectkit.artifacts.annotations import Annotation, open_journal
from affectkit.artifacts.exchange import read_labels, row_ids_of, write_queue
from affectkit.errors import AffectkitError
from affectkit.labels import Target

MOOD = Target("label", "class", ("angry", 'ha"ppy <b> & co', "sad"))
VALENCE = Target("valence", "number", scale=(-1.0, 1.0))
STRESS = Target("stress", "number", scale=(1.0, 5.0))
TARGETS = [MOOD, VALENCE, STRESS]


@pytest.fixture
def queue():
    """Three rows of recordings, with texts; two are stretches of one."""
    return pd.DataFrame({
        "id": ["r1", "r 2/ä", "r3"],
        "strategy": ["margin", "margin", "random"],
        "score": [0.9, 0.8, 0.1],
        "reason": ["between two: angry 0.5", "", "at random"],
        "path": ["/corpus/wav/a.wav", "/corpus/wav/a.wav", "/corpus/wav/ö b&c.wav"],
        "path_landmarks": ["/corpus/x.csv", "", ""],
        "text": ["<script>hello</script>", "", "none"],
        "start_sec": [1.0, 2.5, float("nan")],
        "end_sec": [2.5, 4.0, float("nan")],
        "pred": ["angry", MOOD.classes[1], "sad"],
        "prob_angry": [0.5, 0.1, 0.2],
        f"prob_{MOOD.classes[1]}": [0.3, 0.8, 0.2],
        "prob_sad": [0.2, 0.1, 0.6],
        "valence_pred": [0.25, -0.5, float("nan")],
        "stress_pred": [3.2, 4.6, 1.0],
    })  # fmt: skip


def written(tmp_path, queue, form, targets=TARGETS, **how):
    path = tmp_path / {"label-studio": "queue.json", "prodigy": "queue.jsonl"}[form]
    lines = write_queue(path, form, queue, targets, **how)
    text = path.read_text()
    return (json.loads(text) if form == "label-studio" else [json.loads(line) for line in text.splitlines()]), lines


# --- Label Studio


def exported(tasks, answers):
    """What Label Studio's export says of tasks, each answered by some (person, control -> value, comment)."""
    export = []
    for number, (task, given) in enumerate(zip(tasks, answers, strict=True), start=1):
        annotations = []
        for place, (person, labels, comment) in enumerate(given, start=1):
            kinds = {"label": "choices", "valence": "number", "stress": "rating"}
            result = [
                {"from_name": name, "to_name": "audio", "type": kinds[name],
                 "value": {kinds[name]: [value] if name == "label" else value}}
                for name, value in (labels or {}).items()
            ]  # fmt: skip
            region = {"from_name": "region", "type": "labels", "value": {"start": 1.0, "labels": ["segment"]}}
            note = {"from_name": "comment", "type": "textarea", "value": {"text": [comment]}}
            annotations.append({
                "id": 10 * number + place, "completed_by": person, "result": [region, *result, *[note] * bool(comment)],
                "was_cancelled": labels is None, "lead_time": 2.5, "unique_id": f"u{number}-{place}",
                "created_at": f"2026-03-0{number}T10:00:0{place}.000000Z", "draft_created_at": None, "prediction": {},
            })  # fmt: skip
        export.append({"id": number, "data": task["data"], "meta": task.get("meta", {}), "annotations": annotations})
    return export


def minimal(export):
    """The same as JSON_MIN has it: a record for each answer, without those who skipped."""
    records = []
    for task in export:
        for each in (each for each in task["annotations"] if not each["was_cancelled"]):
            record = {**task["data"], "id": task["id"]}
            for result in each["result"]:
                value = result["value"].get("choices") or result["value"].get("text")
                record[result["from_name"]] = value[0] if value else [result["value"]]
            who = each["completed_by"]["id"] if isinstance(each["completed_by"], dict) else each["completed_by"]
            same = {name: each[name] for name in ("created_at", "lead_time")}
            records.append({**record, "annotator": who, "annotation_id": each["id"], **same})
    return records


ANN, BOB = {"id": 1, "email": "ann@example.org", "first_name": ""}, 2
GIVEN = [
    [(ANN, {"label": "angry", "valence": -0.5, "stress": 3}, "two\nlines"), (BOB, {"label": MOOD.classes[1]}, "")],
    [(BOB, None, "cannot hear it")],
    [(ANN, {"valence": 1}, "")],
]


def test_label_studio_gives_back_what_was_answered(tmp_path, queue):
    tasks, _ = written(tmp_path, queue, "label-studio", shown=True)
    path = tmp_path / "export.json"
    path.write_text(json.dumps(exported(tasks, GIVEN)))
    found = read_labels(path, TARGETS)
    assert found.targets == {target.name: target for target in TARGETS}
    at = "2026-03-0{}T10:00:0{}.000+00:00"
    same = {"seconds": 2.5, "tool": "label-studio"}
    assert found.given == [
        Annotation("u1-1", "r1", "ann@example.org", {"label": "angry", "valence": -0.5, "stress": 3}, "two\nlines",
                   at=at.format(1, 1), **same),
        Annotation("u1-2", "r1", "2", {"label": MOOD.classes[1]}, at=at.format(1, 2), **same),
        Annotation("u2-1", "r 2/ä", "2", {}, "cannot hear it", at=at.format(2, 1), **same),
        Annotation("u3-1", "r3", "ann@example.org", {"valence": 1}, at=at.format(3, 1), **same),
    ]  # fmt: skip
    with open_journal(tmp_path / "labels.jsonl", list(found.targets.values())) as journal:
        assert all(journal.append(each) for each in found.given)
    assert read_labels(tmp_path / "labels.jsonl").given == found.given


def test_its_short_export_says_the_same_of_what_was_not_skipped(tmp_path, queue):
    tasks, _ = written(tmp_path, queue, "label-studio")
    full, short = tmp_path / "full.json", tmp_path / "short.json"
    full.write_text(json.dumps(exported(tasks, GIVEN)))
    short.write_text("\ufeff" + json.dumps(minimal(exported(tasks, GIVEN)), indent=2))
    told = {(each.id, tuple(each.labels.items()), each.comment) for each in read_labels(full).given if not each.skipped}
    found = read_labels(short, TARGETS).given
    assert {(each.id, tuple(each.labels.items()), each.comment) for each in found} == told
    assert [each.annotator for each in found] == ["1", "2", "1"] and found[0].key == "label-studio-11"


def test_controls_that_nobody_knew_are_targets_of_their_own(tmp_path, queue):
    tasks, _ = written(tmp_path, queue, "label-studio")
    path = tmp_path / "export.json"
    path.write_text(json.dumps(exported(tasks, GIVEN)))
    found = read_labels(path, [VALENCE])
    assert found.targets["label"] == Target("label", "class", ("angry", MOOD.classes[1]))
    assert found.targets["stress"] == Target("stress", "number") and found.targets["valence"] == VALENCE


def test_of_one_person_the_newest_answer_counts_in_whatever_order_it_was_exported(tmp_path, queue):
    tasks, _ = written(tmp_path, queue, "label-studio")
    export = exported(tasks, [[(BOB, None, ""), (BOB, {"label": "sad"}, "")], [], []])
    export[0]["annotations"].reverse()
    (tmp_path / "export.json").write_text(json.dumps(export))
    [counts] = read_labels(tmp_path / "export.json", TARGETS).counting()
    assert counts.labels == {"label": "sad"}


def test_its_configuration_asks_for_the_targets_of_the_right_media(tmp_path, queue):
    tasks, lines = written(tmp_path, queue, "label-studio")
    view = ElementTree.parse(tmp_path / "queue.xml").getroot()
    controls = {tag.get("name"): tag for tag in view if tag.get("name")}
    assert list(controls) == ["audio", "region", "text", "label", "valence", "stress", "comment"]
    assert (controls["audio"].tag, controls["audio"].get("value")) == ("Audio", "$audio")
    assert [choice.get("value") for choice in controls["label"]] == list(MOOD.classes)
    assert [choice.get("hotkey") for choice in controls["label"]] == ["1", "2", "3"]
    assert {tag.get("toName") for name, tag in controls.items() if name not in ("audio", "text")} == {"audio"}
    slider = controls["valence"]
    told = [slider.get(name) for name in ("min", "max", "step", "slider")]
    assert (slider.tag, told) == ("Number", ["-1", "1", "0.02", "true"])
    assert (controls["stress"].tag, controls["stress"].get("maxRating")) == ("Rating", "5")
    named = {tag.get("value")[1:] for tag in view if (tag.get("value") or "").startswith("$")}
    assert named and all(named <= set(task["data"]) for task in tasks), "each task has all that the view shows"
    assert str(tmp_path / "queue.xml") in lines[0]


def test_its_files_are_those_below_the_document_root(tmp_path, queue):
    tasks, [_, line] = written(tmp_path, queue, "label-studio")
    for task, path in zip(tasks, queue["path"], strict=True):
        address = urlsplit(task["data"]["audio"])
        assert address.path == "/data/local-files/" and "/corpus/" + parse_qs(address.query)["d"][0] == path
    assert "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/corpus," in line and line.endswith("at /corpus/wav")
    tasks, [_, line] = written(tmp_path, queue, "label-studio", document_root=tmp_path.parents[-1])
    assert tasks[0]["data"]["audio"].endswith("?d=corpus/wav/a.wav") and "DOCUMENT_ROOT=/," in line
    with pytest.raises(AffectkitError, match=r"a\.wav: does not lie below"):
        written(tmp_path, queue, "label-studio", document_root=tmp_path)
    with pytest.raises(AffectkitError, match="files lie in /corpus/wav itself"):
        written(tmp_path, queue, "label-studio", document_root=Path("/corpus/wav"))
    told, lines = written(tmp_path, queue.assign(path=["a.wav", "https://x.org/b.wav", "s3://c/d.wav"]), "label-studio")
    assert [task["data"]["audio"] for task in told][1:] == ["https://x.org/b.wav", "s3://c/d.wav"] and len(lines) == 1


def test_what_a_model_says_is_told_only_where_it_is_asked_for(tmp_path, queue):
    shown, _ = written(tmp_path, queue, "label-studio", shown=True, model_version="runs/x")
    first = shown[0]["predictions"][0]
    assert (first["model_version"], first["score"]) == ("runs/x", 0.5)
    said = {each["from_name"]: each["value"] for each in first["result"]}
    assert said["region"] == {"start": 1.0, "end": 2.5, "channel": 0, "labels": ["segment"]}
    assert (said["label"], said["valence"], said["stress"]) == (
        {"choices": ["angry"]}, {"number": 0.24}, {"rating": 3}
    )  # fmt: skip
    assert shown[0]["meta"] == {"strategy": "margin", "score": 0.9, "reason": "between two: angry 0.5"}
    assert [each["from_name"] for each in shown[2]["predictions"][0]["result"]] == ["label", "stress"]
    blind, _ = written(tmp_path, queue, "label-studio")
    text = json.dumps(blind)
    assert "between two" not in text and "score" not in text and "meta" not in text and "choices" not in text
    assert [[each["from_name"] for each in task["predictions"][0]["result"]] for task in blind[:2]] == [["region"]] * 2
    assert "predictions" not in blind[2], "a row that is all of its file has no segment"
    assert [task["data"]["segment"] for task in blind] == ["from 1.000 s to 2.500 s", "from 2.500 s to 4.000 s", ""]


@pytest.mark.parametrize(("said", "number"), [(0.123, 0.12), (-3.0, -1.0), (0.999, 1.0), (0.29, 0.28), (7.0, 1.0)])
def test_numbers_are_filled_in_on_the_steps_of_their_slider(tmp_path, queue, said, number):
    """Label Studio submits no other: "the two nearest valid values are 0.24 and 0.26"."""
    tasks, _ = written(tmp_path, queue.assign(valence_pred=said), "label-studio", [VALENCE], shown=True)
    results = tasks[2]["predictions"][0]["result"]
    assert [each["value"] for each in results] == [{"number": number}]


def test_texts_and_pictures_are_shown_as_what_they_are(tmp_path):
    rows = pd.DataFrame({"id": ["a", "b"], "text": ["one", "two"], "pred": "", "score": 1.0})
    tasks, lines = written(tmp_path, rows, "label-studio", [MOOD])
    view = ElementTree.parse(tmp_path / "queue.xml").getroot()
    assert [tag.tag for tag in view] == ["Text", "Header", "Choices", "TextArea"] and len(lines) == 1
    assert [task["data"] for task in tasks] == [{"row_id": "a", "text": "one"}, {"row_id": "b", "text": "two"}]
    assert view.find("Choices").get("toName") == "text"
    (tmp_path / "queue.json").unlink()
    pictures = pd.DataFrame(
        {"id": ["a"], "path": ["/x/y/a.PNG"], "path_face": ["/x/y/f.jpg"], "path_csv": ["/x/s.csv"]}
    )
    tasks, _ = written(tmp_path, pictures, "label-studio", [Target("age", "number")])
    view = ElementTree.parse(tmp_path / "queue.xml").getroot()
    assert [(tag.tag, tag.get("name")) for tag in view] == [
        ("Image", "image"), ("Image", "path_face"), ("Header", None), ("Number", "age"), ("TextArea", "comment")
    ]  # fmt: skip
    assert view.find("Number").attrib == {"name": "age", "toName": "image"}
    assert set(tasks[0]["data"]) == {"row_id", "image", "path_face"}


@pytest.mark.parametrize("form", ["label-studio", "prodigy"])
@pytest.mark.parametrize(
    ("cells", "targets", "message"),
    [
        ({"path": ["/x/a.wav", "/x/b.png", "/x/c.wav"]}, TARGETS, "path of id 'r 2/ä', /x/b.png, is no audio as that"),
        ({"path": ["/x/a.wav", "", "/x/c.wav"]}, TARGETS, "id 'r 2/ä' has no path, and others have"),
        ({"path": ["/x/a.npy", "/x/b.npy", ""], "text": ""}, TARGETS, "id 'r1' has nothing to be seen or heard"),
    ],
)
def test_rows_that_nobody_can_see_are_named(tmp_path, queue, form, cells, targets, message):
    with pytest.raises(AffectkitError, match=message) as refused:
        written(tmp_path, queue.assign(**cells), form, targets)
    assert refused.value.code == "input" and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("form", "target", "message"),
    [
        ("label-studio", Target("text", "class", ("a", "b")), "a target cannot be called 'text' in Label Studio"),
        ("label-studio", Target("label", "class", ("a\x01", "b")), "characters that no XML can hold"),
        ("prodigy", Target("age", "number"), "'age' has no scale, of which steps could be chosen"),
    ],
)
def test_targets_that_a_tool_cannot_ask_for_are_named(tmp_path, queue, form, target, message):
    with pytest.raises(AffectkitError, match=message):
        written(tmp_path, queue, form, [target])
    assert not list(tmp_path.iterdir())


def test_classes_survive_the_xml_of_its_configuration(tmp_path, queue):
    odd = Target("label", "class", ("a\nb", "tab\there", "'\"<&>", "\u202eevil", " spaced "))
    written(tmp_path, queue, "label-studio", [odd])
    view = ElementTree.parse(tmp_path / "queue.xml").getroot()
    assert tuple(choice.get("value") for choice in view.find("Choices")) == odd.classes


# --- Prodigy


def answered(task, answer="accept", accept=(), who="ds-ann", at=1767225600):
    told = {"_input_hash": 1, "_task_hash": hash(task["meta"]["id"]) % 1000, "_is_binary": False, "_view_id": "choice"}
    session = {"_annotator_id": who, "_session_id": who, "_timestamp": at}
    return {**task, **told, "accept": list(accept), "answer": answer, **session}


def jsonl(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_prodigy_gives_back_what_was_answered(tmp_path, queue):
    tasks, _ = written(tmp_path, queue, "prodigy")
    assert [task["audio"] for task in tasks] == list(queue["path"]) and tasks[0]["text"] == queue["text"][0]
    assert tasks[0]["meta"] == {"id": "r1", "start_sec": 1.0, "end_sec": 2.5} and "accept" not in tasks[0]
    options = [option["id"] for option in tasks[0]["options"]]
    assert options[:3] == [f"label={name}" for name in MOOD.classes]
    assert options[3:] == [f"valence={step / 4 - 1:g}" for step in range(9)] + [f"stress={n}" for n in range(1, 6)]
    path = jsonl(tmp_path / "out.jsonl", [
        answered(tasks[0], accept=["label=angry", "valence=-0.25", "stress=4"]),
        answered(tasks[0], accept=[f"label={MOOD.classes[1]}"], who="ds-bob", at=1767225601),
        answered(tasks[1], "ignore", at=1767225602), answered(tasks[2], "reject", ["label=sad"], at=1767225603),
    ])  # fmt: skip
    found = read_labels(path, TARGETS)
    assert [(each.id, each.annotator, each.labels) for each in found.given] == [
        ("r1", "ds-ann", {"label": "angry", "valence": -0.25, "stress": 4}),
        ("r1", "ds-bob", {"label": MOOD.classes[1]}), ("r 2/ä", "ds-ann", {}), ("r3", "ds-ann", {}),
    ]  # fmt: skip
    assert found.given[0].at == "2026-01-01T00:00:00.000+00:00" and found.given[0].tool == "prodigy"
    assert found.targets == {target.name: target for target in TARGETS}
    again = read_labels(path, TARGETS).given
    assert [each.key for each in again] == [each.key for each in found.given] and len({e.key for e in again}) == 4
    with open_journal(tmp_path / "labels.jsonl", TARGETS) as journal:
        assert all(journal.append(each) for each in found.given)


def test_of_one_target_prodigy_has_its_values_as_they_are(tmp_path, queue):
    tasks, _ = written(tmp_path, queue, "prodigy", [MOOD], shown=True)
    assert [option["id"] for option in tasks[0]["options"]] == list(MOOD.classes) and "config" not in tasks[0]
    assert [task["accept"] for task in tasks] == [["angry"], [MOOD.classes[1]], ["sad"]]
    assert tasks[0]["meta"]["reason"] == "between two: angry 0.5"
    path = jsonl(tmp_path / "out.jsonl", [answered(task, accept=task["accept"]) for task in tasks])
    for targets in (TARGETS, [MOOD], []):  # without any, it is a label with the options as its classes
        found = read_labels(path, targets)
        assert [each.labels["label"] for each in found.given] == list(queue["pred"])
        assert found.targets == {"label": MOOD}
    steps, _ = written(tmp_path, queue, "prodigy", [STRESS], shown=True)
    assert [task["accept"] for task in steps] == [["3"], ["5"], ["1"]]
    path = jsonl(tmp_path / "out.jsonl", [answered(steps[0], accept=[2])])  # a number, as its recipes may write it
    assert read_labels(path, [STRESS, MOOD]).given[0].labels == {"stress": 2}


def test_a_class_that_prodigy_proposed_is_accepted_or_not(tmp_path):
    lines = [{"text": "x", "meta": {"id": name}, "label": "sad", "answer": answer, "_session_id": None}
             for name, answer in (("a", "accept"), ("b", "reject"))]  # fmt: skip
    found = read_labels(jsonl(tmp_path / "out.jsonl", lines), [MOOD]).given
    assert [(each.id, each.annotator, dict(each.labels)) for each in found] == [
        ("a", "prodigy", {"label": "sad"}), ("b", "prodigy", {})
    ]  # fmt: skip


# --- Files that are none of them, or damaged


TASK = {"id": 1, "data": {"row_id": "r1"}, "annotations": []}
ANSWER = {"id": 5, "completed_by": 1, "was_cancelled": False, "lead_time": 1.0, "unique_id": "u", "created_at": "x"}


def choice(*names, control="label"):
    return {"from_name": control, "type": "choices", "value": {"choices": list(names)}}


def studio(*results, **changed):
    return [{**TASK, "annotations": [{**ANSWER, "result": list(results), **changed}]}]


def prodigal(**changed):
    return [{"meta": {"id": "r1"}, "answer": "accept", "accept": ["sad"], "_annotator_id": "a", **changed}]


BROKEN = {
    "an unknown class": (studio(choice("joy")), "task 1: label 'joy' is not in angry"),
    "two choices": (studio(choice("sad", "angry")), "task 1: label has several answers, sad, angry"),
    "two answers": (studio(choice("sad"), choice("angry")), "task 1: label has several answers, sad, angry"),
    "beyond the scale": (
        studio({"from_name": "valence", "type": "number", "value": {"number": 2}}), "valence '2' is no number from"
    ),
    "no number": (
        studio({"from_name": "valence", "type": "number", "value": {"number": "a"}}), "task 1: valence 'a' is no number"
    ),
    "a list for a class": (studio(choice(["sad"])), "task 1: 'label' is not text"),
    "a result that is none": (studio("x"), "task 1: 'annotations'.*is not an object|task 1: 'result'"),
    "time that ran backwards": (studio(choice("sad"), lead_time=-1), "task 1: 'seconds' is negative"),
    "no row": ([{"data": {"x": 1}, "annotations": [ANSWER]}], "task 1: nothing says which row"),
    "no row in the short form": ([{"annotation_id": 3, "id": 4, "label": "sad"}], "task 1: nothing says which row"),
    "two of one key": (
        [*studio(choice("sad")), {**studio(choice("sad"))[0], "data": {"row_id": "r2"}}], "task 2: key 'u' is that of"
    ),
    "a task that is none": ([TASK, 7], "task 2: the task is not an object"),
    "nothing answered": ([TASK, TASK], "holds nothing that somebody answered; export it again"),
    "no task at all": ([], "holds nothing that somebody answered"),
    "other JSON": ([{"a": 1}], "holds no labels of a tool that is known; name labels.jsonl"),
    "prodigy: an unknown class": (prodigal(accept=["joy"]), "line 1: .*'joy' was accepted"),
    "prodigy: two classes": (prodigal(accept=["sad", "angry"]), "line 1: label has several answers"),
    "prodigy: no number": (prodigal(accept=["valence=a"]), "line 1: 'a' was accepted, and valence is a number"),
    "prodigy: an unknown answer": (prodigal(answer="maybe"), "line 1: answer 'maybe' is not in accept, reject, ignore"),
    "prodigy: no row": (prodigal(meta={}), "line 1: nothing says which row it is"),
    "prodigy: only tasks": ([{"meta": {"id": "r1"}, "options": [{"id": "sad"}]}], "holds nothing that somebody"),
    "prodigy: a line of another kind": ([*prodigal(), [1]], "line 2: the task is not an object"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_answer_is_refused_by_its_place(tmp_path, what):
    data, message = BROKEN[what]
    path = tmp_path / "answers"
    if what.startswith("prodigy"):
        jsonl(path, data)
    else:
        path.write_text(json.dumps(data))
    with pytest.raises(AffectkitError, match=message) as refused:
        read_labels(path, TARGETS)
    assert refused.value.code == "input" and refused.value.file == str(path) and refused.value.remedy


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,label\nr1,sad\n", "holds no labels of a tool"),
        (b'[{"data": {', "is no JSON"), (b"[" * 5000, "is no JSON: nested"), (b'{"meta": 1}\n{', "line 2"),
        (b"{\n", "holds no labels of a tool"),
        (b"\xff\xfe[\x00", "is not UTF-8"), (b'[{"data": {"row_id": "\xff"}}]', "is not UTF-8"),
        (b"{\n  \"id\": 1\n}", "holds no labels of a tool"),
        (b'[{"data": {"row_id": NaN}}]', "is no JSON: NaN"),
    ],
)  # fmt: skip
def test_other_files_are_one_line(tmp_path, content, message):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    for read in (read_labels, row_ids_of):
        with pytest.raises(AffectkitError, match=message):
            read(path)
    for read in (read_labels, row_ids_of):
        with pytest.raises(AffectkitError, match="no such labels"):
            read(tmp_path / "none.json")
        with pytest.raises(AffectkitError, match="is a folder"):
            read(tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"schema": 1, "targ'])
def test_a_journal_that_has_hardly_begun_holds_no_answers(tmp_path, content):
    (tmp_path / "labels.jsonl").write_bytes(content)
    assert read_labels(tmp_path / "labels.jsonl").given == [] == row_ids_of(tmp_path / "labels.jsonl")


def test_rows_of_queues_and_labels_are_known_in_every_format(tmp_path, queue):
    tasks, _ = written(tmp_path, queue, "label-studio")
    written(tmp_path, queue, "prodigy")
    (tmp_path / "export.json").write_text(json.dumps(exported(tasks, GIVEN)))
    with open_journal(tmp_path / "labels.jsonl", [MOOD]) as journal:
        for key, row, undo in (("a", "r1", ""), ("b", "r3", ""), ("c", "r3", "b")):
            journal.append(Annotation(key, row, "ann", {} if undo else {"label": "sad"}, undo=undo))
    assert row_ids_of(tmp_path / "labels.jsonl") == ["r1"]
    for name in ("queue.json", "queue.jsonl", "export.json"):
        assert row_ids_of(tmp_path / name) == list(queue["id"])
