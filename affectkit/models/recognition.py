"""Networks that write speech down: waveforms of any lengths in; for each its text, how sure, when each word is said.

What comes out for a waveform does not depend on which others it is given with. Long ones are read in windows that
overlap: of a CTC network the frames beyond the middle of each overlap are the next window's, of Whisper the tokens that
both windows have at the same time are found and written once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise, product
from math import ceil
from typing import Any

import numpy as np
import torch

from affectkit.errors import AffectkitError
from affectkit.models.backbones import Backbone
from affectkit.models.forward import inferring, run
from affectkit.models.speech import SpeechStates
from affectkit.models.speech_inputs import Mel
from affectkit.models.word_times import token_times, words_of

NO_SPEECH, UNSURE = 0.6, -1.0  # Whisper's own rule: nobody speaks where it says so, and its tokens are as unsure
_APART = 1.0  # seconds by which two windows may differ on when a token is said
_TOKENS, _TOKENS_SEC = 224, 25  # that a window of 30 s may have, and those of a second: fast Chinese has 15


@dataclass(frozen=True, slots=True)
class Spoken:
    """What is said in a waveform. confidence: 0 to 1, NaN where nothing was written. words: (word, start, end) in
    seconds, where the network tells. silent: the network itself says that nobody speaks."""

    text: str
    language: str = ""
    confidence: float = float("nan")
    words: tuple[tuple[str, float, float], ...] = ()
    silent: bool = False


def recognizer(
    backbone: Backbone, device: str, dtype: str, *, window_sec: float, overlap_sec: float, word_times: bool = False
) -> Recognizer:
    """What runs a network that was loaded to write speech down. word_times: also where they cost time, of Whisper.

    Raises "input" for a kind that is not supported.
    """
    if backbone.model.config.model_type == "whisper":
        return Whisper(backbone, device, dtype, window_sec, overlap_sec, word_times)
    return Ctc(backbone, device, dtype, window_sec, overlap_sec)


class Recognizer(ABC):
    """rate: Hz. window_sec: what is read at once, a shorter waveform being padded to it where `pads`. languages: that
    it can be told to write; None where it cannot be told."""

    pads = False
    languages: tuple[str, ...] | None = None

    def __init__(self, device: str, dtype: str, rate: int, window_sec: float, overlap_sec: float) -> None:
        self.device, self.dtype, self.rate, self.window_sec = torch.device(device), dtype, rate, window_sec
        if overlap_sec > window_sec / 2:
            message = f"--overlap-seconds {overlap_sec:g} is more than half of a window of {window_sec:g} s"
            raise AffectkitError("usage", message, remedy="give less, or more --chunk-seconds")
        self.window, self.step = round(window_sec * rate), round((window_sec - overlap_sec) * rate)

    def windows(self, length: int) -> list[int]:
        """Where each window of a waveform of so many samples begins: the last one ends with it, or behind."""
        return [self.step * place for place in range(1 + max(0, ceil((length - self.window) / self.step)))]

    @abstractmethod
    def write(
        self, waves: Sequence[np.ndarray], languages: Sequence[str], batch: int, *, silence: bool = True
    ) -> list[Spoken]:
        """What is said in each waveform [T] float32. languages: ISO 639-1, "" to be told apart. batch: windows at once.
        silence: whether nothing is written where the network says that nobody speaks."""


# --- CTC: a token or a blank for each frame (Graves et al. 2006)


class Ctc(Recognizer):
    def __init__(self, backbone: Backbone, device: str, dtype: str, window_sec: float, overlap_sec: float) -> None:
        model, tokenizer = backbone.model, backbone.tokenizer
        # Heads of all of these stand on the last hidden state, behind a dropout.
        self.states = SpeechStates(replace(backbone, model=model.base_model), device, dtype)
        self.head = model.lm_head.to(device)
        super().__init__(device, dtype, self.states.inputs.rate, window_sec, overlap_sec)
        self.stride = round(self.states.inputs.frame_sec * self.rate)
        self.step = max(1, self.step // self.stride) * self.stride  # so that frames of all windows fall together
        tokens = tokenizer.convert_ids_to_tokens(range(model.config.vocab_size))
        delimiter = getattr(tokenizer, "word_delimiter_token", None) or "|"
        silent = {*tokenizer.all_special_tokens, None} - {delimiter}
        self.tokens = ["" if token in silent else " " if token == delimiter else token for token in tokens]
        self.blank = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0

    def write(
        self, waves: Sequence[np.ndarray], languages: Sequence[str], batch: int, *, silence: bool = True
    ) -> list[Spoken]:
        normed = [self.states.inputs.normalise(wave) for wave in waves]
        starts = [self.windows(len(wave)) for wave in normed]
        pieces = [wave[at : at + self.window] for wave, places in zip(normed, starts, strict=True) for at in places]
        states = (state for at in range(0, len(pieces), batch) for state in self._states(pieces[at : at + batch]))
        return [
            self._spoken(self._joined([next(states) for _ in places]), language)
            for places, language in zip(starts, languages, strict=True)
        ]

    def _states(self, pieces: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Log-probabilities [T, V] of each piece."""
        with torch.inference_mode():
            hidden = self.states.hidden(pieces, "last")
            return [self.head(state).log_softmax(dim=-1).cpu() for state in hidden]

    def _joined(self, windows: list[torch.Tensor]) -> torch.Tensor:
        """The frames of a whole waveform: each window's up to the middle of what it shares with the next."""
        step, shared = self.step // self.stride, (self.window - self.step) // self.stride
        first = shared // 2
        cut = [states[first if place else 0 : step + first] for place, states in enumerate(windows[:-1])]
        return torch.cat([*cut, windows[-1][first if len(windows) > 1 else 0 :]])

    def _spoken(self, frames: torch.Tensor, language: str) -> Spoken:
        values, best = frames.max(dim=-1)
        runs, place = [], 0
        for token, group in groupby(best.tolist()):
            count = len(list(group))
            if token != self.blank and self.tokens[token]:
                runs.append((self.tokens[token], place, place + count, float(values[place : place + count].max())))
            place += count
        text = " ".join("".join(token for token, *_ in runs).split())
        sure = float(np.exp(np.mean([value for *_, value in runs]))) if text else float("nan")
        return Spoken(text, language if text else "", sure, self._words(runs))

    def _words(self, runs: list[tuple[str, int, int, float]]) -> tuple[tuple[str, float, float], ...]:
        second = self.stride / self.rate
        words = [list(group) for between, group in groupby(runs, lambda run: run[0] == " ") if not between]
        return tuple(
            ("".join(token for token, *_ in word), round(word[0][1] * second, 3), round(word[-1][2] * second, 3))
            for word in words
        )


# --- Whisper: token after token, the most probable one (Radford et al. 2023)


Timed = tuple[int, float, float]  # a token, and the seconds at which it begins and ends


@dataclass
class _Window:
    """A window that is being written. limit: the tokens that it may have. begins: of the tokens and of their end, in
    seconds of the window, where they are needed."""

    language: str
    limit: int
    no_speech: float
    tokens: list[int] = field(default_factory=list)
    total: float = 0.0  # of the log-probabilities
    begins: np.ndarray | None = None

    @property
    def mean(self) -> float:
        return self.total / (len(self.tokens) + 1)  # the end counts

    def timed(self, start: float) -> list[Timed]:
        """Its tokens in a recording where it begins at so many seconds; all begin with it where no times are needed."""
        begins = start + (np.zeros(len(self.tokens) + 1) if self.begins is None else self.begins)
        return [(token, *times) for token, times in zip(self.tokens, pairwise(begins.tolist()), strict=True)]


class Whisper(Recognizer):
    pads = True

    def __init__(
        self, backbone: Backbone, device: str, dtype: str, window_sec: float, overlap_sec: float, word_times: bool
    ) -> None:
        self.word_times, self.inputs = word_times, Mel(backbone.processor)
        super().__init__(device, dtype, self.inputs.rate, min(window_sec, self.inputs.max_sec), overlap_sec)
        self.model, self.tokenizer = backbone.model.to(self.device), backbone.tokenizer
        self.marks = _Marks(self.tokenizer, backbone.model.config.vocab_size)
        self.languages: tuple[str, ...] = tuple(self.marks.languages) or ("en",)

    def write(
        self, waves: Sequence[np.ndarray], languages: Sequence[str], batch: int, *, silence: bool = True
    ) -> list[Spoken]:
        starts = [self.windows(len(wave)) for wave in waves]
        pieces = [
            (wave[at : at + self.window], language, self.word_times or len(places) > 1)
            for wave, language, places in zip(waves, languages, starts, strict=True)
            for at in places
        ]
        windows = [w for at in range(0, len(pieces), batch) for w in self._written(pieces[at : at + batch])]
        written = iter(windows)
        return [self._spoken([next(written) for _ in places], places, silence) for places in starts]

    def _spoken(self, windows: list[_Window], starts: list[int], silence: bool) -> Spoken:
        heard: list[_Window] = []
        tokens: list[Timed] = []
        for window, start in zip(windows, starts, strict=True):
            if silence and window.no_speech > NO_SPEECH and window.mean < UNSURE:
                continue
            heard.append(window)
            tokens = joined(tokens, window.timed(start / self.rate), start / self.rate)
        plain = [token for token, *_ in tokens]
        text = " ".join(self.tokenizer.decode(plain, skip_special_tokens=True).split())
        if not text:
            return Spoken("", silent=len(heard) < len(windows))
        count = sum(len(window.tokens) + 1 for window in heard)
        sure = float(np.exp(sum(window.total for window in heard) / count))
        words = words_of(self.tokenizer, heard[0].language, *zip(*tokens, strict=True)) if self.word_times else ()
        return Spoken(text, heard[0].language, sure, words)

    def _written(self, pieces: Sequence[tuple[np.ndarray, str, bool]]) -> list[_Window]:
        """The windows of a batch, whose encoder runs once for telling languages apart and for writing.

        pieces: samples, the language that is told, and whether the times of tokens are needed."""
        batch, lengths = self.inputs.batch([wave for wave, *_ in pieces])
        encoder = self.model.get_encoder()
        at_once = 1 if self.device.type == "cpu" else len(pieces)  # a window fits the caches of a CPU: a tenth faster
        parts = batch.to(self.device).split(at_once)
        states = torch.cat([run(encoder, {"input_features": part}, "last", self.dtype) for part in parts])
        with inferring(self.device.type, self.dtype, f"{len(pieces)} windows", "lower --batch-seconds"):
            decoder = _Decoder(self.model, states)
            told = all(language for _, language, _ in pieces)  # then the prompt is known, and read at once
            prompts = [[self.marks.start, *(self.marks.prompt(language) if told else [])] for _, language, _ in pieces]
            hidden = decoder.read(prompts)
            first = decoder.logits(hidden, 0)
            silence = first.softmax(dim=-1)[:, self.marks.no_speech]
            known = list(self.marks.languages.values())
            spoken = first[:, known].argmax(dim=-1).tolist() if known else [0] * len(pieces)
            windows: list[_Window] = []
            for place, (_, language, _) in enumerate(pieces):
                language = language or self.languages[spoken[place]]
                limit = min(_TOKENS, 10 + round(_TOKENS_SEC * lengths[place] / self.rate))
                windows.append(_Window(language, limit, float(silence[place])))
            if told:
                self._write(decoder, windows, decoder.logits(hidden, -1))
            else:
                self._write(decoder, windows, decoder.step([self.marks.prompt(w.language) for w in windows]))
            for place in [place for place, (*_, timed) in enumerate(pieces) if timed]:
                window = windows[place]
                prompt = [self.marks.start, *self.marks.prompt(window.language)]
                frames = ceil(lengths[place] / self.inputs.hop)
                window.begins = token_times(self.model, states[place : place + 1], prompt, window.tokens, frames)
        return windows

    def _write(self, decoder: _Decoder, windows: list[_Window], logits: torch.Tensor) -> None:
        """Fill in tokens. A window that has come to its end leaves the batch: others need not wait for it.

        logits: [B, V] behind the prompts."""
        open_windows = list(windows)
        never = torch.tensor(self.marks.never, device=self.device)
        logits[:, [self.marks.end, *self.marks.spaces]] = -torch.inf  # never nothing at all, nor a space first
        while open_windows:
            logits[:, never] = -torch.inf
            values, tokens = logits.log_softmax(dim=-1).max(dim=-1)
            going = []
            for place, (window, token) in enumerate(zip(open_windows, tokens.tolist(), strict=True)):
                window.total += float(values[place])
                if token != self.marks.end:
                    window.tokens.append(token)
                if token != self.marks.end and len(window.tokens) < window.limit:
                    going.append(place)
            if len(going) < len(open_windows):
                decoder.keep(going)
                open_windows = [open_windows[place] for place in going]
            if open_windows:
                logits = decoder.step([window.tokens[-1:] for window in open_windows])


class _Decoder:
    """Whisper's decoder with what it has read so far."""

    def __init__(self, model: Any, states: torch.Tensor) -> None:
        from transformers import DynamicCache, EncoderDecoderCache

        self.model, self.states = model, states
        self.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())

    def step(self, tokens: list[list[int]]) -> torch.Tensor:
        """Logits [B, V] float32 behind further tokens, as many for each row."""
        return self.logits(self.read(tokens), -1)

    def read(self, tokens: list[list[int]]) -> torch.Tensor:
        """Hidden states [B, T, D] of further tokens."""
        ids = torch.tensor(tokens, device=self.states.device)
        output = self.model.model.decoder(
            input_ids=ids, encoder_hidden_states=self.states, past_key_values=self.cache, use_cache=True
        )
        return output.last_hidden_state

    def logits(self, hidden: torch.Tensor, place: int) -> torch.Tensor:
        """[B, V] float32 behind one of the tokens that were read."""
        return self.model.proj_out(hidden[:, place]).float()

    def keep(self, rows: list[int]) -> None:
        """Only these rows go on."""
        chosen = torch.tensor(rows, dtype=torch.long, device=self.states.device)
        self.states = self.states[chosen]
        self.cache.batch_select_indices(chosen)


class _Marks:
    """Whisper's special tokens, found by name, as their numbers differ between its versions.

    languages: its tokens by ISO 639-1, none of an English-only network. never: what text has not: marks, and symbols
    that stand for what is not spoken. Raises "input" for a tokenizer without them.
    """

    def __init__(self, tokenizer: Any, size: int) -> None:
        vocabulary = {token: place for token, place in tokenizer.get_vocab().items() if place < size}
        try:
            self.start, self.end, self.without_times = (
                vocabulary[f"<|{name}|>"] for name in ("startoftranscript", "endoftext", "notimestamps")
            )
            self.no_speech = vocabulary.get("<|nospeech|>", vocabulary.get("<|nocaptions|>", -1))
            self.transcribe, translate = vocabulary.get("<|transcribe|>"), vocabulary.get("<|translate|>", size)
            if self.no_speech < 0:
                raise KeyError("<|nospeech|>")
        except KeyError as missing:
            message = f"its tokenizer has no {missing.args[0]}: it is not Whisper's"
            raise AffectkitError("input", message, remedy="copy the folder again") from None
        between = {token: place for token, place in vocabulary.items() if self.start < place < translate}
        codes = {token[2:-2]: place for token, place in between.items() if token[2:-2].isalpha() and len(token) < 8}
        many = size >= MULTILINGUAL or size < ENGLISH
        self.languages = dict(sorted(codes.items(), key=lambda pair: pair[1])) if many else {}
        special = [place for place in range(size) if place > self.end]
        self.never = sorted({*special, *_symbols(tokenizer)})
        self.spaces = tokenizer.encode(" ", add_special_tokens=False)

    def prompt(self, language: str) -> list[int]:
        """What follows the start: an English-only network knows neither languages nor tasks."""
        return [*([self.languages[language], self.transcribe] if self.languages else []), self.without_times]


ENGLISH, MULTILINGUAL = 51864, 51865  # tokens that Whisper has; a smaller one is made for tests


def _symbols(tokenizer: Any) -> set[int]:
    """The tokens of brackets, notes and other symbols, which captions have and speech has not; as `openai-whisper`
    leaves them out (tokenizer.py, `non_speech_tokens`). Hyphens and quotes within words stay."""

    def coded(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    marks = [*'"#()*+/:;<=>@[\\]^_`{|}~「」『』', "<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("', "(("]
    marks += ["))", "(((", ")))", "[[", "]]", "{{", "}}", "♪♪", "♪♪♪"]
    notes = list("♩♪♫♬♭♮♯")
    firsts = {coded(text)[0] for text in (" -", " '") if coded(text)}
    for mark in [*marks, *notes]:
        for tokens in (coded(mark), coded(f" {mark}")):
            if len(tokens) == 1 or (tokens and mark in notes):
                firsts.add(tokens[0])
    return firsts


def joined(left: list[Timed], right: list[Timed], start: float) -> list[Timed]:
    """The tokens of a window and of the next, which begins at `start` seconds, with what both heard written once.

    The next one's follow from behind the longest run of tokens that both have within `_APART` seconds; where no two in
    a row agree, from the middle of what they share.
    """
    size, kept, skipped = 1, 0, 0
    runs: dict[tuple[int, int], int] = {}
    late = [place for place, (_, begin, _) in enumerate(left) if begin > start - _APART]
    for i, j in product(late, range(len(right))):
        if left[i][0] == right[j][0] and abs(left[i][1] - right[j][1]) < _APART:
            runs[i, j] = runs.get((i - 1, j - 1), 0) + 1
            size, kept, skipped = max((size, kept, skipped), (runs[i, j], i + 1, j + 1))
    if size == 1:
        middle = max(start, (start + left[-1][2]) / 2 if left else start)
        kept, skipped = (sum(begin < middle for _, begin, _ in tokens) for tokens in (left, right))
    end = left[kept - 1][2] if kept else 0.0
    return left[:kept] + [(token, max(a, end), max(b, end)) for token, a, b in right[skipped:]]
