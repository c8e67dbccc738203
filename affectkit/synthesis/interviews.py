"""Interviews that carry a PHQ-8 score in words, voice and face, in the layout of DAIC-WOZ, with its known defects.

The interviewer asks about a diagnosis almost only of those who are depressed: her prompts tell the label outright, as
they do in the real corpus, where the participant's own words, voice and face tell it weakly.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from affectkit.synthesis import texts, twins
from affectkit.synthesis.faces import Person, draw_person, points
from affectkit.synthesis.voices import Voice, draw_voice, speak

RATE = 16000
GAP = 0.25  # seconds of silence between turns
FIRST = ("300", "409", "321", "451", "319")  # so that small twins have the defects that are a session's own
LAST = ("318", "341", "362", "373", "444")  # long silences and interruptions, which short interviews do without
CONTRADICTED, SHIFTED, UNASKED, INCOMPLETE = FIRST[1:]
# what a session adds to severity, in its standard deviations, as words, voice, COVAREP and the face show it
WORDS_NOISE, VOICE_NOISE, COVAREP_NOISE, FACE_NOISE = 0.5, 1.0, 1.2, 1.2
ASKED = (0.04, 0.95)  # how likely the interviewer is to ask about a diagnosis, of those without and with depression
OPENING = ("how_doingV", "so how are you doing today")
PROMPTS = (
    ("where_originally", "where are you from originally"), ("why_la", "why did you move to l_a"),
    ("easy_sleep", "how easy is it to sleep well"), ("dream_job", "what is your dream job"),
    ("travel_trips", "do you travel a lot"), ("family_relationship", "how close are you to them"),
    ("proud_of", "what are you most proud of"), ("advice_back", "what advice would you give yourself"),
    ("argued_someone", "when did you last argue"), ("what_fun", "what do you do for fun"),
)  # fmt: skip
TELLING = (
    ("diagnosed_ago", "how long ago were you diagnosed"), ("therapy_still", "do you still go to therapy"),
    ("symptoms_first", "what were your symptoms"), ("therapy_useful", "is therapy useful to you"),
)  # fmt: skip
ACTION_UNITS = (
    "AU01_r", "AU02_r", "AU04_r", "AU05_r", "AU06_r", "AU09_r", "AU10_r", "AU12_r", "AU14_r", "AU15_r", "AU17_r",
    "AU20_r", "AU25_r", "AU26_r", "AU04_c", "AU12_c", "AU15_c", "AU23_c", "AU28_c", "AU45_c",
)  # fmt: skip
FROWNS = {"AU04_r": 0.35, "AU15_r": 0.3, "AU17_r": 0.15, "AU06_r": -0.3, "AU12_r": -0.4}  # per deviation of severity


@dataclass(frozen=True)
class Participant:
    """score: PHQ-8. items: its parts, by name. part: of the split. severity: the score in standard deviations."""

    session: str
    sex: str
    part: str
    score: int
    items: dict[str, int]
    voice: Voice
    face: Person

    @property
    def severity(self) -> float:
        return (self.score - 7.0) / 6.0

    @property
    def depressed(self) -> bool:
        return self.score >= 10


@dataclass(frozen=True)
class Said:
    """A part of the recording in which somebody speaks. start, stop: its seconds. text: as the transcript has it."""

    speaker: str
    start: float
    stop: float
    text: str


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
    order = [*FIRST, *(name for name in sessions if name not in (*FIRST, *LAST)), *LAST]
    if not 1 <= speakers <= len(order):
        raise twins.usage(f"--speakers {speakers}: the corpus has {len(order)}", f"ask for 1 to {len(order)}")
    if size < speakers:
        raise twins.usage(f"--size {size}: fewer turns than the {speakers} interviews", "ask for a larger --size")
    more = {} if series else {"no-series": ""}
    twins.write_readme(root, "daic-woz", size=size, speakers=speakers, seed=seed, **more)
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
        voice=_talker(sex, rng),
        face=draw_person(rng),
    )


def _talker(sex: str, rng: np.random.Generator) -> Voice:
    """A voice that is quick: interviews stay short, and their series small."""
    voice = draw_voice(sex, rng)
    return replace(voice, pace=1.35 * voice.pace)


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
    said, samples, scrubbed = _interview(person, turns, rng, seed, prompts, lead=1.0 + shift)
    seconds = len(samples) / RATE
    _write_sound(folder / f"{name}_AUDIO.wav", samples)
    heard = [each for each in said if name != UNASKED or each.speaker != "Ellie"]
    if name == INCOMPLETE and turns > 1:  # its last turn lies behind the end of the recording
        heard[-1] = replace(heard[-1], start=heard[-1].start + seconds, stop=heard[-1].stop + seconds)
    lines = [line for each in heard for line in _lines(each)]
    if name == FIRST[0]:
        lines = [(0.1, 0.4, "Participant", "<synch>"), *lines, (seconds - 0.2, seconds - 0.4, "Participant", "mhm")]
    rows = [(f"{start - shift:.3f}", f"{stop - shift:.3f}", *rest) for start, stop, *rest in lines]
    header = ["start_time", "stop_time", "speaker", "value"]
    twins.write_rows(folder / f"{name}_TRANSCRIPT.csv", header, rows, delimiter="\t")
    if series:
        _write_series(folder, person, said, seconds, scrubbed, twins.generator(seed, "series", name))


def _interview(
    person: Participant, turns: int, rng: np.random.Generator, seed: int, prompts: dict[str, np.ndarray], lead: float
) -> tuple[list[Said], np.ndarray, tuple[float, float] | None]:
    """Who says what and when, the sound of it [T] float32, and the seconds that were scrubbed, if any."""
    severity = person.severity + rng.normal(0, (WORDS_NOISE, VOICE_NOISE))
    label, intensity = ("sadness" if severity[1] > 0 else "happiness"), float(min(1.5, 0.5 * abs(severity[1])))
    pieces, said, clock = [np.zeros(round(lead * RATE), np.float32)], list[Said](), lead
    scrubbed = None

    def add(speaker: str, samples: np.ndarray, text: str) -> None:
        nonlocal clock
        said.append(Said(speaker, clock, clock + len(samples) / RATE, text))
        pieces.extend([samples, np.zeros(round(GAP * RATE), np.float32)])
        clock += len(samples) / RATE + round(GAP * RATE) / RATE

    for code, words in _prompts(person, turns, rng):
        if code not in prompts:
            generator = twins.generator(seed, "prompt", code)
            prompts[code] = speak(
                _talker("female", twins.generator(seed, "ellie")), "neutral", words, rate=RATE, rng=generator
            )
        add("Ellie", prompts[code], f"{code} ({words})" if int(person.session) % 2 else words)
        affect = (
            float(np.clip(0.2 - 0.6 * severity[0] + rng.normal(0, 0.25), -1, 1)),
            float(np.clip(rng.normal(-0.05, 0.3), -1, 1)),
            float(np.clip(rng.normal(0, 0.3), -1, 1)),
        )
        text = _spoken(texts.sentence(affect, rng))
        add("Participant", speak(person.voice, label, text, rate=RATE, rng=rng, intensity=intensity), text)
    if person.session == FIRST[0]:
        said[-1] = Said("Participant", said[-1].start, said[-1].stop, f"<laughter> {said[-1].text}")
        start = clock
        add("Participant", np.zeros(RATE // 2, np.float32), "scrubbed_entry")
        scrubbed = start, start + 0.5
        add("Participant", 0.01 * rng.standard_normal(RATE // 2).astype(np.float32), "<laughter>")
    sound = np.concatenate(pieces)
    heard = np.ones(len(sound), np.float32)
    if scrubbed:
        heard[round(scrubbed[0] * RATE) : round(scrubbed[1] * RATE)] = 0
    return said, sound + 3e-4 * heard * rng.standard_normal(len(sound)).astype(np.float32), scrubbed


def _prompts(person: Participant, turns: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """The interviewer's prompts, one before each turn; about a diagnosis where she was told to ask."""
    chosen = [OPENING, *(PROMPTS[place] for place in rng.integers(len(PROMPTS), size=turns - 1))]
    if rng.random() < ASKED[person.depressed]:
        count = min(len(TELLING), max(1, turns // 2))
        places = turns - 1 - rng.permutation(max(1, turns - 1))[:count]
        for place, which in zip(places, rng.permutation(len(TELLING)), strict=False):
            chosen[place] = TELLING[which]
    return chosen


def _spoken(sentence: str) -> str:
    """A sentence as transcribers write it: small letters, hardly a sign."""
    return " ".join("".join(sign for sign in sentence.lower() if sign.isalpha() or sign in " '").split())


def _lines(said: Said) -> list[tuple[Any, ...]]:
    """One line of the transcript, or two where somebody says more, with a short pause between them."""
    words, middle = said.text.split(), (said.start + said.stop) / 2
    if said.speaker == "Ellie" or len(words) < 6:
        return [(said.start, said.stop, said.speaker, said.text)]
    half = len(words) // 2
    first, second = " ".join(words[:half]), " ".join(words[half:])
    return [(said.start, middle - 0.05, said.speaker, first), (middle + 0.05, said.stop, said.speaker, second)]


def _write_sound(path: Path, samples: np.ndarray) -> None:
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    written = io.BytesIO()
    with soundfile.SoundFile(written, "w", samplerate=RATE, channels=1, subtype="PCM_16", format="WAV") as clip:
        clip.comment = twins.COMMENT
        clip.write(samples)
    path.write_bytes(written.getvalue())


# --- What was measured: COVAREP and formants at 100 Hz, the face at 30 Hz


def _write_series(
    folder: Path,
    person: Participant,
    said: Sequence[Said],
    seconds: float,
    scrubbed: tuple[float, float] | None,
    rng: np.random.Generator,
) -> None:
    name = person.session
    covarep, formants = _acoustics(person, said, seconds, rng)
    if scrubbed:
        covarep[round(scrubbed[0] * 100) : round(scrubbed[1] * 100)] = 0.0
    write_numbers(folder / f"{name}_COVAREP.csv", covarep)
    write_numbers(folder / f"{name}_FORMANT.csv", formants)
    suffix = "csv" if name == CONTRADICTED else "txt"  # copies differ
    for part, (header, values) in _face(person, said, seconds, rng).items():
        ending = suffix if part == "AUs" else "txt"
        write_numbers(folder / f"{name}_CLNF_{part}.{ending}", values, header=header)


def write_numbers(path: Path, values: np.ndarray, *, header: Sequence[str] = ()) -> None:
    """Write [T, D] numbers: with a header as CLNF writes it, a space behind each comma, or bare as COVAREP does."""
    import pyarrow
    from pyarrow import csv

    whole = [bool(np.isfinite(column).all() and not (column % 1).any()) for column in values.T]
    columns = [
        pyarrow.array(column.astype(np.int64) if ints else column)
        for column, ints in zip((values + 0.0).T, whole, strict=True)
    ]
    table = pyarrow.table(columns, names=[str(place) for place in range(len(columns))])
    written = io.BytesIO()
    csv.write_csv(table, written, csv.WriteOptions(include_header=False, quoting_style="none"))
    data = written.getvalue()
    if header:
        data = ", ".join(header).encode() + b"\n" + data.replace(b",", b", ")
    path.write_bytes(data)


def _who(said: Sequence[Said], seconds: float, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """[T] bool each: when the participant speaks, when the interviewer does."""
    times = np.arange(int(seconds * rate)) / rate
    masks = []
    for speaker in ("Participant", "Ellie"):
        mask = np.zeros(len(times), dtype=bool)
        for each in (each for each in said if each.speaker == speaker):
            mask |= (times >= each.start) & (times < each.stop)
        masks.append(mask)
    return masks[0], masks[1]


def _wander(rng: np.random.Generator, length: int, step: int, columns: int = 1) -> np.ndarray:
    """[T, D] of unit deviation that change smoothly, with a new value every `step` frames."""
    knots = length // step + 2
    values, place = rng.normal(0, 1, (knots, columns)), np.arange(length) / step
    low = place.astype(int)
    share = (place - low)[:, None]
    return values[low] * (1 - share) + values[low + 1] * share


def _acoustics(
    person: Participant, said: Sequence[Said], seconds: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """COVAREP [T, 74] and formants [T, 5]. Unvoiced frames have no F0 and no glottal values; silence may be -inf."""
    participant, interviewer = _who(said, seconds, 100)
    length, severity = len(participant), person.severity + rng.normal(0, COVAREP_NOISE)
    speech = participant | interviewer
    voiced = speech & np.repeat(rng.random(length // 5 + 1) < 0.75, 5)[:length]
    pitch = np.where(interviewer, 210.0, person.voice.pitch * 2 ** (-0.5 * severity / 12))
    span = np.where(interviewer, 2.0, 2.0 * np.exp(-0.2 * severity))  # semitones
    f0 = pitch * 2 ** (span * _wander(rng, length, 20)[:, 0] / 12)
    own = np.where(participant, severity, 0.0)[:, None]  # of the participant's frames alone
    # NAQ, QOQ, H1H2, PSP, MDQ, peakSlope, Rd, Rd_conf, creak: a breathier, slacker voice with more severity
    centre = np.array([0.10, 0.45, 5.0, 0.35, 0.12, -0.35, 1.2, 0.8, 0.05])
    spread = np.array([0.03, 0.10, 2.0, 0.10, 0.03, 0.05, 0.4, 0.1, 0.05])
    pull = np.array([0.3, 0.3, 0.3, 0.2, -0.3, 0.3, 0.3, 0.0, 0.2])
    glottal = centre + spread * (_wander(rng, length, 10, 9) + pull * own)
    spectral = rng.normal(0, 1, (length, 63))
    spectral[:, 0] += np.where(speech, 3.0, -3.0) - 0.3 * own[:, 0]
    spectral[:, 1] -= 0.3 * own[:, 0]
    values = np.column_stack(
        [np.where(voiced, f0.round(), 0.0), voiced, np.where(voiced[:, None], glottal, 0.0), spectral]
    )
    values = np.column_stack([values[:, :2], values[:, 2:11].round(3), values[:, 11:].round(1)])
    values[~speech & (rng.random(length) < 0.02), 11] = -np.inf
    formants = np.array([500.0, 1500, 2500, 3500, 4500]) * person.voice.tract
    formants = np.where(speech[:, None], formants * (1 + 0.1 * _wander(rng, length, 8, 5)), 0.0)
    return values, formants.round()


def _face(
    person: Participant, said: Sequence[Said], seconds: float, rng: np.random.Generator
) -> dict[str, tuple[list[str], np.ndarray]]:
    """What CLNF finds of the participant's face: name -> header and values [T, D]. Frames without a face are zeros."""
    speaking, _ = _who(said, seconds, 30)
    length, severity = len(speaking), person.severity + rng.normal(0, FACE_NOISE)
    units = _action_units(severity, speaking, rng)
    # millimetres and radians: who is more severe looks down and holds still
    still = np.exp(-0.25 * severity)
    angles = np.array([0.10 + 0.05 * severity, 0.0, 0.0]) + np.array([0.06, 0.10, 0.04]) * still * _wander(
        rng, length, 30, 3
    )
    place = np.array([0.0, 0.0, 600.0]) + np.array([12.0, 8.0, 20.0]) * still * _wander(rng, length, 45, 3)
    gaze = np.column_stack(
        [0.05 * _wander(rng, length, 15)[:, 0], 0.12 + 0.05 * severity + 0.05 * _wander(rng, length, 15)[:, 0]]
    )
    gaze = np.column_stack([gaze, -np.sqrt(1 - (gaze**2).sum(axis=1))])
    face = _points(person, units, speaking, rng, angles, place)
    pixels = np.array([320.0, 240.0]) + 500 * face[..., :2] / face[..., 2:]
    found = ~np.repeat(rng.random(length // 10 + 1) < 0.04, 10)[:length]
    confidence = np.where(found, rng.uniform(0.9, 0.99, length).round(2), 0.0)
    first = np.column_stack([np.arange(1, length + 1), (np.arange(length) / 30).round(3), confidence, found])
    flat = {
        "AUs": (list(ACTION_UNITS), units.round(2)),
        "pose": (["Tx", "Ty", "Tz", "Rx", "Ry", "Rz"], np.column_stack([place.round(1), angles.round(3)])),
        "gaze": ([f"{axis}_{eye}" for eye in ("0", "1", "h0", "h1") for axis in "xyz"], np.tile(gaze, 4).round(3)),
        "features": (
            [f"{axis}{n}" for axis in "xy" for n in range(68)],
            pixels.transpose(0, 2, 1).reshape(length, -1).round(1),
        ),
        "features3D": (
            [f"{axis}{n}" for axis in "XYZ" for n in range(68)],
            face.transpose(0, 2, 1).reshape(length, -1).round(),
        ),
    }
    header = ["frame", "timestamp", "confidence", "success"]
    return {
        name: ([*header, *names], np.column_stack([first, np.where(found[:, None], values, 0.0)]))
        for name, (names, values) in flat.items()
    }


def _action_units(severity: float, speaking: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[T, 20]: intensities from 0 to 5, then presences; a severe one frowns and smiles less (AU 4 and 12)."""
    length = len(speaking)
    values = 0.4 + 0.4 * _wander(rng, length, 15, len(ACTION_UNITS))
    for name, pull in FROWNS.items():
        values[:, ACTION_UNITS.index(name)] += 0.4 + pull * severity
    for name in ("AU25_r", "AU26_r"):
        values[:, ACTION_UNITS.index(name)] += 0.9 * speaking
    values = values.clip(0, 5)
    for place, name in enumerate(ACTION_UNITS):
        if name.endswith("_c"):
            strength = name.replace("_c", "_r")
            of = values[:, ACTION_UNITS.index(strength)] if strength in ACTION_UNITS else values[:, place]
            values[:, place] = of > 0.9
    return values


def _points(
    person: Participant,
    units: np.ndarray,
    speaking: np.ndarray,
    rng: np.random.Generator,
    angles: np.ndarray,
    place: np.ndarray,
) -> np.ndarray:
    """The 68 points of the face [T, 68, 3] in millimetres of the camera, as its action units move them."""
    rest = points(person.face, (0.0, 0.0))
    smile, opening = (points(person.face, affect) - rest for affect in ((1.0, 0.0), (0.0, 1.0)))
    strength = {name: units[:, ACTION_UNITS.index(name)][:, None, None] for name in ("AU12_r", "AU04_r", "AU25_r")}
    moved = rest + 0.4 * (strength["AU12_r"] - strength["AU04_r"]) * smile
    moved = moved + 0.3 * (strength["AU25_r"] - 0.4) * opening * (
        0.5 + rng.random((len(units), 1, 1)) * speaking[:, None, None]
    )
    depth = -np.sqrt((1.6 - (rest**2).sum(axis=1)).clip(0))  # the nose is nearest
    head = 75 * np.dstack([moved, np.broadcast_to(depth, moved.shape[:2])])
    return np.einsum("tij,tnj->tni", _rotations(angles), head) + place[:, None, :]


def _rotations(angles: np.ndarray) -> np.ndarray:
    """[T, 3] angles about x, y and z in radians -> [T, 3, 3], applied in that order."""
    turns = []
    for axis, angle in enumerate(angles.T):
        cos, sin, one, zero = np.cos(angle), np.sin(angle), np.ones_like(angle), np.zeros_like(angle)
        rows = {
            0: [[one, zero, zero], [zero, cos, -sin], [zero, sin, cos]],
            1: [[cos, zero, sin], [zero, one, zero], [-sin, zero, cos]],
            2: [[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]],
        }[axis]
        turns.append(np.moveaxis(np.array(rows), -1, 0))
    return turns[2] @ turns[1] @ turns[0]
