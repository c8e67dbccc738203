"""What was measured of an interview of the twin: COVAREP and formants at 100 Hz, CLNF's face at 30 Hz."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from affectkit.media.cuts import Bounds
from affectkit.synthesis.conversations import Participant, Said
from affectkit.synthesis.faces import points

COVAREP_NOISE = FACE_NOISE = 1.2  # what a session adds to severity, in its standard deviations
ACTION_UNITS = (
    "AU01_r", "AU02_r", "AU04_r", "AU05_r", "AU06_r", "AU09_r", "AU10_r", "AU12_r", "AU14_r", "AU15_r", "AU17_r",
    "AU20_r", "AU25_r", "AU26_r", "AU04_c", "AU12_c", "AU15_c", "AU23_c", "AU28_c", "AU45_c",
)  # fmt: skip
FROWNS = {"AU04_r": 0.35, "AU15_r": 0.3, "AU17_r": 0.15, "AU06_r": -0.3, "AU12_r": -0.4}  # per deviation of severity


def write_series(
    folder: Path,
    person: Participant,
    said: Sequence[Said],
    seconds: float,
    scrubbed: Bounds | None,
    rng: np.random.Generator,
    *,
    units: str,
) -> None:
    """Write the files of a session. scrubbed: seconds that are silent. units: ending of the file of action units."""
    name = person.session
    covarep, formants = _acoustics(person, said, seconds, rng)
    if scrubbed:
        covarep[round(scrubbed[0] * 100) : round(scrubbed[1] * 100)] = 0.0
    write_numbers(folder / f"{name}_COVAREP.csv", covarep)
    write_numbers(folder / f"{name}_FORMANT.csv", formants)
    for part, (header, values) in _face(person, said, seconds, rng).items():
        ending = units if part == "AUs" else "txt"
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
    place, angles, gaze = _head(severity, length, rng)
    face = _points(person, units, speaking, rng, angles, place)
    found = ~np.repeat(rng.random(length // 10 + 1) < 0.04, 10)[:length]
    confidence = np.where(found, rng.uniform(0.9, 0.99, length).round(2), 0.0)
    first = np.column_stack([np.arange(1, length + 1), (np.arange(length) / 30).round(3), confidence, found])
    header = ["frame", "timestamp", "confidence", "success"]
    return {
        name: ([*header, *names], np.column_stack([first, np.where(found[:, None], values, 0.0)]))
        for name, (names, values) in _columns(units, place, angles, gaze, face).items()
    }


def _head(severity: float, length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[T, 3] each: where the head is, in millimetres, how it is turned, in radians, and the direction of the gaze; who
    is more severe looks down and holds still."""
    still = np.exp(-0.25 * severity)
    turns, steps = (_wander(rng, length, step, 3) for step in (30, 45))
    angles = np.array([0.10 + 0.05 * severity, 0.0, 0.0]) + np.array([0.06, 0.10, 0.04]) * still * turns
    place = np.array([0.0, 0.0, 600.0]) + np.array([12.0, 8.0, 20.0]) * still * steps
    sideways, down = (_wander(rng, length, 15)[:, 0] for _ in range(2))
    gaze = np.column_stack([0.05 * sideways, 0.12 + 0.05 * severity + 0.05 * down])
    return place, angles, np.column_stack([gaze, -np.sqrt(1 - (gaze**2).sum(axis=1))])


def _columns(
    units: np.ndarray, place: np.ndarray, angles: np.ndarray, gaze: np.ndarray, face: np.ndarray
) -> dict[str, tuple[list[str], np.ndarray]]:
    """As CLNF's five files have them, rounded as they are there. face: [T, 68, 3]."""
    pixels = np.array([320.0, 240.0]) + 500 * face[..., :2] / face[..., 2:]

    def flat(values: np.ndarray) -> np.ndarray:
        return values.transpose(0, 2, 1).reshape(len(values), -1)

    return {
        "AUs": (list(ACTION_UNITS), units.round(2)),
        "pose": (["Tx", "Ty", "Tz", "Rx", "Ry", "Rz"], np.column_stack([place.round(1), angles.round(3)])),
        "gaze": ([f"{axis}_{eye}" for eye in ("0", "1", "h0", "h1") for axis in "xyz"], np.tile(gaze, 4).round(3)),
        "features": ([f"{axis}{n}" for axis in "xy" for n in range(68)], flat(pixels).round(1)),
        "features3D": ([f"{axis}{n}" for axis in "XYZ" for n in range(68)], flat(face).round()),
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
            intensity = name.replace("_c", "_r")
            seen = ACTION_UNITS.index(intensity) if intensity in ACTION_UNITS else place
            values[:, place] = values[:, seen] > 0.9
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
    from scipy.spatial.transform import Rotation

    rest = points(person.face, (0.0, 0.0))
    smile, opening = (points(person.face, affect) - rest for affect in ((1.0, 0.0), (0.0, 1.0)))
    strength = {name: units[:, ACTION_UNITS.index(name)][:, None, None] for name in ("AU12_r", "AU04_r", "AU25_r")}
    moved = rest + 0.4 * (strength["AU12_r"] - strength["AU04_r"]) * smile
    moved = moved + 0.3 * (strength["AU25_r"] - 0.4) * opening * (
        0.5 + rng.random((len(units), 1, 1)) * speaking[:, None, None]
    )
    depth = -np.sqrt((1.6 - (rest**2).sum(axis=1)).clip(0))  # the nose is nearest
    head = 75 * np.dstack([moved, np.broadcast_to(depth, moved.shape[:2])])
    turned = Rotation.from_euler("xyz", angles).as_matrix()
    return np.einsum("tij,tnj->tni", turned, head) + place[:, None, :]
