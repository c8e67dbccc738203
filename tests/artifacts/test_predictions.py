import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.outputs import TargetPrediction
from affectkit.artifacts.predictions import (
    build_predictions,
    join_columns,
    predictions_text,
    read_predictions,
    with_outputs,
    write_predictions,
)
from affectkit.errors import AffectkitError
from affectkit.labels import Target

LABEL = Target("label", "class", ("anger", "joy"))
VALENCE = Target("valence", "number", scale=(1, 5))


def built():
    rows = pd.DataFrame(
        {
            "id": ["a", "b"],
            "split": "test",
            "label": ["joy", "anger"],
            "valence": [2.0, np.nan],
            "speaker": ["s1", "s2"],
        }
    )
    probabilities = np.array([[0.25, 0.75], [0.5, 0.5]])
    outputs = [TargetPrediction.of(LABEL, probabilities), TargetPrediction.of(VALENCE, np.array([2.5, 3.0]))]
    return build_predictions(rows, outputs, ["heldout", "oof"])


def test_columns_stand_in_their_order_and_come_back_typed(tmp_path):
    write_predictions(tmp_path / "p.csv", built())
    header = (tmp_path / "p.csv").read_text().splitlines()[0]
    assert header == "id,split,seen,label,pred,prob_anger,prob_joy,valence,valence_pred,speaker"
    back = read_predictions(tmp_path / "p.csv")
    assert list(back.targets) == ["label", "valence"]
    assert back.targets["label"].classes == ("anger", "joy")
    np.testing.assert_allclose(back.probabilities(), [[0.25, 0.75], [0.5, 0.5]])
    assert list(back.frame["pred"]) == ["joy", "anger"]  # a tie goes to the first class
    assert list(back.groups("speaker")) == ["s1", "s2"]
    assert back.groups("sex") is None
    assert not back.foreign


def test_a_table_from_elsewhere_needs_only_an_id_and_a_prediction(tmp_path):
    (tmp_path / "p.csv").write_text("id,label,prob_happy,prob_sad\n1,sad,0.2,0.8\n2,happy,0.9,0.1\n")
    predictions = read_predictions(tmp_path / "p.csv", treat_as="val")
    assert predictions.foreign
    assert list(predictions.frame["pred"]) == ["sad", "happy"]
    assert set(predictions.frame["split"]) == {"val"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,prob_a\n1,1.5\n", "row 1: prob_a 1.5 is outside"),
        ("id,prob_a,prob_b\n1,.5,.5\n2,x,.5\n", "row 2: prob_a 'x' is not a number"),
        ("id,pred\n1,a\n1,b\n", "row 2: id '1' stands twice"),
        ("id,pred,seen\n1,a,maybe\n", "row 1: seen 'maybe' is not in heldout, oof, fit"),
        ("id,label,prob_a\n1,b,1\n", "row 1: label 'b' is not in a"),
        ("id,score\n1,2\n", "holds no predictions"),
        ("id,pred\n", "has no rows"),
    ],
)
def test_a_bad_table_is_one_error_that_names_the_row(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(AffectkitError, match=message):
        read_predictions(tmp_path / "p.csv")


def test_groups_are_joined_by_id():
    rows = pd.DataFrame({"id": ["b", "a"], "sex": ["male", "female"]})
    assert list(join_columns(built(), rows, ["sex", "speaker"]).frame["sex"]) == ["female", "male"]
    with pytest.raises(AffectkitError, match="id 'b' is not in the manifest") as caught:
        join_columns(built(), rows[1:], ["sex"])
    assert caught.value.remedy == "leave out such rows (1 of 2), or name the manifest that they are of"


def test_predictions_print_as_csv_and_as_one_line_of_json():
    assert predictions_text(built(), as_json=False).splitlines()[1] == "a,test,heldout,joy,joy,0.25,0.75,2,2.5,s1"
    assert '"valence": null' in predictions_text(built(), as_json=True)
    assert predictions_text(built(), as_json=True).count("\n") == 1


def test_splits_of_a_table_from_elsewhere_have_their_usual_names(tmp_path):
    (tmp_path / "p.csv").write_text("id,split,pred\na,Training,joy\nb,dev,joy\nc,mine,anger\n")
    frame = read_predictions(tmp_path / "p.csv").frame
    assert list(frame["split"]) == ["train", "val", "mine"] and list(frame["seen"]) == ["fit", "heldout", "heldout"]


def test_what_passes_tell_of_a_class_comes_back_and_is_gone_once_others_answer(tmp_path):
    passes = np.random.default_rng(0).dirichlet([1, 1], (2, 4))
    rows, mood = pd.DataFrame({"id": ["a", "b"]}), Target("mood", "class", ("anger", "joy"))
    outputs = [TargetPrediction.over_passes(target, passes) for target in (LABEL, mood)]
    write_predictions(tmp_path / "p.csv", build_predictions(rows, outputs, ["heldout"] * 2))
    header = (tmp_path / "p.csv").read_text().splitlines()[0].split(",")
    assert [name for name in header if "information" in name] == ["mutual_information", "mood_mutual_information"]
    back = read_predictions(tmp_path / "p.csv")
    for target, output in zip(("label", "mood"), outputs, strict=True):
        np.testing.assert_allclose(back.output(target).mutual_information, output.mutual_information, atol=1e-8)
    told = back.output().aligned(Target("label", "class", ("joy", "anger"))).mutual_information
    np.testing.assert_array_equal(told, back.output().mutual_information)
    calibrated = with_outputs(back, [TargetPrediction.of(LABEL, passes[:, 0])], back.frame["seen"].tolist())
    assert "mutual_information" not in calibrated.frame and "mood_mutual_information" in calibrated.frame
    text = (tmp_path / "p.csv").read_text().splitlines()
    cells = text[2].split(",")
    cells[header.index("mutual_information")] = "-0.5"
    (tmp_path / "p.csv").write_text("\n".join([*text[:2], ",".join(cells)]) + "\n")
    with pytest.raises(AffectkitError, match=r"mutual_information -0\.5 is negative") as refused:
        read_predictions(tmp_path / "p.csv")
    assert refused.value.row == 2
