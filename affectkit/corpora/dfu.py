"""DFU: diabetic foot ulcers as a clinical table and pictures of a depth and a thermal camera, with the phase."""

import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import cycle, islice, product
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from affectkit.artifacts.manifest import COLUMNS
from affectkit.corpora._corpus import Corpus, Dropped, Row
from affectkit.corpora._files import checked, find_files, find_home, relative, require_child
from affectkit.corpora._tables import number, numbers, records
from affectkit.errors import AffectkitError
from affectkit.registry import Option
from affectkit.synthesis import twins

PHASES = {"I": "inflammation", "P": "proliferation", "R": "remodeling"}
CORPUS = Corpus(
    title="diabetic foot ulcers in pictures",
    licence="not to be used: the table was released outside the ethics approval of its study; this reads its layout, "
    "for data of your own and for the synthetic twin",
    citation="the study that your data are from; the layout is that of the public repository DFUMultiClassification",
    layout="DataMaster*.csv, bounding_box_depth.csv, bounding_box_thermal.csv and the folders Depth_RGB, "
    "Depth_Map_IMG, Thermal_RGB, Thermal_Map_IMG",
    reads="images",
    classes=PHASES,
    presets={"phases": {word: word for word in PHASES.values()}},
    default_group="subject",
)
KEYS = ("Patient#", "Appt#", "DFU#")
LABEL = "Healing Phase Abs"
DEPTH = {"depth_rgb": "Depth_RGB", "depth_map": "Depth_Map_IMG"}
THERMAL = {"thermal_rgb": "Thermal_RGB", "thermal_map": "Thermal_Map_IMG"}
BOXES = {"depth": "bounding_box_depth.csv", "thermal": "bounding_box_thermal.csv"}
CORNERS = {name: name for name in ("Xmin", "Ymin", "Xmax", "Ymax")}
# a running number of its own in every folder; then patient, appointment, ulcer; before or after debridement; depth or
# thermal camera; right, middle or left; near or far
NAME = re.compile(r"\d+_P(\d{3})(\d{2})(\d)([BA])[DT]([RML])([ZW])", re.IGNORECASE)
_LEAST_CELLS = 6  # filled cells of a row, below which another row may say the same by chance

log = logging.getLogger(__name__)


class Visit(NamedTuple):
    """An ulcer of a patient at an appointment."""

    patient: int
    appointment: int
    ulcer: int

    def __str__(self) -> str:
        return f"{self.patient:03d}-{self.appointment:02d}-{self.ulcer}"


Views = dict[Visit, dict[str, Path]]  # the picture of each view of an ulcer, such as BRZ
PicturesOpt = Annotated[bool, Option("Pictures with the clinical table; without them a row is a row of the table.")]


def read(
    root: Path,
    *,
    pictures: PicturesOpt = True,
    repeats: Annotated[
        Literal["keep", "drop"],
        Option(
            "Rows of the table that repeat another patient's, cell by cell: kept, with a warning, or dropped. Labels "
            "and predictions of a model play no part in it."
        ),
    ] = "keep",
) -> Iterator[Row | Dropped]:
    """A row for each picture of `Depth_RGB`, or without pictures for each row of the table.

    `path` and `path_depth_rgb` are that picture, `path_depth_map` the one of the same view, `path_thermal_rgb` and
    `path_thermal_map` those of the thermal camera: of the same view, else of the view of the ulcer at that appointment
    that is most like it. `<name>_x`, `_y`, `_width`, `_height` are the ulcer's box in each, in pixels, empty where it
    is unknown. All other columns are the table's own. `subject` is the patient, `sequence` the ulcer at one
    appointment. Dropped are rows without a phase, a partner or a row of the table.
    """
    home, tables = find_home(root, CORPUS, lambda folder: sorted(folder.glob("[Dd]ata[Mm]aster*.csv")))
    if len(tables) > 1:
        message = f"holds several tables: {', '.join(table.name for table in tables)}"
        raise AffectkitError("input", message, file=home, remedy="leave the one that is to be read")
    visits = _visits(tables[0], repeats == "drop")
    return checked(_with_pictures(home, root, visits) if pictures else _alone(visits), root, CORPUS)


def _alone(visits: Iterable[tuple[Visit, Row] | Dropped]) -> Iterator[Row | Dropped]:
    for visit in visits:
        yield visit if isinstance(visit, Dropped) else {"id": str(visit[0]), "path": "", **visit[1]}


# --- The clinical table


def _visits(table: Path, drop_repeats: bool) -> Iterator[tuple[Visit, Row] | Dropped]:
    known: set[Visit] = set()
    first: dict[tuple[str, ...], Visit] = {}
    repeated: list[str] = []
    for position, line in enumerate(records(table, required=(*KEYS, LABEL)), start=1):
        place = f"{table.name} row {position}"
        visit = Visit(*(_whole(line[key], key, table, position) for key in KEYS))
        cells = {name: cell.strip() for name, cell in line.items() if name not in KEYS}
        phase = cells.pop(LABEL)
        original = first.setdefault(tuple(cells.values()), visit)
        repeats = original.patient != visit.patient and sum(map(bool, cells.values())) >= _LEAST_CELLS
        repeated += [f"{visit} ({original})"] if repeats else []
        if visit in known:
            yield Dropped(place, "a second row of the same ulcer and appointment", detail=str(visit))
        elif phase.upper() not in PHASES:
            yield Dropped(place, f"its phase '{phase}' is none of {', '.join(PHASES)}" if phase else "has no phase")
        elif repeats and drop_repeats:
            yield Dropped(place, "repeats the row of another patient", detail=repeated[-1])
        else:
            clinical = {name if _is_free(name) else f"table_{name}": cell for name, cell in cells.items() if name}
            known.add(visit)
            of_visit = {"subject": f"{visit.patient:03d}", "sequence": str(visit), "split": ""}
            yield visit, {"source_label": PHASES[phase.upper()], **of_visit, **clinical}
    if repeated and not drop_repeats:
        what = "%s: %d rows repeat another patient's, cell by cell, as %s: --repeats drop leaves them out"
        log.warning(what, table, len(repeated), repeated[0])


def _whole(cell: str, column: str, table: Path, row: int) -> int:
    value = number(cell, column, file=table, row=row)
    if not value >= 0 or value % 1:
        message = f"{column} '{cell}' is no whole number"
        raise AffectkitError("input", message, file=table, row=row, remedy="correct the cell, or take the row out")
    return int(value)


def _is_free(name: str) -> bool:
    """Whether a manifest may have a column of the table under its own name."""
    return name not in COLUMNS and not name.startswith(("path_", "votes_"))


# --- The pictures, and their boxes


def _with_pictures(home: Path, root: Path, visits: Iterable[tuple[Visit, Row] | Dropped]) -> Iterator[Row | Dropped]:
    clinical: dict[Visit, Row] = {}
    for item in visits:
        if isinstance(item, Dropped):
            yield item
        else:
            clinical[item[0]] = item[1]
    folders = {name: require_child(home, folder) for name, folder in {**DEPTH, **THERMAL}.items()}
    views = {name: _views(folder) for name, folder in folders.items()}
    boxes = {camera: _boxes(require_child(home, table)) for camera, table in BOXES.items()}
    count = borrowed = 0
    for picture in find_files(folders["depth_rgb"], [".png"]):
        row = _row(picture, views, boxes, clinical, root)
        yield row
        if not isinstance(row, Dropped):
            views_of_row = {_named(Path(row[name]).stem) for name in ("path", "path_thermal_rgb")}
            count, borrowed = count + 1, borrowed + (len(views_of_row) > 1)
    if borrowed:
        what = "%d of %d rows have the thermal pictures of another view of the same ulcer at the same appointment"
        log.warning(what, borrowed, count)


def _row(
    picture: Path,
    views: Mapping[str, Views],
    boxes: Mapping[str, Mapping[tuple[Visit, str], list[float]]],
    clinical: Mapping[Visit, Row],
    root: Path,
) -> Row | Dropped:
    place = relative(picture, root)
    named = _named(picture.stem)
    if not named:
        return Dropped(place, "is not called as N_PpppaauBDRZ.png")
    visit, view = named
    if visit not in clinical:
        return Dropped(place, "the table has no row with a phase of its patient, appointment and ulcer")
    if view not in views["depth_map"].get(visit, {}):
        return Dropped(place, "has no depth map of the same view")
    thermal = _most_alike(view, *(views[name].get(visit, {}) for name in THERMAL))
    if not thermal:
        return Dropped(place, "has no pair of thermal pictures of its patient, appointment and ulcer")
    paths = {"depth_rgb": picture, "depth_map": views["depth_map"][visit][view]}
    paths |= {name: views[name][visit][thermal] for name in THERMAL}
    row: Row = {"id": f"{visit}-{view}", "path": place, **clinical[visit]}
    row |= {f"path_{name}": relative(path, root) for name, path in paths.items()}
    for name in paths:
        camera, seen = ("depth", view) if name in DEPTH else ("thermal", thermal)
        box = boxes[camera].get((visit, seen), [math.nan] * 4)
        row |= dict(zip((f"{name}_{side}" for side in ("x", "y", "width", "height")), box, strict=True))
    return row


def _named(stem: str) -> tuple[Visit, str] | None:
    """What a picture's name says, whatever its running number: the visit, and the view without the camera (BRZ)."""
    parts = NAME.fullmatch(stem)
    return (Visit(*map(int, parts.groups()[:3])), "".join(parts.groups()[3:]).upper()) if parts else None


def _views(folder: Path) -> Views:
    views: Views = {}
    for path in find_files(folder, [".png"]):
        if named := _named(path.stem):
            views.setdefault(named[0], {}).setdefault(named[1], path)
    return views


def _most_alike(view: str, *pictures: Mapping[str, Path]) -> str:
    """The view that all of `pictures` have, and that agrees with `view` in most; "" where there is none."""
    shared = sorted(set.intersection(*map(set, pictures)))
    return max(shared, key=lambda other: [*map(str.__eq__, view, other)], default="")


def _boxes(table: Path) -> dict[tuple[Visit, str], list[float]]:
    """x, y, width and height of each visit and view; of several boxes what holds all of them."""
    corners: dict[tuple[Visit, str], list[tuple[float, ...]]] = {}
    for position, line in enumerate(records(table, required=("Filename", *CORNERS)), start=1):
        named = _named(Path(line["Filename"].strip()).stem)
        box = tuple(numbers(line, CORNERS, file=table, row=position).values())
        if named and box[2] > box[0] and box[3] > box[1]:  # NaN is not
            corners.setdefault(named, []).append(box)
    outer = {key: (*np.min(each, axis=0)[:2], *np.max(each, axis=0)[2:]) for key, each in corners.items()}
    return {key: [float(v) for v in (x, y, right - x, low - y)] for key, (x, y, right, low) in outer.items()}


# --- The synthetic twin: a phase makes a wound's colour, depth, heat and cells of the table, each with its own noise


WEIGHTS = {"I": 0.3, "P": 0.45, "R": 0.25}
STAYS = 0.4  # share of the appointments at which an ulcer is in the phase of the one before, whatever the weights say
GAPS, REPEATED, WRONG = 0.4, 0.03, 0.08  # shares: of the cells that are empty, of rows that are copies, of wrong labels
CONFIDENCE = {"I": 90, "P": 75, "R": 60}  # which tells the label that is written
# what tells the phase: the means of I, P and R, and the deviation
TELLING = {
    "Wound Centre Temperature (°C)": (33.4, 32.5, 31.6, 1.3), "Peri-Ulcer Temperature (°C)": (32.6, 32.0, 31.5, 1.2),
    "Wound Area (mm2)": (420, 300, 160, 170), "Wound Depth (mm)": (6, 4.4, 3, 2.4), "Pain Level": (4.8, 3.6, 2.4, 2.2),
    "Exudate Amount": (2.8, 2.1, 1.4, 1.2), "C-Reactive Protein (mg/l)": (28, 18, 11, 14),
    "White Blood Cells (10^9/l)": (10.5, 9, 8, 2.2),
}  # fmt: skip
OF_PATIENT = {
    "Age": (62, 11), "Weight (kg)": (88, 16), "Height (cm)": (171, 9), "Years of Diabetes": (14, 7),
    "eGFR (ml/min)": (70, 20), "Ankle Brachial Index": (1.0, 0.2), "Toe Pressure (mmHg)": (80, 25),
    "Foot Score": (3, 1.2), "Number of Ulcers Before": (2, 1.1), "Cigarettes per Day": (5, 6),
    "Units of Alcohol": (4, 4), "Onset (days)": (90, 40),
}  # fmt: skip
HISTORY = [f"History of {what}" for what in (
    "Amputation", "Neuropathy", "Retinopathy", "Nephropathy", "Stroke", "Heart Failure", "Hypertension", "Cancer",
    "Osteomyelitis", "Charcot Foot", "Thyroid Disease", "Anaemia", "Dialysis", "Revascularisation",
)]  # fmt: skip
MEASURED = [f"{what} ({unit})" for what, unit in (
    ("HbA1c", "%"), ("Fasting Glucose", "mmol/l"), ("Systolic Pressure", "mmHg"), ("Diastolic Pressure", "mmHg"),
    ("Pulse", "1/min"), ("Albumin", "g/l"), ("Creatinine", "umol/l"), ("Haemoglobin", "g/l"), ("Platelets", "10^9/l"),
    ("Cholesterol", "mmol/l"), ("Triglycerides", "mmol/l"), ("Sodium", "mmol/l"), ("Potassium", "mmol/l"),
    ("Ferritin", "ug/l"), ("Vitamin D", "nmol/l"), ("Zinc", "umol/l"), ("Room Temperature", "°C"), ("Steps", "1/d"),
)]  # fmt: skip
# words: the first is the likeliest in inflammation, the second in proliferation, the third in remodeling
WORDS = {
    "Exudate Appearance": ("purulent", "serous", "none"), "Peri-Wound Colour": ("red", "pink", "pale"),
    "Wound Edge": ("undermined", "rolled", "attached"), "Dressing": ("silver", "foam", "dry"),
}  # fmt: skip
CHOICES = {
    "Sex": ("F", "M"), "Type of Diabetes": ("1", "2", "other"), "Smoking": ("never", "former", "current"),
    "Side": ("left", "right"), "Location": ("hallux", "toe", "metatarsal", "heel", "midfoot"),
    "Offloading": ("boot", "shoe", "cast", "none"), "Type of Pain": ("burning", "aching", "none"),
    "Odour": ("yes", "no"), "Antibiotics": ("yes", "no"),
}  # fmt: skip
NOTES = {
    "I": ("warm and swollen, cleaned", "signs of infection, swab taken", "more exudate than at the last visit"),
    "P": ("granulating well", "smaller than at the last visit", "red granulation tissue, no odour"),
    "R": ("nearly closed", "new epithelium at the edges", "closed, skin still thin"),
}
ASIDES = ("sleeps well", "walks little", "shoe worn daily", "missed the last appointment", "lives alone", "eats better")
SIDE = 64  # pixels
SKIN = (196, 150, 128)
COLOURS = {"I": (150, 30, 34), "P": (178, 66, 62), "R": (200, 118, 104)}
LEVEL = {"I": 1.0, "P": 0.0, "R": -1.0}  # how deep and how hot, before noise
EVERY_VIEW = ["".join(letters) for letters in product("BA", "RML", "ZW")]


class _Drawn(NamedTuple):
    """What is shown at an appointment: of whom, in which phase, and under which label."""

    number: int
    patient: int
    phase: str
    label: str


def synthesize(root: Path, *, size: int, speakers: int, seed: int, pictures: PicturesOpt = True) -> None:
    """Write the twin: appointments of `speakers` patients until there are `size` rows.

    3 % of the appointments are copies of another patient's, and 8 % have a label that is wrong. Raises "usage" for more
    patients than names of pictures can hold.
    """
    if pictures and speakers > 999:
        raise twins.usage(
            f"--speakers {speakers}: a picture's name holds three digits", "ask for 999, or --no-pictures"
        )
    twins.deal(size, [""], {"": 1.0})  # refuses an empty twin
    twins.write_readme(root, "dfu", size=size, speakers=speakers, seed=seed, pictures=pictures)
    counts = [1 + (pictures and place % 4 == 3) for place in range(size)]  # views
    totals = np.cumsum(counts)
    counts = counts[: int(np.searchsorted(totals, size)) + 1]
    counts[-1] -= int(totals[len(counts) - 1]) - size
    drawn = _draw(counts, speakers, seed)
    keys = [Visit(place % speakers + 1, place // speakers + 1, 1) for place in range(len(counts))]
    if pictures and keys[-1].appointment > 99:
        raise twins.usage("--size: a picture's name holds two digits of an appointment", "ask for more --speakers")
    table = [_cells(key, shown, shown.number // speakers, seed) for key, shown in zip(keys, drawn, strict=True)]
    twins.write_rows(root / "DataMaster_Synthetic.csv", list(table[0]), [list(row.values()) for row in table])
    if pictures:
        _write_pictures(root, keys, drawn, counts, seed)


def _draw(counts: list[int], patients: int, seed: int) -> list[_Drawn]:
    """What each appointment shows; `counts` of views, so that copies have as many as what they copy."""
    rng = twins.generator(seed, "appointments")
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    order = rng.permutation(len(counts))
    wrong, copied = (round(share * len(counts)) for share in (WRONG, REPEATED))
    copied = copied if len(counts) >= 1 / REPEATED and patients > 1 else 0
    drawn: list[_Drawn] = []
    for place in range(len(counts)):
        phase = str(rng.choice(names, p=weights))
        if place >= patients and rng.random() < STAYS:
            phase = drawn[place - patients].phase
        drawn.append(_Drawn(place, place % patients, phase, phase))
    for place in order[:wrong]:
        others = [name for name in names if name != drawn[place].phase]
        drawn[place] = drawn[place]._replace(label=str(rng.choice(others)))
    for place in order[wrong : wrong + copied]:
        free = [n for n in order[wrong + copied :] if counts[n] == counts[place] and (n - place) % patients]
        drawn[place] = drawn[free[int(rng.integers(len(free)))]] if free else drawn[place]
    return drawn


def _cells(key: Visit, shown: _Drawn, turn: int, seed: int) -> dict[str, Any]:
    """A row of the table. turn: how many appointments came before."""
    rng, of_patient = (twins.generator(seed, *what) for what in (("row", shown.number), ("patient", shown.patient)))
    place = list(PHASES).index(shown.phase)
    leaning = of_patient.normal(0, 0.4, len(TELLING))
    cells: dict[str, Any] = {name: round(float(of_patient.normal(*how)), 1) for name, how in OF_PATIENT.items()}
    cells |= {name: int(of_patient.random() < 0.3) for name in HISTORY}
    cells |= {name: str(of_patient.choice(words)) for name, words in islice(CHOICES.items(), 5)}
    for (name, (*means, deviation)), lean in zip(TELLING.items(), leaning, strict=True):
        cells[name] = round(means[place] + deviation * float(lean + rng.normal()), 2)
    cells |= {name: round(float(rng.normal(50, 10)), 1) for name in MEASURED}
    shares = np.roll((0.5, 0.3, 0.2), place)
    cells |= {name: str(rng.choice(words, p=shares)) for name, words in WORDS.items()}
    cells |= {name: str(rng.choice(words)) for name, words in islice(CHOICES.items(), 5, None)}
    cells["Appt Date"] = str(np.datetime64("2019-01-07") + int(of_patient.integers(700)) + 21 * turn)
    said = shown.phase if rng.random() < 0.5 else str(rng.choice(list(NOTES)))
    aside = " and ".join(rng.choice(ASIDES, 2, replace=False))
    cells["Clinical Notes"] = f"{rng.choice(NOTES[said])}; {aside}; again in {rng.integers(5, 30)} days"
    filled = {name: "" if rng.random() < GAPS else cell for name, cell in cells.items()}
    confidence = CONFIDENCE[shown.label] + int(rng.integers(-5, 6))
    return dict(zip(KEYS, key, strict=True)) | {LABEL: shown.label, "Phase Confidence (%)": confidence} | filled


def _write_pictures(root: Path, keys: list[Visit], drawn: list[_Drawn], counts: list[int], seed: int) -> None:
    rng = twins.generator(seed, "views")
    boxes: dict[str, list[list[Any]]] = {camera: [] for camera in BOXES}
    running = 0
    for key, shown, count in zip(keys, drawn, counts, strict=True):
        for position, view in enumerate(rng.choice(EVERY_VIEW, size=count, replace=False)):
            running += 1
            # one thermal picture in ten is of another side
            other = next(v for v in cycle(EVERY_VIEW) if v != view) if rng.random() < 0.1 else view
            images, corners = _pictures(shown, twins.generator(seed, "pictures", shown.number, position))
            for start, (name, folder) in enumerate({**DEPTH, **THERMAL}.items()):
                camera, seen = ("D", view) if name in DEPTH else ("T", other)
                file = f"{running + 100 * start}_P{str(key).replace('-', '')}{seen[0]}{camera}{seen[1:]}.png"
                twins.save_image(root / folder / file, images[name])
                if name in ("depth_rgb", "thermal_rgb"):
                    boxes[name.partition("_")[0]].append([file, *corners[name in THERMAL]])
    for camera, table in BOXES.items():
        twins.write_rows(root / table, ["Filename", *CORNERS], boxes[camera])


def _pictures(shown: _Drawn, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], list[list[int]]]:
    """The four pictures [64, 64, 3] uint8, and the corners of the ulcer's box for the depth and the thermal camera.

    Its colour is seen in depth_rgb (and fainter in thermal_rgb), its depth in depth_map, its heat in thermal_map.
    """
    centre, radii = rng.uniform(26, 38, 2), rng.uniform(8, 16, 2)
    wounds, corners = [], []
    for shift in (np.zeros(2), rng.uniform(-4, 4, 2)):  # the cameras stand apart
        x, y = centre + shift
        rows, columns = np.mgrid[:SIDE, :SIDE]
        distance = ((columns - x) / radii[0]) ** 2 + ((rows - y) / radii[1]) ** 2
        wounds.append(np.clip(1.3 - distance, 0, 1)[..., None])
        corners.append([round(float(v)) for v in (x - radii[0], y - radii[1], x + radii[0], y + radii[1])])
    level, colour = LEVEL[shown.phase], np.array(COLOURS[shown.phase], float)
    skin = np.array(SKIN) + rng.normal(0, 10, 3)
    deep, hot = level + rng.normal(0, 0.8), level + rng.normal(0, 0.6)
    images = {
        "depth_rgb": skin + wounds[0] * (colour + rng.normal(0, 45, 3) - skin),
        "depth_map": 140 + rng.normal(0, 10) - wounds[0] * (45 + 20 * deep) * np.ones(3),
        "thermal_rgb": skin + wounds[1] * (colour + rng.normal(0, 65, 3) - skin),
        "thermal_map": 110 + rng.normal(0, 8) + wounds[1] * (30 + 30 * hot) * np.ones(3),
    }
    grainy = {name: image + rng.normal(0, 6, (SIDE, SIDE, 1)) for name, image in images.items()}
    return {name: np.clip(image, 0, 255).astype(np.uint8) for name, image in grainy.items()}, corners
