"""Networks that write speech down: the same text in every batch, in windows, and from a folder."""

import numpy as np
import pytest
import torch

from affectkit.errors import AffectkitError
from affectkit.models import backbones
from affectkit.models.recognition import Ctc, Whisper, joined, recognizer
from affectkit.models.word_times import _begins, words_of

KINDS = ("whisper", "wav2vec2-ctc")
CUT = {"window_sec": 30.0, "overlap_sec": 5.0}


def loaded(name, **cut):
    backbone = backbones.load(name if "/" in name else f"tiny-random:{name}", "speech")
    return recognizer(backbone, "cpu", "float32", **{**CUT, **cut})


def noise(seconds, seed=0):
    samples = np.random.default_rng(seed).normal(size=round(16000 * seconds)) * 0.1
    return samples.astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_depends_neither_on_the_batch_nor_on_its_size(kind):
    network = loaded(kind, window_sec=3.0, overlap_sec=1.0)
    waves = [noise(seconds, seed) for seed, seconds in enumerate((1.1, 0.3, 5.0))]
    languages = ["", "zh", "de"]
    alone = [network.write([wave], [language], 1)[0] for wave, language in zip(waves, languages, strict=True)]
    for batch in (2, 8):
        together = network.write(waves, languages, batch)
        assert [s.text for s in together] == [s.text for s in alone]
        assert [s.language for s in together] == [s.language for s in alone]
        assert [s.confidence for s in together] == pytest.approx([s.confidence for s in alone], abs=1e-6)
        assert all(s.text and 0 < s.confidence < 1 for s in together)


def test_whisper_writes_the_language_that_it_is_told_or_tells_it_apart():
    network = loaded("whisper")
    assert network.languages == ("en", "zh", "de")
    assert network.marks.prompt("zh")[0] == network.tokenizer.convert_tokens_to_ids("<|zh|>")
    assert network.write([noise(0.5)], ["zh"], 8)[0].language == "zh"
    assert network.write([noise(0.5)], [""], 8)[0].language in network.languages


def test_whisper_writes_nothing_where_it_is_sure_of_silence_and_unsure_of_words():
    network = loaded("whisper")
    head = torch.nn.Linear(32, len(network.tokenizer))
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        head.bias[network.marks.no_speech] = 20.0
    network.model.proj_out = head
    [spoken] = network.write([noise(0.5)], ["en"], 8)
    assert (spoken.text, spoken.silent) == ("", True) and np.isnan(spoken.confidence)
    [spoken] = network.write([noise(0.5)], ["en"], 8, silence=False)
    assert spoken.text and not spoken.silent


def test_text_has_no_more_tokens_than_anybody_can_say():
    network = loaded("whisper")
    [short, long] = network.write([noise(0.2), noise(29)], ["en", "en"], 8)
    assert len(short.text) <= 10 + 25 * 0.2 and len(long.text) <= 224


def test_frames_of_overlapping_windows_are_those_of_the_whole():
    """Away from the joints they see the same context but for what lies beyond it, so only their number is exact."""
    network = loaded("wav2vec2-ctc", window_sec=2.0, overlap_sec=1.0)
    wave = noise(7.3)
    starts = network.windows(len(wave))
    assert [start / network.rate for start in starts] == [0, 1, 2, 3, 4, 5, 6]
    pieces = network._states([wave[start : start + network.window] for start in starts])
    [whole] = network._states([wave])
    assert network._joined(pieces).shape == whole.shape
    [spoken] = network.write([wave], ["de"], 4)
    assert spoken.language == "de" and 0 < spoken.words[-1][2] <= 7.3


def test_ctc_folds_what_repeats_and_leaves_blanks_out():
    network = loaded("wav2vec2-ctc")
    letters = {token: place for place, token in enumerate(network.tokens)}
    said = ["o", "o", "", "o", " ", " ", "n", "e", "e"]
    frames = torch.full((len(said), len(network.tokens)), -9.0)
    for place, token in enumerate(said):
        frames[place, letters[token] if token else network.blank] = np.log(0.5)
    spoken = network._spoken(frames, "en")
    assert spoken.text == "oo ne" and spoken.confidence == pytest.approx(0.5)
    assert spoken.words == (("oo", 0.0, 0.08), ("ne", 0.12, 0.18))


def said(text):
    """A letter is a token of half a second, a dot is a pause."""
    return [(ord(sign), place / 2, place / 2 + 0.5) for place, sign in enumerate(text) if sign != "."]


@pytest.mark.parametrize(
    ("left", "right", "start", "together"),
    [
        ("abcde", "...defg", 1.5, "abcdefg"),
        ("abcde", "..ycdefg", 1.0, "abcdefg"),  # half a second later
        ("abcdex", "..zdefg", 1.0, "abcdefg"),  # what was cut in two is written by neither
        ("abcdefg", ".....fgabcde", 2.5, "abcdefgabcde"),  # the same words later are said twice
        ("abcd", "..wxyz", 1.0, "abcxyz"),  # nothing agrees: each up to the middle
        ("abcd", "..xdyz", 1.0, "abcdyz"),  # one token is no match
        ("ab....", "...xyz", 1.5, "abxyz"),
        ("", "ab", 0.0, "ab"),
    ],
)
def test_windows_write_once_what_they_share(left, right, start, together):
    tokens = joined(said(left), said(right), start)
    assert "".join(chr(token) for token, *_ in tokens) == together
    times = [time for _, *both in tokens for time in both]
    assert times == sorted(times)


def test_whispers_words_have_times_in_the_recording_where_they_are_asked_for():
    network, waves = loaded("whisper", window_sec=2.0, overlap_sec=1.0, word_times=True), [noise(0.7), noise(3.4)]
    short, long = network.write(waves, ["zh", "zh"], 8)
    for spoken, seconds in ((short, 0.7), (long, 3.4)):
        assert "".join(word for word, *_ in spoken.words) == spoken.text.replace(" ", "")
        times = [time for _, *times in spoken.words for time in times]
        assert times[0] >= 0 and times[-1] <= seconds and times == sorted(times)
    assert loaded("whisper").write(waves[:1], ["zh"], 8)[0].words == ()


def test_the_cheapest_path_reaches_rows_where_they_are_cheap():
    cost = np.zeros((3, 6))
    cost[0, :2] = cost[1, 2:3] = cost[2, 3:] = -1.0
    assert _begins(cost).tolist() == [0, 2, 3]


def test_tokens_become_words_at_spaces_or_characters():
    tokenizer = backbones.load("tiny-random:whisper", "speech").tokenizer

    def words(text, language):
        tokens = tokenizer.encode(text, add_special_tokens=False)
        begins = [place / 10 for place in range(len(tokens))]
        return words_of(tokenizer, language, tokens, begins, [begin + 0.1 for begin in begins])

    assert words(" so it", "en") == (("so", 0.0, 0.3), ("it", 0.3, 0.6))
    assert words("的一", "zh") == (("的", 0.0, 0.3), ("一", 0.3, 0.6))


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_folder_writes_the_same(kind, tmp_path):
    backbone = backbones.load(f"tiny-random:{kind}", "speech")
    backbones.save(tmp_path / "model", backbone.model, backbone.processor)
    backbone.tokenizer.save_pretrained(tmp_path / "model")
    again = loaded(str(tmp_path / "model"))
    assert isinstance(again, Whisper if kind == "whisper" else Ctc)
    assert again.write([noise(1)], ["en"], 8) == loaded(kind).write([noise(1)], ["en"], 8)


def test_the_base_of_whisper_is_enough_as_its_head_is_its_embedding(tmp_path):
    backbone = backbones.load("tiny-random:whisper", "speech")
    backbones.save(tmp_path / "model", backbone.model.model, backbone.processor)
    backbone.tokenizer.save_pretrained(tmp_path / "model")
    assert backbones.load(str(tmp_path / "model"), "speech").weights == backbone.weights


def test_a_network_without_a_head_is_refused(tmp_path):
    backbone = backbones.load("tiny-random:wav2vec2-ctc", "speech")
    backbones.save(tmp_path / "model", backbone.model.base_model, backbone.processor)
    backbone.tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(AffectkitError, match="lacks 2 weights of Wav2Vec2ForCTC, such as lm_head"):
        backbones.load(str(tmp_path / "model"), "speech")


def test_a_network_that_writes_nothing_is_refused(tmp_path):
    text = backbones.load("tiny-random:bert", "text")
    backbones.save(tmp_path / "model", text.model, text.processor)
    with pytest.raises(AffectkitError, match="'bert', which writes no speech down"):
        backbones.load(str(tmp_path / "model"), "speech")


def test_a_tokenizer_that_is_not_whispers_is_refused(tmp_path):
    backbone, other = (backbones.load(f"tiny-random:{kind}", "speech") for kind in KINDS)
    backbones.save(tmp_path / "model", backbone.model, backbone.processor)
    other.tokenizer.save_pretrained(tmp_path / "model")
    with pytest.raises(AffectkitError, match="it is not Whisper's"):
        loaded(str(tmp_path / "model"))


@pytest.mark.parametrize("kind", KINDS)
def test_windows_that_share_more_than_a_half_are_refused(kind):
    with pytest.raises(AffectkitError, match="more than half of a window of 2 s"):
        loaded(kind, window_sec=2, overlap_sec=1.1)
