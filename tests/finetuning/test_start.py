"""Weights that a fine-tuning starts from: what is loaded, counted and refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from affectkit.artifacts.models import BEST, write_fit_rows, write_spec
from affectkit.errors import AffectkitError
from affectkit.finetuning.media.images import Images
from affectkit.finetuning.media.pictures import Pictures
from affectkit.finetuning.media.text import Text
from affectkit.finetuning.start import (
    Rows,
    RunStart,
    in_standard_units,
    keep_network,
    keep_rows,
    medium_to_train,
    read_start,
    renamed,
)
from affectkit.labels import Target

LABEL = Target("label", "class", ("i", "p", "r"))
TURNED = Target("label", "class", ("r", "i", "p"))
OTHERS = Target("label", "class", ("happy", "sad"))
VALENCE = Target("valence", "number", (), (-1.0, 1.0))
NOBODY = Rows([], [], {})
MEDIA = {
    "images": Images("tiny-random:resnet"),
    "mean": Text("tiny-random:bert", head="mean"),
    "cls": Text("tiny-random:bert"),
}


def shaken(network, seed=0):
    """With weights of its own, as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


def run_of(folder, medium, targets, fit=("a", "b"), folds=()):
    """The folder of a fine-tuned network, and of folds with the rows that each was fitted on."""
    network, best = shaken(medium.build(targets, 0)), folder / BEST
    best.mkdir(parents=True)
    network.save(best)
    rows = pd.DataFrame({"id": list(fit), "group": [f"group of {key}" for key in fit], "role": "fit"})
    spec = {
        "kind": "finetuned", "reads": medium.reads, "base": {"checkpoint": medium.checkpoint, **network.describe()},
        **medium.spec(), "targets": [target.to_json() for target in targets], "parents": [],
    }  # fmt: skip
    write_spec(best, spec | {"fit_rows": write_fit_rows([folder, best], rows)}, "")
    for number, (train, stopping) in enumerate(folds, start=1):
        ids = np.array([*train, *stopping], dtype=object)
        place = folder / "folds" / f"{number:02d}"
        keep_rows(place, ids, np.arange(len(train)), len(train) + np.arange(len(stopping)))
        keep_network(place, shaken(medium.build(targets, 0), seed=number))
    return network


def weights(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


# Of a run


@pytest.mark.parametrize("name", MEDIA)
def test_a_run_gives_all_of_its_tensors_and_its_head_by_the_names_of_classes(tmp_path, name):
    medium = MEDIA[name]
    before = run_of(tmp_path / "run", medium, [LABEL])
    network = medium.build([TURNED], 5)
    loaded = read_start(tmp_path / "run", cv=False).into(network, [TURNED], 0, NOBODY)
    assert loaded.heads == ["label"] and not (loaded.missing or loaded.unexpected or loaded.misshapen)
    assert len(loaded.loaded) == len(before.state_dict())
    (old, _), (new, _) = before.output_of(LABEL), network.output_of(TURNED)
    torch.testing.assert_close(new.weight, old.weight[[2, 0, 1]], rtol=0, atol=0)
    torch.testing.assert_close(new.bias, old.bias[[2, 0, 1]], rtol=0, atol=0)
    apart = {id(p) for p in (*new.parameters(),)}
    for key, parameter in network.named_parameters():
        if id(parameter) not in apart:
            assert torch.equal(parameter, before.state_dict()[key]), key


@pytest.mark.parametrize("name", MEDIA)
def test_other_classes_get_a_new_head_and_it_is_counted(tmp_path, name):
    medium = MEDIA[name]
    run_of(tmp_path / "run", medium, [LABEL])
    network = medium.build([OTHERS], 5)
    fresh = weights(network)
    loaded = read_start(tmp_path / "run", cv=False).into(network, [OTHERS], 0, NOBODY)
    assert not loaded.heads and len(loaded.missing) == 2 and len(loaded.unexpected) == 2
    assert all(torch.equal(network.state_dict()[key], fresh[key]) for key in loaded.missing)
    assert loaded.plain()["missing"] == 2 and loaded.plain()["missing_names"] == loaded.missing


def test_a_number_comes_out_in_standard_units_again(tmp_path):
    medium = MEDIA["images"]
    before = run_of(tmp_path / "run", medium, [VALENCE, LABEL]).eval()
    network = medium.build([LABEL, VALENCE], 5).eval()
    loaded = read_start(tmp_path / "run", cv=False).into(network, [LABEL, VALENCE], 0, NOBODY)
    in_standard_units(network, loaded.heads, {"valence": (0.2, 0.5)})
    pixels = torch.randn(2, 3, *network.preprocessing.size)
    with torch.no_grad():
        theirs, ours = before(pixels=pixels), network(pixels=pixels)
    torch.testing.assert_close(ours["valence"], (theirs["valence"] - 0.2) / 0.5)
    torch.testing.assert_close(ours["label"], theirs["label"])


def test_rows_that_the_run_was_fitted_on_may_not_judge(tmp_path):
    run_of(tmp_path / "run", MEDIA["images"], [LABEL], fit=("a", "b"))
    start, network = read_start(tmp_path / "run", cv=False), MEDIA["images"].build([LABEL], 0)
    groups = {"c": "group of c", "b": "group of b", "d": "group of a"}
    start.into(network, [LABEL], 0, Rows(["c"], ["c"], groups))
    for rows, what in (
        (Rows([], ["c", "b"], groups), "was fitted on id 'b', or its group, by which this fit is judged"),
        (Rows([], ["c", "d"], groups), "was fitted on id 'd', or its group"),
        (Rows(["b"], [], groups), "was fitted on rows that choose the epoch here, as id 'b' (1 in all)"),
    ):
        with pytest.raises(AffectkitError) as caught:
            start.into(network, [LABEL], 0, rows)
        assert caught.value.code == "leak" and what in str(caught.value)


def test_each_fold_starts_from_the_network_that_never_saw_its_rows(tmp_path):
    medium = MEDIA["images"]
    folds = [(["c", "d"], ["e"]), (["a", "d"], ["b"])]  # without a, b; without c, e
    run_of(tmp_path / "run", medium, [LABEL], fit=tuple("abcde"), folds=folds)
    start = read_start(tmp_path / "run", cv=True)
    for outside, seed in ((["a", "b"], 1), (["c", "e"], 2)):
        network = medium.build([LABEL], 5)
        start.into(network, [LABEL], 1, Rows([], outside, {}))
        kept = weights(shaken(medium.build([LABEL], 0), seed=seed))
        assert all(torch.equal(tensor, kept[key]) for key, tensor in network.state_dict().items())
    for rows, what in ((Rows([], ["a", "c"], {}), "of a fold, as on id 'a'"), (Rows(["c"], ["a"], {}), "as id 'c'")):
        with pytest.raises(AffectkitError, match=what) as caught:
            start.into(medium.build([LABEL], 5), [LABEL], 1, rows)
        assert caught.value.code == "leak"


def test_a_fold_that_met_a_group_is_not_started_from(tmp_path):
    """Its rows may be another manifest's, which this one lacks."""
    medium = MEDIA["images"]
    run_of(tmp_path / "run", medium, [LABEL], fit=tuple("abcd"), folds=[(["c"], ["d"]), (["a"], ["b"])])
    start = read_start(tmp_path / "run", cv=True)
    assert start.check(1, Rows([], ["x"], {"x": "group of a"})).folder.name == "01"
    assert start.check(1, Rows([], ["x"], {"x": "group of d"})).folder.name == "02"
    with pytest.raises(AffectkitError, match="rows or groups of a fold, as on id 'x'"):
        start.check(1, Rows([], ["x", "y"], {"x": "group of a", "y": "group of c"}))


def test_folds_that_were_not_kept(tmp_path):
    run_of(tmp_path / "run", MEDIA["images"], [LABEL])
    with pytest.raises(AffectkitError, match="make it with finetune --cv --keep-folds"):
        read_start(tmp_path / "run", cv=True)


def test_the_run_says_what_its_medium_was_but_for_what_is_typed(tmp_path):
    run_of(tmp_path / "run", Images("tiny-random:resnet", dropout=0.3), [LABEL])
    start = read_start(tmp_path / "run", cv=False)
    assert isinstance(start, RunStart)
    medium = medium_to_train(start, None, "", {"batch_size": 7})
    assert (medium.checkpoint, medium.dropout, medium.batch_size) == ("tiny-random:resnet", 0.3, 7)
    with pytest.raises(AffectkitError, match="reads images, and tiny-random:bert reads text"):
        medium_to_train(start, "tiny-random:bert", "", {})
    with pytest.raises(AffectkitError, match="max-seconds"):
        medium_to_train(start, None, "", {"max_seconds": 3.0})


# Of a file


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "backbone.", "module.model."])
@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_a_plain_file_whatever_stands_before_its_names(tmp_path, prefix, ending):
    medium = MEDIA["images"]
    before = shaken(medium.build([LABEL], 0))
    bare = {prefix + key: tensor.contiguous() for key, tensor in before.backbone.state_dict().items()}
    file = tmp_path / f"weights{ending}"
    save_file(bare, file) if ending == ".safetensors" else torch.save(bare, file)
    network = medium.build([LABEL], 5)
    loaded = read_start(file, cv=True).into(network, [LABEL], 1, NOBODY)
    assert len(loaded.loaded) == len(bare) and len(loaded.missing) == 2 and not loaded.unexpected
    assert all(
        torch.equal(network.backbone.state_dict()[key], bare[prefix + key]) for key in before.backbone.state_dict()
    )


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_a_checkpoint_of_another_training(tmp_path, key):
    medium = MEDIA["images"]
    tensors = shaken(medium.build([LABEL], 0)).backbone.state_dict()
    torch.save({key: tensors, "epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "c.pth")
    loaded = read_start(tmp_path / "c.pth", cv=False).into(medium.build([LABEL], 5), [LABEL], 0, NOBODY)
    assert len(loaded.loaded) == len(tensors)


def test_what_fits_is_loaded_and_the_rest_counted(tmp_path):
    network = MEDIA["images"].build([LABEL], 5)
    state = weights(network.backbone)
    names = sorted(name for name, tensor in state.items() if tensor.ndim > 1)
    tensors = {key: tensor for key, tensor in state.items() if key != names[0]} | {"stray": torch.zeros(1)}
    tensors[names[1]] = torch.zeros(3, 3)
    save_file(tensors, tmp_path / "w.safetensors")
    loaded = read_start(tmp_path / "w.safetensors", cv=False).into(network, [LABEL], 0, NOBODY)
    assert [len(each) for each in (loaded.missing, loaded.unexpected, loaded.misshapen)] == [3, 1, 1]
    assert names[1] in loaded.misshapen[0] and "stray" in loaded.unexpected[0]


@pytest.mark.parametrize(
    ("tensors", "message"),
    [({"a.b": torch.zeros(2)}, "fits no tensor of the network"), ({"a": torch.tensor(float("nan"))}, "no number: a")],
)
def test_a_file_that_fits_nothing(tmp_path, tensors, message):
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(AffectkitError) as caught:
        read_start(tmp_path / "w.safetensors", cv=False).into(MEDIA["images"].build([LABEL], 5), [LABEL], 0, NOBODY)
    assert message in str(caught.value)


def test_a_file_of_a_model_is_not_taken_for_a_plain_one(tmp_path):
    run_of(tmp_path / "run", MEDIA["images"], [LABEL])
    with pytest.raises(AffectkitError, match="name its folder"):
        read_start(tmp_path / "run" / BEST / "model.safetensors", cv=False)


def test_names_change_as_little_as_they_must():
    state = {"net.layer.weight": torch.zeros(2), "net.layer.bias": torch.zeros(1)}
    assert renamed(state, state).keys() == state.keys()
    assert renamed({"model.layer.weight": torch.zeros(2)}, state).keys() == {"net.layer.weight"}


@pytest.mark.parametrize("media", ["b,a", "a", "a,c"])
@pytest.mark.parametrize("base_model", [None, "tiny-random:resnet"])
def test_a_branch_does_not_start_from_that_of_another_picture(tmp_path, media, base_model):
    run_of(tmp_path / "run", Pictures("tiny-random:resnet", media="a,b"), [LABEL])
    start = read_start(tmp_path / "run", cv=False)
    assert medium_to_train(start, base_model, "", {"media": "a,b"}).names == ("a", "b")
    with pytest.raises(AffectkitError, match=f"has branches for a, b, and --media names {media.replace(',', ', ')}"):
        medium_to_train(start, base_model, "", {"media": media})
