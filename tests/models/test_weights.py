"""The gate of weights: no pickle is run whichever way it is named, and no network outgrows its weights."""

import ast
import json
import pickle
import re
import resource
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import affectkit
from affectkit.errors import AffectkitError
from affectkit.experts import emonet, timm
from affectkit.labels import Target
from affectkit.models import backbones, configurations, image_network, images, speech_network, tiny, weights

KINDS = [*((name, "audio") for name in tiny.AUDIO), *((name, "text") for name in tiny.TEXT)]
KINDS += [(name, "images") for name in tiny.IMAGES]
TARGETS = (Target("valence", "number", (), (-1.0, 1.0)), Target("label", "class", ("calm", "tense")))


class Trap:
    """Unpickled, it leaves a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture
def trap(tmp_path):
    """`trap(path)` writes pickles that would run code, each time another form; the test fails if one was run."""
    sprung = tmp_path / "sprung"

    def write(path, form="zip"):
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"state_dict": {"weight": Trap(sprung)}, "weight": Trap(sprung)}
        if form == "plain":
            path.write_bytes(pickle.dumps(content))
        else:
            torch.save(content, path, _use_new_zipfile_serialization=form == "zip")

    yield write
    assert not sprung.exists(), "a pickle was run"


def checkpoint(folder, kind="wav2vec2", reads="audio"):
    """A folder as transformers saves it."""
    backbones.save(folder, *tiny.build(tiny.PREFIX + kind, reads))
    return folder


def index(folder, name):
    """The folder's weights as its index has them, all in the file `name`."""
    names = list(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    (folder / weights.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, name)}))


def refused(load, *, code="input", match=None):
    with pytest.raises(AffectkitError, match=match) as caught:
        load()
    assert caught.value.code == code and "\n" not in str(caught.value)
    return caught.value


# --- Pickles, by every way in


def beside(folder, trap):
    (folder / "model.safetensors").unlink()
    trap(folder / "pytorch_model.bin")


def in_disguise(folder, trap):
    trap(folder / "model.safetensors", "plain")


def indexed(folder, trap):
    index(folder, "pytorch_model-00001-of-00001.bin")
    trap(folder / "pytorch_model-00001-of-00001.bin", "legacy")


def indexed_outside(folder, trap):
    trap(folder.parent / "outside.bin")
    index(folder, "../outside.bin")


def indexed_in_disguise(folder, trap):
    index(folder, "shard.safetensors")
    trap(folder / "shard.safetensors")


def linked(folder, trap):
    index(folder, "shard.safetensors")
    trap(folder.parent / "outside.bin")
    (folder / "shard.safetensors").symlink_to("../outside.bin")


def indexed_as_pickles(folder, trap):
    (folder / "model.safetensors").unlink()
    trap(folder / "shard.bin")
    (folder / "pytorch_model.bin.index.json").write_text('{"metadata": {}, "weight_map": {"weight": "shard.bin"}}')


def adapted(folder, trap):
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "elsewhere", "peft_type": "LORA"}')
    trap(folder / "adapter_model.bin")


@pytest.mark.parametrize(
    "hide", [beside, in_disguise, indexed, indexed_outside, indexed_in_disguise, linked, indexed_as_pickles, adapted]
)
@pytest.mark.parametrize(("kind", "reads"), KINDS)
def test_no_checkpoint_folder_gets_a_pickle_read(tmp_path, trap, kind, reads, hide):
    folder = checkpoint(tmp_path / "folder", kind, reads)
    hide(folder, trap)
    load = partial(images.load_image_backbone, str(folder)) if reads == "images" else None
    refused(load or partial(backbones.load, str(folder), reads))


def emonet_of(path):
    emonet.build(weights=str(path)).load("cpu")


def timm_expert_of(path):
    timm.build(checkpoint=f"timm:test_resnet/{path}").load("cpu")


FILES = [
    emonet_of,
    timm_expert_of,
    lambda path: images.load_image_backbone(f"timm:test_resnet/{path}"),
    lambda path: images.load_image_backbone(f"open_clip:ViT-B-32/{path}"),
]


@pytest.mark.parametrize("form", ["zip", "legacy", "plain"])
@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin", "w.ckpt", "w.safetensors", "w.h5", "w.msgpack", "w"])
@pytest.mark.parametrize("load", FILES, ids=["emonet", "timm-expert", "timm", "open_clip"])
def test_no_file_that_is_named_is_run(tmp_path, trap, load, name, form):
    trap(tmp_path / name, form)
    refused(partial(load, tmp_path / name), match=f"{name}: cannot be read as weights")


MADE = {
    **{f"tiny-random:{kind}": image_network for kind in ("open_clip", "timm", "vit", "resnet")},
    **{f"tiny-random:{kind}": speech_network for kind in ("wav2vec2", "whisper")},
}


@pytest.mark.parametrize("name", MADE)
def test_no_folder_of_a_trained_network_gets_a_pickle_read(tmp_path, trap, name):
    rooms = MADE[name]
    rooms.build(name, TARGETS).save(tmp_path / "made")
    files = sorted((tmp_path / "made").glob("*.safetensors"))
    assert files
    for file in files:
        whole = file.read_bytes()
        trap(file)
        refused(partial(rooms.load, tmp_path / "made", TARGETS))
        file.write_bytes(whole)
    assert rooms.load(tmp_path / "made", TARGETS)


READS = re.compile("load|pickle|pretrained|create_model")


def test_pickles_are_read_at_one_place_alone():
    """`torch.load` stands in the gate, with `weights_only`; what unpickles by itself stands nowhere."""
    calls = {}
    for path in Path(affectkit.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = getattr(node, "func", None)
            if READS.search(getattr(called, "attr", getattr(called, "id", ""))):
                calls.setdefault(ast.unparse(called), []).append((path.name, ast.unparse(node)))
    [(file, call)] = calls["torch.load"]
    assert file == "weights.py" and "weights_only=True" in call
    never = ("pickle.load", "pickle.loads", "joblib.load", "torch.hub.load", "pd.read_pickle")
    assert not set(never) & calls.keys()
    assert all("allow_pickle=False" in call for _, call in calls["np.load"])
    calls.pop("nn.Embedding.from_pretrained")  # of a tensor
    opened = [call for name, places in calls.items() if name.endswith(".from_pretrained") for _, call in places]
    assert opened and all("state_dict=" in call for call in opened)
    pretrained = [call for _, call in calls["timm.create_model"] if "pretrained=True" in call]
    assert all("pretrained_cfg_overlay=stored" in call for call in pretrained)


def test_transformers_fetches_no_kernels():
    from transformers.integrations import hub_kernels

    assert not hub_kernels._kernels_enabled


# --- Shards


def shard(folder, names):
    """The folder's weights in so many files, by the names that its index has."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {tensor: names[number % len(names)] for number, tensor in enumerate(tensors)}
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        save_file({tensor: tensors[tensor] for tensor in tensors if places[tensor] == name}, folder / name)
    (folder / weights.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.parametrize("names", [["one.safetensors"], ["a.safetensors", "b.safetensors"], ["parts/a.safetensors"]])
def test_shards_give_the_same_network(tmp_path, names):
    folder = checkpoint(tmp_path / "folder")
    before = backbones.load(str(folder), "audio").weights
    shard(folder, names)
    assert backbones.load(str(folder), "audio").weights == before


def test_shards_stay_in_their_folder(tmp_path):
    folder = checkpoint(tmp_path / "folder")
    (tmp_path / "x").mkdir()
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes((folder / "model.safetensors").read_bytes())
    index(folder, "linked.safetensors")
    (folder / "linked.safetensors").symlink_to(outside)
    (folder / "beyond").symlink_to(tmp_path)
    for name in ("../outside.safetensors", str(outside), "linked.safetensors", "beyond/outside.safetensors"):
        (folder / weights.INDEX).write_text(json.dumps({"weight_map": {"weight": name}}))
        error = refused(partial(backbones.load, str(folder), "audio"), match="lies outside the folder")
        assert weights.INDEX in error.file and repr(name) in error.message
    (folder / "own.safetensors").symlink_to("linked2.safetensors")
    (folder / "linked2.safetensors").write_bytes(outside.read_bytes())
    (folder / weights.INDEX).write_text(json.dumps({"weight_map": {"weight": "own.safetensors"}}))
    assert backbones.load(str(folder), "audio").weights


@pytest.mark.parametrize(
    "content", ["{}", '{"weight_map": []}', '{"weight_map": {}}', '{"weight_map": {"a": 3}}', "[1]", "{"]
)
def test_an_index_that_is_none_is_named(tmp_path, content):
    folder = checkpoint(tmp_path / "folder")
    (folder / "model.safetensors").unlink()
    (folder / weights.INDEX).write_text(content)
    assert weights.INDEX in str(refused(partial(backbones.load, str(folder), "audio")))


def test_a_shard_that_is_not_there_is_named(tmp_path):
    folder = checkpoint(tmp_path / "folder")
    index(folder, "gone.safetensors")
    refused(
        partial(backbones.load, str(folder), "audio"), code="missing", match="'gone.safetensors', which is not there"
    )


# --- The cache of the hub: files are links into its blobs


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """`hub(owner/name, folder)`: the folder as a hub id that is cached, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def cached(name, folder):
        place = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        commit = "0123456789abcdef" * 2 + "01234567"
        for part in ("refs", "blobs", f"snapshots/{commit}"):
            (place / part).mkdir(parents=True)
        (place / "refs" / "main").write_text(commit)
        for number, file in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
            (place / "blobs" / str(number)).write_bytes(file.read_bytes())
            link = place / "snapshots" / commit / file.relative_to(folder)
            link.symlink_to(f"../../blobs/{number}")
        return name, commit

    return cached


def test_a_cached_hub_id_is_the_folder_it_was_saved_as(tmp_path, hub):
    folder = checkpoint(tmp_path / "folder")
    before = backbones.load(str(folder), "audio").weights
    name, commit = hub("me/whole", folder)
    loaded = backbones.load(name, "audio")
    assert (loaded.weights, loaded.revision) == (before, commit)
    shard(folder, ["a.safetensors", "b.safetensors"])
    assert backbones.load(hub("me/parts", folder)[0], "audio").weights == before


@pytest.mark.parametrize("hide", [beside, in_disguise, indexed, indexed_in_disguise])
def test_no_hub_id_gets_a_pickle_read(tmp_path, trap, hub, hide):
    folder = checkpoint(tmp_path / "folder")
    hide(folder, trap)
    refused(partial(backbones.load, hub("me/trap", folder)[0], "audio"))


def test_timms_hub_weights_come_through_the_gate(tmp_path, trap, hub):
    import timm as library

    theirs = library.create_model("test_resnet", num_classes=1000)
    (tmp_path / "good").mkdir()
    save_file(theirs.state_dict(), tmp_path / "good" / "model.safetensors")
    hub("timm/test_resnet.r160_in1k", tmp_path / "good")
    network = images.load_image_backbone("timm:test_resnet.r160_in1k").network
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in network.state_dict().items())
    trap(tmp_path / "bad" / "pytorch_model.bin")
    hub("timm/test_vit.r160_in1k", tmp_path / "bad")
    refused(lambda: images.load_image_backbone("timm:test_vit.r160_in1k"), match="code beside it, which is never run")


def test_a_hub_id_that_asks_for_code_is_refused(tmp_path, hub):
    folder = checkpoint(tmp_path / "folder")
    rewrite(folder / "preprocessor_config.json", auto_map={"AutoFeatureExtractor": "code.Extractor"})
    refused(partial(backbones.load, hub("me/code", folder)[0], "audio"), match="'auto_map' asks for code of its own")


@pytest.mark.parametrize("from_hub", [False, True])
@pytest.mark.parametrize(
    ("kind", "reads", "name", "key", "class_name"),
    [
        ("bert", "text", "tokenizer_config.json", "tokenizer_class", "BertModel"),
        ("bert", "text", "tokenizer_config.json", "tokenizer_class", "AutoModel"),
        ("bert", "text", "config.json", "tokenizer_class", "BertModel"),
        ("bert", "text", "tokenizer_config.json", "tokenizer_class", "RagTokenizer"),
        ("wav2vec2", "audio", "preprocessor_config.json", "feature_extractor_type", "Wav2Vec2Model"),
        ("wav2vec2", "audio", "preprocessor_config.json", "feature_extractor_type", "AutoFeatureExtractor"),
        ("vit", "images", "preprocessor_config.json", "image_processor_type", "ViTModel"),
    ],
)
def test_a_network_is_no_preprocessing(tmp_path, trap, hub, from_hub, kind, reads, name, key, class_name):
    """transformers would load it by that name, with weights that nobody looked at."""
    folder = checkpoint(tmp_path / "folder", kind, reads)
    rewrite(folder / name, **{key: class_name})
    (folder / "model.safetensors").unlink()
    trap(folder / "pytorch_model.bin")
    place = hub("me/network", folder)[0] if from_hub else str(folder)
    refused(partial(backbones.load, place, reads), match=f"'{key}' is '{class_name}', which is not read as one")


def test_preprocessing_is_called_as_transformers_calls_it():
    from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES as EXTRACTORS
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES as PROCESSORS
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES as TOKENIZERS

    names = {
        "tokenizer_class": {*TOKENIZERS.values(), "PreTrainedTokenizerFast"} - {None, "RagTokenizer"},
        "feature_extractor_type": set(EXTRACTORS.values()),
        "image_processor_type": {name for by_backend in PROCESSORS.values() for name in by_backend.values() if name},
    }
    for key, classes in names.items():
        assert [name for name in classes if not re.fullmatch(configurations.CLASSES[key], name)] == []


@pytest.mark.parametrize("from_hub", [False, True])
def test_code_for_a_network_that_transformers_has_is_left_alone(tmp_path, hub, from_hub, caplog):
    folder = checkpoint(tmp_path / "folder")
    before = backbones.load(str(folder), "audio").weights
    rewrite(folder / "config.json", auto_map={"AutoConfig": "code.Config", "AutoModelForCTC": "me/other--code.Model"})
    (folder / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    loaded = backbones.load(hub("me/code", folder)[0] if from_hub else str(folder), "audio")
    assert loaded.weights == before and not (tmp_path / "ran").exists()
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning.endswith("which is never run: it is read as transformers' own wav2vec2")
    backbones.save(tmp_path / "saved", loaded.model, loaded.processor)
    assert "auto_map" not in json.loads((tmp_path / "saved" / "config.json").read_text())


@pytest.mark.parametrize(
    "values",
    [
        {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}},
        {"model_type": None, "auto_map": {"AutoConfig": "mine.Config"}},
        {"auto_map": {"AutoModel": "mine.Model", "AutoTokenizer": ["mine.Tokenizer", None]}},
        {"auto_map": "mine.Model"},
    ],
)
def test_code_that_a_checkpoint_needs_is_refused(tmp_path, values):
    folder = checkpoint(tmp_path / "folder")
    rewrite(folder / "config.json", **values)
    refused(partial(backbones.load, str(folder), "audio"), match="'auto_map' asks for code of its own")


# --- Configurations


def rewrite(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


REFUSED = [
    ("quantization_config", {"quant_method": "bitsandbytes", "load_in_8bit": True}),
    ("quantization_config", {"quant_method": "gptq", "bits": 4}),
    ("quantization_config", {"quant_method": "awq"}),
    ("compression_config", {"format": "dense"}),
    ("load_in_4bit", True),
    ("auto_map", {"AutoFeatureExtractor": "mine.Extractor"}),
    ("configuration_files", ["config.4.0.0.json"]),
    ("checkpoint_path", "../outside.pth"),
    ("backbone", "me/other"),
    ("repo_path", "me/other"),
    ("trust_remote_code", True),
    ("use_kernels", True),
    ("kernel_config", {"kernel_mapping": {"Linear": "me/layer"}}),
    ("attn_implementation", "me/attention"),
    ("_attn_implementation", "flash_attention_2"),
    ("_attn_implementation_internal", "me/attention:forward"),
    ("attn_implementation", {"": "sdpa", "vision_config": "me/attention"}),
    ("experts_implementation", "me/experts"),
    ("transformers_weights", "../outside.safetensors"),
]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(("key", "value"), REFUSED)
def test_what_a_configuration_may_not_ask_for_is_refused_by_its_key(tmp_path, key, value, deep):
    folder = checkpoint(tmp_path / "folder")
    rewrite(folder / "config.json", **({"encoder_config": [{key: value}]} if deep else {key: value}))
    error = refused(partial(backbones.load, str(folder), "audio"), match=f"cannot be loaded: '{key}' asks for ")
    assert error.file.endswith("config.json") and error.remedy


@pytest.mark.parametrize("name", ["preprocessor_config.json", "processor_config.json", "tokenizer_config.json"])
def test_code_is_refused_in_every_configuration(tmp_path, name):
    folder = checkpoint(tmp_path / "folder")
    (folder / name).touch()
    (folder / name).write_text('{"auto_map": {"AutoProcessor": "mine.Processor"}}')
    assert refused(partial(backbones.load, str(folder), "audio")).file.endswith(name)


def test_a_tokenizer_without_a_longest_text_is_read(tmp_path):
    """transformers writes the whole number 1e30 for it, which is beyond 64 bits."""
    folder = checkpoint(tmp_path / "folder", "bert", "text")
    rewrite(folder / "tokenizer_config.json", model_max_length=int(1e30))
    assert backbones.load(str(folder), "text").weights


def test_keys_that_ask_for_nothing_pass(tmp_path):
    folder = checkpoint(tmp_path / "folder")
    before = backbones.load(str(folder), "audio").weights
    nothing = {key: None for key, _ in REFUSED if key != "configuration_files"} | {
        "auto_map": {},
        "load_in_8bit": False,
        "use_kernels": False,
    }
    rewrite(folder / "config.json", **{**nothing, "attn_implementation": "sdpa"})
    assert backbones.load(str(folder), "audio").weights == before


@pytest.mark.parametrize("value", [0, -16000, 16000.5, "16000", True, 10**9])
def test_a_rate_that_no_recording_has_is_refused(tmp_path, value):
    folder = checkpoint(tmp_path / "folder")
    rewrite(folder / "preprocessor_config.json", sampling_rate=value)
    refused(partial(backbones.load, str(folder), "audio"), match="'sampling_rate' is .* no number from 1000 to 1000000")


@pytest.mark.parametrize(
    "values",
    [
        {"num_attention_heads": 0},
        {"hidden_size": "x"},
        {"hidden_size": 0},
        {"hidden_size": -32},
        {"hidden_size": 33},
        {"conv_stride": [0] * 7},
        {"conv_kernel": 3},
        {"hidden_act": "nothing"},
        {"num_hidden_layers": 10**6},
        {"hidden_size": 2**17, "num_attention_heads": 2**6},
        {"intermediate_size": 2**40},
        {"intermediate_size": 2**70},
        {"model_type": "nothing"},
        {"model_type": ["wav2vec2"]},
        {"architectures": 3},
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_is_one_line_and_takes_no_memory(tmp_path, values):
    folder = checkpoint(tmp_path / "folder")
    rewrite(folder / "config.json", **values)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if "architectures" in values:  # what is not looked at does no harm
        with pytest.raises((AffectkitError, TypeError)):
            backbones.load(str(folder), "audio")
    else:
        refused(partial(backbones.load, str(folder), "audio"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


# --- Networks of another size than their weights


VISION = [
    {"width": 16000, "layers": 24},
    {"image_size": 100_000},
    {"layers": 10**6},
    {"width": 2**70},
    {"width": -1},
    {"head_width": 0},
    {"patch_size": 0},
    {"layers": "two"},
    {"width": 64},
    {"layers": 3},
    {"nothing": 1},
]


def recipe_changed(folder, change):
    record = json.loads((folder / "backbone.json").read_text())
    change(record["recipe"])
    (folder / "backbone.json").write_text(json.dumps(record))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folders = {}
    for kind in ("open_clip", "timm"):
        folders[kind] = tmp_path_factory.mktemp(kind)
        images.load_image_backbone(f"tiny-random:{kind}").save(folders[kind])
    return folders


def copied(folder, target):
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


@pytest.mark.parametrize("change", VISION, ids=str)
def test_an_open_clip_recipe_of_another_size_takes_no_memory(tmp_path, saved, change):
    folder = copied(saved["open_clip"], tmp_path / "x")
    recipe_changed(folder, lambda recipe: recipe["vision_cfg"].update(change))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(partial(images.load, folder))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@pytest.mark.parametrize("name", ["vit_giant_patch14_clip_224", "vit_7b_patch16_dinov3", "resnet18"])
def test_a_timm_recipe_of_another_network_takes_no_memory(tmp_path, saved, name):
    folder = copied(saved["timm"], tmp_path / "x")
    recipe_changed(folder, lambda recipe: recipe.update(name=name))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(partial(images.load, folder))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@pytest.mark.parametrize("recipe", [{}, [], None, {"name": 3}, {"vision_cfg": 3, "embed_dim": 4}])
@pytest.mark.parametrize("kind", ["open_clip", "timm"])
def test_a_recipe_that_is_none_is_one_line(tmp_path, saved, kind, recipe):
    folder = copied(saved[kind], tmp_path / "x")
    rewrite(folder / "backbone.json", recipe=recipe)
    refused(partial(images.load, folder), match="backbone.json")


def test_the_head_of_a_speech_network_is_bounded_too(tmp_path):
    speech_network.build("tiny-random:wav2vec2", TARGETS).save(tmp_path / "made")
    rewrite(tmp_path / "made" / "config.json", classifier_proj_size=2**28)
    refused(partial(speech_network.load, tmp_path / "made", TARGETS), match="describes a network of over")


def test_an_image_of_a_size_that_no_network_sees_is_refused(tmp_path, saved):
    folder = copied(saved["timm"], tmp_path / "x")
    for file in ("preprocessing.json", "backbone.json"):
        data = json.loads((folder / file).read_text())
        (data if file == "preprocessing.json" else data["preprocessing"])["size"] = [10**5, 10**5]
        (folder / file).write_text(json.dumps(data))
    refused(partial(images.load, folder), match="cannot have size")


# --- Weights that are no numbers


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("name", MADE)
def test_weights_that_are_no_numbers_are_named(tmp_path, name, value):
    rooms = MADE[name]
    rooms.build(name, TARGETS).save(tmp_path / "made")
    file = max((tmp_path / "made").glob("*.safetensors"), key=lambda path: path.stat().st_size)
    tensors = load_file(file)
    key = max(tensors, key=lambda tensor: tensors[tensor].numel())
    tensors[key].view(-1)[-1] = value
    save_file(tensors, file)
    refused(partial(rooms.load, tmp_path / "made", TARGETS), match="holds what is no number: ")
