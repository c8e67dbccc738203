"""Label folders: <label>/* or train|val|test/<label>/*, or labels in names; of audio, images, video or texts."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from affectkit.corpora._corpus import Corpus, Dropped, Row
from affectkit.corpora._files import (
    AUDIO,
    IMAGES,
    VIDEO,
    checked,
    find_files,
    folders_in,
    not_here,
    relative,
    require_folder,
)
from affectkit.corpora._tables import decode, safe_id
from affectkit.errors import AffectkitError
from affectkit.registry import Option
from affectkit.splits import SPLITS, in_our_words
from affectkit.synthesis import scores, texts, twins

logger = logging.getLogger(__name__)

CORPUS = Corpus(
    title="a tree of label folders",
    licence="the files' own",
    citation="cite where the files come from",
    layout="<label>/* or train/<label>/*, val/<label>/*, test/<label>/*",
    official="the folders train, val and test",
    default_group="",
)
KINDS = {"audio": AUDIO, "images": IMAGES, "video": VIDEO, "text": frozenset({".txt"})}


def read(
    root: Path,
    *,
    media: Annotated[
        str, Option("Which medium to read where the folders hold several: audio, images, video or text.")
    ] = "",
    pattern: Annotated[
        str,
        Option(
            "Regular expression on the path below the root; its named groups become columns, such "
            "as (?P<speaker>s\\d+). A group called label is the label, wherever the files lie: "
            "(?P<subject>[A-Z]{2})\\.(?P<label>[A-Z]{2})\\d reads JAFFE's KA.AN1.39.tiff."
        ),
    ] = "",
) -> Iterator[Row | Dropped]:
    """The files below `root`; the label is the name of the folder below the root or below a split's folder."""
    require_folder(root, CORPUS)
    if media and media not in KINDS:
        raise AffectkitError("usage", f"--media '{media}'", remedy=f"choose {', '.join(KINDS)}")
    try:
        groups = re.compile(pattern)
    except re.error as error:
        raise AffectkitError("usage", f"--pattern '{pattern}' is no regular expression: {error}") from None
    home = _home(root)
    parts = _parts(folders_in(home))
    labels = [(label, split) for part, split in parts.items() for label in folders_in(part)]
    if "label" in groups.groupindex:
        labels = list(parts.items()) or [(home, "")]
    if not labels and {"train", "test"} <= set(parts.values()):
        remedy = "sort each part's files into folders by label, or list them in a CSV"
        raise AffectkitError("input", "its folders train and test hold no folders of labels", file=root, remedy=remedy)
    labels = labels or [(label, "") for label in folders_in(home)]
    kind = media or _kind([label for label, _ in labels], root)
    return checked(_rows(labels, kind, groups, root), root, CORPUS)


def _home(root: Path) -> Path:
    """The folder of the labels or parts: below `root` where archives have added levels, each with one folder in it."""
    home, media = root, AUDIO | IMAGES | VIDEO
    while len(inside := folders_in(home)) == 1 and not _parts(inside):
        if any(item.suffix.lower() in media for item in inside[0].iterdir()) or not folders_in(inside[0]):
            break
        home = inside[0]
    if home == root or (len(inside) == 1 and not _parts(inside)):
        return root
    logger.warning("%s holds one folder: the labels are taken from the folders in %s", root, home.relative_to(root))
    return home


def _parts(folders: list[Path]) -> dict[Path, str]:
    """The split of each that is called after one; `test_anxiety` is a label, unless a folder is called train, say."""
    words = in_our_words([folder.name for folder in folders], file=folders[0].parent if folders else "")
    plain = any(word in SPLITS and folder.name.isalpha() for word, folder in zip(words, folders, strict=True))
    return {folder: word for folder, word in zip(folders, words, strict=True) if plain and word in SPLITS}


def _kind(labels: list[Path], root: Path) -> str:
    """What the folders hold, if it is one thing; texts beside media are taken for notes."""
    kinds = [kind for kind, endings in KINDS.items() if any(find_files(label, endings) for label in labels)]
    media = [kind for kind in kinds if kind != "text"] or kinds
    if len(media) > 1:
        raise AffectkitError("usage", f"holds {' and '.join(media)}", file=root, remedy="choose with --media")
    if not media:
        raise not_here(root, CORPUS)
    return media[0]


def _rows(labels: list[tuple[Path, str]], kind: str, groups: re.Pattern[str], root: Path) -> Iterator[Row | Dropped]:
    ids: set[str] = set()
    folders = {folder for folder, _ in labels}
    for path in find_files(root, KINDS[kind]):
        if folders.isdisjoint(path.parents):
            yield Dropped(relative(path, root), "is in no label's folder")
    kinds = KINDS["text"] | KINDS[kind]
    for path in (path for folder in folders for path in find_files(folder, [""])):
        if path.suffix.lower() not in kinds:
            yield Dropped(relative(path, root), f"its name does not end as that of {kind} does")
    for folder, split in labels:
        for path in find_files(folder, KINDS[kind]):
            place = relative(path, root)
            match = groups.search(place)
            if match is None:
                yield Dropped(place, "does not match --pattern")
                continue
            columns = {name: value or "" for name, value in match.groupdict().items()}
            key = safe_id(place.removesuffix(path.suffix), ids)
            ids.add(key)
            yield {
                "id": key,
                "path": place,
                "source_label": columns.pop("label", folder.name),
                **columns,
                **({"text": decode(path, "cp1252", "latin-1").strip()} if kind == "text" else {}),
                "split": split,
            }


def synthesize(root: Path, *, size: int, speakers: int, seed: int) -> None:
    """Write the twin: `train|val|test/<label>/<speaker>_<n>.wav`, no speaker in two splits."""
    voices = twins.cast_numbered(speakers, seed)
    names = list(voices)
    twins.write_readme(root, "folder", size=size, speakers=speakers, seed=seed)
    for index, (speaker, label) in enumerate(twins.deal(size, names, dict.fromkeys(twins.FOUR, 1.0))):
        rng = twins.generator(seed, "folder", index)
        path = root / twins.part_of(names.index(speaker)) / label / f"{speaker}_{index:04d}.wav"
        text, intensity = texts.plain_sentence(rng), scores.draw_intensity(rng)
        twins.record(path, voices[speaker], label, text, rng, intensity=intensity)
