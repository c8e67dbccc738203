"""Interviews that carry a PHQ-8 score in words, voice and face, in the layout of DAIC-WOZ, with its known defects.

The interviewer asks about a diagnosis almost only of those who are depressed: her prompts tell the label outright, as
they do in the real corpus, where the participant's own words, voice and face tell it weakly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from affectkit.synthesis import twins
from affectkit.synthesis.conversations import FIRST, RATE, Participant, interview, lines_of, talker
from affectkit.synthesis.faces import draw_person
from affectkit.synthesis.interview_series import write_series

CONTRADICTED, SHIFTED, UNASKED, INCOMPLETE = "409", "321", "451", "319"
EARLY = (FIRST, CONTRADICTED, SHIFTED, UNASKED, INCOMPLETE)  # so that small twins have the defects of single sessions
LATE = ("318", "341", "362", "373", "444")  # long silences and interruptions, which short interviews do without


def write_interviews(
    root: Path,
    sessions: Sequence[str],
    *,
    size: int,
    speakers: int,
    seed: int,
    shifts: Mapping[str, float],
    items: Sequence[str],
    series: bool = True,
) -> None:
    """Write `size` turns of the participants of `speakers` interviews.

    sessions: the names that the corpus has. shifts: seconds by which a session's transcript is late. items: of the
    questionnaire. series: COVAREP, formants and CLNF beside sound and transcripts. Raises "usage" for more interviews
    than names, or than turns.
    """
    order = [*EARLY, *(name for name in sessions if name not in (*EARLY, *LATE)), *LATE]
    if not 1 <= speakers <= len(order):
        raise twins.usage(f"--speakers {speakers}: the corpus has {len(order)}", f"ask for 1 to {len(order)}")
    if size < speakers:
        raise twins.usage(f"--size {size}: fewer turns than the {speakers} interviews", "ask for a larger --size")
    twins.write_readme(root, "daic-woz", size=size, speakers=speakers, seed=seed, series=series)
    people = [_participant(name, place, items, seed) for place, name in enumerate(order[:speakers])]
    prompts: dict[str, np.ndarray] = {}  # the interviewer's are recordings, the same in every session
    for place, person in enumerate(people):
        turns = size // speakers + (place < size % speakers)
        _write_session(root, person, turns, seed, prompts, shifts.get(person.session, 0.0), series)
    excluded = root / "342_P" / "342_TRANSCRIPT.csv"
    twins.write_rows(excluded, ["start_time", "stop_time", "speaker", "value"], [], delimiter="\t")
    _write_tables(root, people, items)


def _participant(session: str, place: int, items: Sequence[str], seed: int) -> Participant:
    rng = twins.generator(seed, "participant", session)
    depressed = place % 3 == 1
    score = 10 + min(14, int(rng.gamma(2, 2.2))) if depressed else min(9, int(rng.gamma(1.5, 2.2)))
    score = 10 if session == CONTRADICTED else score
    points_of = np.bincount(rng.permutation(3 * len(items))[:score] // 3, minlength=len(items))
    sex = ("female", "male")[place % 2]
    return Participant(
        session=session,
        sex=sex,
        part=twins.part_of(place),
        score=score,
        items={name: int(number) for name, number in zip(items, points_of, strict=True)},
        voice=talker(sex, rng),
        face=draw_person(rng),
    )


def _write_tables(root: Path, people: Sequence[Participant], items: Sequence[str]) -> None:
    """The tables of the split; the test part has one without labels, and one with other names of columns."""
    header = ["Participant_ID", "PHQ8_Binary", "PHQ8_Score", "Gender", *(f"PHQ8_{item}" for item in items)]
    for part, name in (("train", "train"), ("val", "dev")):
        rows = [_labels(person) for person in sorted(people, key=lambda p: p.session) if person.part == part]
        twins.write_rows(root / f"{name}_split_Depression_AVEC2017.csv", header, rows)
    tested = [_labels(person)[:4] for person in sorted(people, key=lambda p: p.session) if person.part == "test"]
    twins.write_rows(root / "full_test_split.csv", ["Participant_ID", "PHQ_Binary", "PHQ_Score", "Gender"], tested)
    bare = [[session, gender] for session, _, _, gender in tested]
    twins.write_rows(root / "test_split_Depression_AVEC2017.csv", ["participant_ID", "Gender"], bare)


def _labels(person: Participant) -> list[object]:
    binary = person.depressed and person.session != CONTRADICTED
    answers: list[object] = list(person.items.values())
    if person.session == INCOMPLETE:
        answers[2] = ""
    return [person.session, int(binary), person.score, int(person.sex == "female"), *answers]


# --- What is said


def _write_session(
    root: Path,
    person: Participant,
    turns: int,
    seed: int,
    prompts: dict[str, np.ndarray],
    shift: float,
    series: bool,
) -> None:
    folder, name = root / f"{person.session}_P", person.session
    rng = twins.generator(seed, "interview", name)
    said, samples, scrubbed = interview(person, turns, rng, seed, prompts, lead=1.0 + shift)
    seconds = len(samples) / RATE
    twins.save_sound(folder / f"{name}_AUDIO.wav", samples, RATE)
    heard = [each for each in said if name != UNASKED or each.speaker != "Ellie"]
    if name == INCOMPLETE and turns > 1:  # its last turn lies behind the end of the recording
        heard[-1] = replace(heard[-1], start=heard[-1].start + seconds, stop=heard[-1].stop + seconds)
    lines = [line for each in heard for line in lines_of(each)]
    if name == FIRST:
        lines = [(0.1, 0.4, "Participant", "<synch>"), *lines, (seconds - 0.2, seconds - 0.4, "Participant", "mhm")]
    rows = [(f"{start - shift:.3f}", f"{stop - shift:.3f}", *rest) for start, stop, *rest in lines]
    header = ["start_time", "stop_time", "speaker", "value"]
    twins.write_rows(folder / f"{name}_TRANSCRIPT.csv", header, rows, delimiter="\t")
    if series:
        units = "csv" if name == CONTRADICTED else "txt"  # copies differ
        write_series(folder, person, said, seconds, scrubbed, twins.generator(seed, "series", name), units=units)
