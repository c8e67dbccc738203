"""Experts on texts: a lexicon, and any sequence classifier; and the folder that keeps one."""

import doctest
import json

import numpy as np
import pytest

from affectkit import registry
from affectkit.errors import AffectkitError
from affectkit.experts._texts import ReadingExpert, load_text_expert, mapped_classes
from affectkit.labels import Target
from affectkit.media import texts as languages
from affectkit.models import tiny

VALENCE = Target("valence", "number", scale=(1.0, 5.0))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """`classifier("roberta", id2label={...})`: a folder that transformers wrote."""
    import torch

    def save(kind="bert", **config):
        folder = tmp_path_factory.mktemp("classifier")
        model, tokenizer = tiny.build(f"tiny-random:{kind}", "text", config, classifier=True)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.mul_(20 if "classifier" in name else 1)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return str(folder)

    return save


def expert(name, **options):
    made = registry.build("experts", name, options)
    made.load("cpu")
    return made


@pytest.fixture(scope="module")
def lexicon():
    pytest.importorskip("vaderSentiment")
    return expert("lexicon")


def compounds(lexicon, *texts, language=""):
    return lexicon.predict(list(texts), [language] * len(texts)).numbers["valence"]


# The lexicon


GLAD = [
    "I love this!",
    "我很开心",
    "這個真是太棒了",
    "今天很高兴\uff0c谢谢你",
    "虽然很累\uff0c但是很开心",
    "\U0001f600",
    "不错",
]
SORRY = [
    "I am sad",
    "not good at all",
    "我很难过",
    "我討厭你",
    "我不开心",
    "这个电影不好看",
    "开心\uff0c但是很累很难过",
]
PLAIN = ["It is Monday", "好像下雨了", "你好\uff0c今天天气怎么样", "差不多八点", "1234"]


def test_words_negations_and_contrasts_decide_in_both_languages(lexicon):
    assert (compounds(lexicon, *GLAD) > 0.05).all() and (compounds(lexicon, *SORRY) < -0.05).all()
    assert (np.abs(compounds(lexicon, *PLAIN)) <= 0.05).all()
    plain, more, less, marked = compounds(lexicon, "开心", "非常开心", "有点开心", "开心\uff01\uff01")
    assert less < plain < more and plain < marked
    assert compounds(lexicon, "我不是不开心")[0] > 0, "two negations"
    np.testing.assert_allclose(
        *compounds(lexicon, "不知道, 开心", "知道, 开心")
    )  # a comma ends what a negation bears on


def test_english_is_vaders_own_compound(lexicon):
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    texts = ["VADER is smart, handsome, and funny!", "Today sux", "meh", ""]
    vader = [SentimentIntensityAnalyzer().polarity_scores(text)["compound"] for text in texts[:3]]
    np.testing.assert_allclose(compounds(lexicon, *texts[:3]), vader)


def test_probabilities_are_the_stated_softmax(lexicon):
    """By hand: of c = .6369, VADER's of `love`, the logits are 3 * (-c, .05, c)."""
    answers = lexicon.predict(["love", "table"], ["", ""])
    weights = np.exp([-3 * 0.6369, 0.15, 3 * 0.6369])
    np.testing.assert_allclose(answers.probabilities[0], weights / weights.sum(), atol=1e-9)
    np.testing.assert_allclose(answers.probabilities.sum(axis=1), 1)
    assert answers.probabilities.argmax(axis=1).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("text", "language", "declined"),
    [
        ("Ich bin traurig", "de", "no lexicon of 'de', only of en and zh"),
        ("私は悲しい", "", "no lexicon of 'ja', only of en and zh"),
        ("мне грустно", "", "no lexicon of 'ru', only of en and zh"),
        ("so sad", "en-GB", ""),
        ("伤心", "ZH_cn", ""),
        ("love", "english", ""),
        ("!?", "", ""),
    ],
)
def test_the_language_is_the_rows_else_that_of_the_script(text, language, declined, lexicon):
    answers = lexicon.predict([text, "I love it"], [language, "en"])
    assert list(answers.declined) == [declined, ""]
    assert np.isnan(answers.probabilities[0]).all() == bool(declined) and not np.isnan(answers.probabilities[1]).any()


def test_a_wrong_language_reads_what_there_is(lexicon):
    assert compounds(lexicon, "我很开心", language="en")[0] == 0


def test_doctests_of_languages():
    assert doctest.testmod(languages).failed == 0


def test_long_texts_are_scored_in_pieces_averaged_by_length(lexicon):
    glad, table = "love ".ljust(2000, "."), "table ".ljust(1000, ".")
    expected = compounds(lexicon, glad, table) @ [2, 1] / 3
    np.testing.assert_allclose(compounds(lexicon, glad + table), expected)


def test_a_lexicon_without_vader_says_how_to_get_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
    with pytest.raises(AffectkitError, match=r'not installed; pip install "affectkit\[text\]"') as caught:
        expert("lexicon")
    assert caught.value.code == "environment"


# Sequence classifiers


LABELS = {0: "NEG", 1: "neutral", 2: "POS", 3: "joy"}
TEXTS = ["hello", "x", "quite a long sentence " * 5, "\U0001f600", "no"]


def transformers_own(folder, texts):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt", return_token_type_ids=False)
    return AutoModelForSequenceClassification.from_pretrained(folder)(**batch).logits.detach().double()


@pytest.mark.parametrize("kind", tiny.TEXT)
def test_probabilities_of_labels_of_one_class_are_summed(kind, classifier):
    folder = classifier(kind, id2label=LABELS)
    mapped = expert("hf-text", model=folder, label_map="NEG=negative,POS=positive,joy=positive")
    assert mapped.classes == ("negative", "neutral", "positive")
    expected = transformers_own(folder, TEXTS).softmax(dim=1).numpy()
    expected = np.stack([expected[:, 0], expected[:, 1], expected[:, 2] + expected[:, 3]], axis=1)
    together = mapped.predict(TEXTS, [""] * len(TEXTS)).probabilities
    np.testing.assert_allclose(together, expected, atol=1e-6)
    alone = [mapped.predict([text], [""]).probabilities[0] for text in TEXTS]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert np.ptp(together, axis=0).max() > 1e-4  # else nothing was compared


def test_a_classifier_of_several_labels_at_once_gives_shares_of_its_sigmoids(classifier):
    folder = classifier(id2label=LABELS, problem_type="multi_label_classification")
    sigmoids = transformers_own(folder, TEXTS).sigmoid().numpy()
    made = expert("hf-text", model=folder)
    expected = sigmoids / sigmoids.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(made.predict(TEXTS, [""] * 5).probabilities, expected, atol=1e-6)
    assert made.classes == tuple(LABELS.values()) and made.describe()["exclusive"] is False


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        ({"NEGA": "negative"}, "the classifier has no label 'NEGA'; did you mean NEG"),
        ({"x": "negative"}, "the classifier has no label 'x'; known are NEG, neutral, POS, joy"),
        ({"NEG": ""}, "'NEG' is mapped to no class"),
    ],
)
def test_a_map_that_does_not_fit_the_labels_is_refused(label_map, message):
    with pytest.raises(AffectkitError, match=message) as caught:
        mapped_classes(list(LABELS.values()), label_map)
    assert caught.value.code == "usage"


def test_texts_that_are_not_read_whole_are_counted(classifier):
    folder = classifier(id2label=LABELS)
    counts = {how: expert("hf-text", model=folder, max_tokens=10, long_texts=how) for how in ("head", "tail", "pieces")}
    assert {how: made.predict(TEXTS, [""] * 5).cut for how, made in counts.items()} == {
        "head": 1,
        "tail": 1,
        "pieces": 0,
    }


# The folder


@pytest.fixture(params=["hf-text", "lexicon", "tiny-random"])
def reading(request, classifier, lexicon):
    if request.param == "tiny-random":
        made = expert("hf-text", model="tiny-random:bert", max_tokens=40, long_texts="pieces")
        assert made.describe()["tiny_random"] is True
        return ReadingExpert(made, (Target("sentiment", "class", made.classes),))
    if request.param == "lexicon":
        return ReadingExpert(lexicon, (Target("label", "class", ("positive", "neutral", "negative")), VALENCE))
    made = expert("hf-text", model=classifier(id2label=LABELS), label_map="POS=joy")
    return ReadingExpert(made, (Target("label", "class", ("joy", "NEG", "neutral")),))


def answered(reading, texts=(*TEXTS, " ", "y" * 1_000_001)):
    outputs, answers = reading.predict(texts, [""] * len(texts))
    return {output.target.name: output.values for output in outputs}, list(answers.declined)


def test_a_folder_needs_nothing_else_and_answers_the_same(reading, tmp_path, monkeypatch):
    reading.save(tmp_path / "first")
    again = load_text_expert(tmp_path / "first")
    before, declined = answered(reading)
    after, same = answered(again)
    assert declined == same and declined[:5] == [""] * 5 and declined[5] == "has no text"
    assert declined[6] == "has a text of 1,000,001 characters, and 1,000,000 are read at most"
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])
        assert np.isnan(values[5:]).all() and not np.isnan(values[:5]).any()
    again.save(tmp_path / "second")
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("first", "second"))
    noted = {"tokenizer_config.json"}  # transformers notes in it where a tokenizer was read from
    assert {name: first[name] for name in first if name not in noted} == {
        n: second[n] for n in second if n not in noted
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": "0" * 64}, "has other weights than its record says"),
        ({"classes": ["a", "b", "c"]}, "has another 'classes' than its record says"),
        ({"expert": "os.path"}, "there is no expert 'os.path'"),
        ({"expert": "emonet", "options": {}}, "emonet reads no texts"),
        ({"options": {"command": "x"}}, "has no option --command"),
        ({"options": None}, "is not a whole model"),
        ({"targets": [{"name": "label", "kind": "class", "classes": ["x", "y"]}]}, "is not a whole model"),
        ({"targets": [{"name": "../x", "kind": "number"}]}, "is not a whole model"),
        ({"schema": 99}, "schema 99 is newer"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_tampered_folder_is_refused(changes, message, reading, tmp_path):
    reading.save(tmp_path)
    path = tmp_path / "expert.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(AffectkitError, match=message) as caught:
        load_text_expert(tmp_path)
    assert caught.value.file and "\n" not in str(caught.value)
