"""MediaPipe's two networks of poses where a user has them: in a folder, in a .task bundle, in mediapipe's own wheel."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from affectkit.errors import AffectkitError
from affectkit.media.files import opened

DETECTORS = ("pose_detection.tflite", "pose_detector.tflite")
NETWORKS = (
    "pose_landmark_lite.tflite",
    "pose_landmark_full.tflite",
    "pose_landmark_heavy.tflite",
    "pose_landmarks_detector.tflite",
)
# Of the published files, which are run without a trial.
KNOWN = (
    "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",  # pose_detection.tflite
    "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",  # pose_landmark_lite.tflite
    "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",  # pose_landmark_full.tflite
    "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",  # pose_landmark_heavy.tflite
)
HOW_TO_GET = (
    "name mediapipe's wheel (pip download --no-deps --only-binary=:all: --python-version 3.12 mediapipe==0.10.21; "
    "Apache-2.0), a folder with pose_detection.tflite and a pose_landmark_*.tflite, or a pose_landmarker_*.task"
)

_FOLDERS = (".", "pose_detection", "pose_landmark")  # the last two are how mediapipe's modules/ lies on a disk
_MOST_BYTES = 64 << 20  # the largest published network has 28 MB
_MOST_ARCHIVE = 512 << 20
_ARCHIVE = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """name: of the file or member, one of those above or the user's own. place: what an error names."""

    name: str
    place: str
    data: bytes


def find(model: Path) -> tuple[ModelFile, ModelFile]:
    """The detector and the landmarks' network.

    model: a folder; the landmarks' .tflite, with the detector beside it; a .task bundle or a wheel.
    Raises "missing" or "input", with `HOW_TO_GET`.
    """
    model = model.expanduser()
    if model.is_dir():
        detector, network = _below(model, DETECTORS), _below(model, NETWORKS)
        return _read(detector), _read(network)
    if not model.exists():
        raise AffectkitError("missing", "no such file or folder", file=model, remedy=HOW_TO_GET)
    with opened(model) as file:
        is_archive = file.head.startswith(_ARCHIVE)
    if is_archive:
        return _of_archive(model)
    if model.name in DETECTORS:
        remedy = "name the folder, or the landmarks' network, pose_landmark_*.tflite"
        raise AffectkitError("input", "is the detector of people alone", file=model, remedy=remedy)
    network_file = _read(model)
    places = (model.parent, model.parent.parent)
    folder = next((place for place in places if _present(place, DETECTORS)), model.parent)
    return _read(_below(folder, DETECTORS)), network_file


def _present(folder: Path, names: tuple[str, ...]) -> list[Path]:
    places = (folder / below / name for name in names for below in _FOLDERS)
    return [place for place in places if place.is_file()]


def _below(folder: Path, names: tuple[str, ...]) -> Path:
    """The one file of these names in a folder."""
    files = _present(folder, names)
    if not files:
        raise AffectkitError("missing", f"there is no {' or '.join(names)} in it", file=folder, remedy=HOW_TO_GET)
    _only([file.name for file in files], folder)
    return files[0]


def _only(names: list[str], file: Path) -> None:
    if len(names) > 1:
        remedy = "name the one to use" if file.is_dir() else "unpack it, and name the one to use"
        raise AffectkitError("input", f"holds several: {', '.join(sorted(names))}", file=file, remedy=remedy)


def _read(file: Path) -> ModelFile:
    with opened(file) as open_file:
        _check_size(open_file.size, file)
    return ModelFile(file.name, str(file), file.read_bytes())


def _check_size(size: int, file: Path, most: int | None = None) -> None:
    most = _MOST_BYTES if most is None else most
    if size > most:
        message = f"has {size >> 20} MB; no published model has more than {most >> 20}"
        raise AffectkitError("input", message, file=file, remedy=HOW_TO_GET)


# --- Archives: members are found by their last name and read into memory; none is unpacked, no name becomes a path


def _of_archive(file: Path) -> tuple[ModelFile, ModelFile]:
    _check_size(file.stat().st_size, file, _MOST_ARCHIVE)
    try:
        with zipfile.ZipFile(file) as archive:
            detector, network = (_member(archive, names, file) for names in (DETECTORS, NETWORKS))
            return _read_member(archive, detector, file), _read_member(archive, network, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        # RuntimeError: encrypted; NotImplementedError: another compression
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise AffectkitError("input", f"is no archive that can be read: {why}", file=file, remedy=HOW_TO_GET) from None


def _member(archive: zipfile.ZipFile, names: tuple[str, ...], file: Path) -> zipfile.ZipInfo:
    members = [info for info in archive.infolist() if info.filename.rpartition("/")[2] in names]
    if not members:
        raise AffectkitError("input", f"holds no {' or '.join(names)}", file=file, remedy=HOW_TO_GET)
    _only([info.filename for info in members], file)
    return members[0]


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: Path) -> ModelFile:
    _check_size(info.file_size, file)
    with archive.open(info) as stream:
        data = stream.read(_MOST_BYTES + 1)  # whatever its header says
    _check_size(len(data), file)
    name = info.filename.rpartition("/")[2]
    return ModelFile(name, f"{file}: {name}", data)
