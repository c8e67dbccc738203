"""Acted corpora: every file's name says who speaks, what, and which emotion is acted.

Such a corpus is a file of some 50 lines: `CORPUS`, an `Acted` (the pattern of the names, what their codes mean, how the
twin's clips are called), and `read, synthesize = ACTED.read, ACTED.synthesize`.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from affectkit.corpora._corpus import Corpus, Dropped, Row
from affectkit.corpora._files import checked, find_files, relative, require_folder
from affectkit.synthesis import scores, twins


@dataclass(frozen=True)
class Turn:
    """One clip that a speaker of the twin acts.

    nth: of the speaker's clips of this emotion. place: of the speaker among the twin's. index: of all clips.
    """

    speaker: str
    emotion: str
    nth: int
    place: int
    index: int
    seed: int


@dataclass(frozen=True)
class Clip:
    """How a clip of the twin is called below the root, and what is said in it.

    key: what its random numbers depend on besides the seed. strength: factor on how strongly it is acted.
    """

    path: str
    text: str
    key: tuple[object, ...]
    strength: float = 1.0


@dataclass(frozen=True)
class Acted:
    """How the files of an acted corpus are called, and those of its twin.

    name: on the command line. corpus: whose `classes` are the codes of the emotions.
    pattern: regular expression of a file's path, without its ending and without what stands before; its groups are
    `emotion` and any of `speaker`, `text_id` and others that `columns` reads. elsewhere: further ones with the same
    groups, of copies in other folders; the first that fits counts.
    otherwise: why a file of another name is dropped.
    sexes: of the speakers, in the order in which the twin's clips are dealt to them. texts: what is said, by `text_id`.
    codes: group -> the codes that it may have, in any case; the emotion's are known, and come last unless named here.
    unknown: why a file with another code is dropped, a template of {group}, {code}, {codes} and the groups.
    columns: from the groups, with their codes as the corpus writes them, to further columns, or better ones.
    clip: from a turn to the twin's clip. cast: the order in which the twin's speakers are chosen, that of `sexes`
    without. weights: how often each emotion is acted, equally without. rate: Hz.
    """

    name: str
    corpus: Corpus
    pattern: str
    otherwise: str
    sexes: Mapping[str, str]
    clip: Callable[[Turn], Clip]
    elsewhere: Sequence[str] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, Collection[str]] = field(default_factory=dict)
    unknown: str = "{group} '{code}' is not in {codes}"
    columns: Callable[[dict[str, str]], Row] = lambda groups: {}
    cast: Sequence[str] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    rate: int = 16000

    def read(self, root: Path) -> Iterator[Row | Dropped]:
        """The utterances below `root`, in whatever folders."""
        require_folder(root, self.corpus)
        return checked(self.rows(find_files(root, [".wav"]), root), root, self.corpus)

    def rows(self, files: Iterable[Path], root: Path) -> Iterator[Row | Dropped]:
        """A row for each file, or why there is none."""
        patterns = [re.compile(rf"(?:^|/){pattern}\Z") for pattern in (self.pattern, *self.elsewhere)]
        for path in files:
            place = path.with_suffix("").as_posix()
            named = next(filter(None, (pattern.search(place) for pattern in patterns)), None)
            groups = {group: code or "" for group, code in named.groupdict().items()} if named else {}
            reason = self._tidy(groups) if named else self.otherwise
            yield Dropped(relative(path, root), reason) if reason else self._row(path, root, groups)

    def _tidy(self, groups: dict[str, str]) -> str:
        """Write the codes as the corpus does; why that cannot be done, else ""."""
        for group, known in {**self.codes, "emotion": self.corpus.classes}.items():
            code = next((code for code in known if code.lower() == groups[group].lower()), None)
            if code is None:
                words = {**groups, "group": group, "code": groups[group], "codes": ", ".join(known)}
                return self.unknown.format_map(words)
            groups[group] = code
        return ""

    def _row(self, path: Path, root: Path, groups: dict[str, str]) -> Row:
        speaker, text_id = groups.get("speaker", ""), groups.get("text_id", "")
        return {
            "id": path.stem,
            "path": relative(path, root),
            "source_label": self.corpus.classes[groups["emotion"]],
            "speaker": speaker,
            "sex": self.sexes.get(speaker, ""),
            "language": self.corpus.language,
            **({"text": self.texts.get(text_id, "")} if self.texts else {}),
            "text_id": text_id,
            "split": "",
            **self.columns(groups),
        }

    def synthesize(
        self, root: Path, *, size: int, speakers: int, seed: int, **options: str | bool
    ) -> dict[str, list[tuple[Turn, Clip]]]:
        """Write the twin's clips; which they are, by speaker. options: the corpus's own, for the README."""
        voices = twins.cast({name: self.sexes[name] for name in self.cast or self.sexes}, speakers, seed)
        twins.write_readme(root, self.name, size=size, speakers=speakers, seed=seed, **options)
        names = [name for name in self.sexes if name in voices]
        weights = self.weights or dict.fromkeys(self.corpus.classes, 1.0)
        counts: Counter[tuple[str, str]] = Counter()
        clips: dict[str, list[tuple[Turn, Clip]]] = {name: [] for name in names}
        for index, (speaker, emotion) in enumerate(twins.deal(size, names, weights)):
            turn = Turn(speaker, emotion, counts[speaker, emotion], names.index(speaker), index, seed)
            counts[speaker, emotion] += 1
            clip = self.clip(turn)
            rng = twins.generator(seed, *clip.key)
            intensity = scores.draw_intensity(rng) * clip.strength
            label = self.corpus.classes[emotion]
            twins.record(root / clip.path, voices[speaker], label, clip.text, rng, rate=self.rate, intensity=intensity)
            clips[speaker].append((turn, clip))
        return clips
