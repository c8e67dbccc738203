"""`affectkit extract-features` as it is used: several processes, killed and resumed, bad files."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from affectkit.artifacts.features import read_features

FRAMES = ("--encoder", "opensmile", "--feature-level", "lld")  # 32 rows a shard
TINY = ("--encoder", "hf-audio", "--checkpoint", "tiny-random:wav2vec2")


def files(folder):
    """Every file's bytes, records apart: they hold times."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in ("run.json", "started.json")}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A manifest of 130 clips, five shards of frames."""
    import soundfile

    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    rows = ["id,path,duration_sec"]
    for clip in range(130):
        length = int(rng.uniform(0.1, 0.3) * 16000)
        soundfile.write(folder / f"{clip}.wav", 0.1 * rng.standard_normal(length), 16000)
        rows.append(f"c{clip},{clip}.wav,{length / 16000}")
    (folder / "all.csv").write_text("\n".join(rows) + "\n")
    return folder / "all.csv"


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """The frames of the corpus, by one uninterrupted process."""
    from typer.testing import CliRunner

    from affectkit.cli import app

    folder = tmp_path_factory.mktemp("whole") / "f"
    result = CliRunner().invoke(app, ["extract-features", "-m", str(corpus), *FRAMES, "-o", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


def test_it_prints_the_folder_and_records_what_it_did(affectkit, corpus, tmp_path):
    result = affectkit("extract-features", "-m", corpus, *TINY, "--num-workers", 2, "--json", "-o", tmp_path / "f")
    facts = json.loads(result.stdout)
    assert facts["path"] == str(tmp_path / "f") and facts["rows"] == 130 and facts["skipped"] == 0
    record = json.loads((tmp_path / "f" / "run.json").read_text())
    assert record["device"] == "cpu" and len(record["outputs"]) == 3
    encoder = json.loads((tmp_path / "f" / "encoder.json").read_text())
    assert encoder["schema"] == 1 and encoder["tiny_random"] is True
    assert encoder["options"]["checkpoint"] == "tiny-random:wav2vec2" and encoder["options"]["pool"] == "mean"
    assert read_features(tmp_path / "f").matrix(["c129", "c0"]).shape == (2, 32)


@pytest.mark.parametrize(
    "options",
    [
        ("--num-workers", "0", "--batch-seconds", "0.5"),
        pytest.param(("--num-workers", "5"), marks=pytest.mark.slow),
        pytest.param(("--batch-seconds", "0.5"), marks=pytest.mark.slow),
    ],
)
def test_the_same_bytes_again_with_any_workers_and_batches(affectkit, corpus, whole, tmp_path, options):
    affectkit("extract-features", "-m", corpus, *FRAMES, *options, "-o", tmp_path / "f")
    assert files(tmp_path / "f") == files(whole)


@pytest.mark.slow
def test_killed_it_goes_on_with_resume(affectkit, corpus, whole, tmp_path):
    folder = tmp_path / "f"
    command = [sys.executable, "-m", "affectkit", "extract-features", "-m", corpus, *FRAMES, "-o", folder]
    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(list(folder.glob("features-*"))) < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = len(list(folder.glob("features-*")))
    assert 2 <= left < 5 and not (folder / "run.json").exists(), process.stderr.read()
    affectkit("extract-features", "-m", corpus, *FRAMES, "-o", folder, code=1)
    affectkit("extract-features", "-m", corpus, *FRAMES, "-o", folder, "--resume")
    assert files(folder) == files(whole)
    before = (folder / "run.json").read_bytes()
    affectkit("extract-features", "-m", corpus, *FRAMES, "-o", folder, "--resume")
    assert (folder / "run.json").read_bytes() == before


def launch(*arguments, processes=2):
    """`accelerate launch` on CPUs, where it starts several processes only with --multi_gpu."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--multi_gpu", "--num_processes", processes, "--num_machines", 1, "--mixed_precision", "no"]
    options += ["--dynamo_backend", "no", "--main_process_port", port, "-m", "affectkit"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *options, "extract-features", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [str(part) for part in command]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=110, check=False)


@pytest.mark.processes
def test_two_processes_give_what_one_gives(affectkit, corpus, tmp_path):
    options = ("-m", corpus, *TINY, "--pool", "none", "--device", "cpu")
    affectkit("extract-features", *options, "-o", tmp_path / "one")
    done = launch(*options, "-o", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "two")  # once
    assert json.loads((tmp_path / "two" / "run.json").read_text())["notes"]["processes"] == 2
    one, two = read_features(tmp_path / "one"), read_features(tmp_path / "two")
    assert one.ids == two.ids and one.encoder == two.encoder
    for first, second in zip(one.frames(one.ids), two.frames(one.ids), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-5)


@pytest.mark.processes
def test_one_failing_process_ends_them_all(corpus, tmp_path):
    rows = corpus.read_text().splitlines()
    rows[40] = "c39,missing.wav,0.2"  # in the second shard, so of rank 1
    (corpus.parent / "bad.csv").write_text("\n".join(rows) + "\n")
    done = launch("-m", corpus.parent / "bad.csv", *FRAMES, "-o", tmp_path / "f", "--device", "cpu")
    assert done.returncode != 0
    assert "bad.csv row 40: " in done.stderr and "missing.wav: no such file" in done.stderr
    assert not (tmp_path / "f" / "run.json").exists()


@pytest.fixture
def broken(corpus):
    """A manifest with two bad files among four."""
    folder = corpus.parent
    (folder / "empty.wav").write_bytes(b"")
    (folder / "pointer.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (folder / "broken.csv").write_text("id,path\na,0.wav\nb,empty.wav\nc,pointer.wav\nd,1.wav\n")
    return folder / "broken.csv"


@pytest.mark.parametrize("encoder", [FRAMES, TINY])
def test_a_bad_file_stops_with_its_row(affectkit, broken, tmp_path, encoder):
    result = affectkit("extract-features", "-m", broken, *encoder, "-o", tmp_path / "f", code=1)
    assert "broken.csv row 2: " in result.stderr and "empty.wav: is empty (0 bytes)" in result.stderr
    assert "--on-error skip" in result.stderr
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("encoder", [FRAMES, TINY])
def test_bad_files_are_skipped_into_a_table(affectkit, broken, tmp_path, encoder):
    result = affectkit("extract-features", "-m", broken, *encoder, "--on-error", "skip", "-o", tmp_path / "f")
    assert "2 rows skipped" in result.stderr
    skipped = pd.read_csv(tmp_path / "f" / "skipped.csv")
    assert list(skipped["id"]) == ["b", "c"]
    assert skipped["reason"][0].endswith("empty.wav: is empty (0 bytes)") and "LFS" in skipped["reason"][1]
    assert read_features(tmp_path / "f").ids == ["a", "d"]


def test_segments_without_durations_are_planned_from_headers(affectkit, corpus, tmp_path):
    manifest = corpus.parent / "segments.csv"
    manifest.write_text("id,path,start_sec,end_sec\na,0.wav,,\nb,0.wav,0.02,0.1\nc,0.wav,0.05,\n")
    affectkit("extract-features", "-m", manifest, *FRAMES, "-o", tmp_path / "f")
    lengths = [len(frames) for frames in read_features(tmp_path / "f").frames(["a", "b", "c"])]
    assert lengths[1] < lengths[2] < lengths[0]


def test_texts_of_a_manifest(affectkit, tmp_path):
    (tmp_path / "t.csv").write_text("id,text,split\na,None,train\nb,I see.,test\n")
    affectkit("extract-features", "-m", tmp_path / "t.csv", "--encoder", "text-ngrams", "-o", tmp_path / "f")
    features = read_features(tmp_path / "f")
    assert features.sparse and features.matrix(["a", "b"]).shape == (2, 2 * 2**18)
    options = ("--encoder", "hf-text", "--checkpoint", "tiny-random:bert", "--split", "test")
    affectkit("extract-features", "-m", tmp_path / "t.csv", *options, "-o", tmp_path / "g")
    assert read_features(tmp_path / "g").ids == ["b"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--encoder", "opensmil"), 2, "there is no encoder 'opensmil'; did you mean opensmile or open-clip?"),
        (("--encoder", "opensmile", "--pool", "mean"), 2, "opensmile has no option --pool"),
        (("--encoder", "hf-audio"), 2, "hf-audio needs a --checkpoint"),
        (("--encoder", "hf-audio", "--checkpoint", "no/such-model"), 1, "'no/such-model' is not in the local cache"),
        (("--encoder", "text-ngrams"), 1, "has no column 'text'"),
        (("--encoder", "opensmile", "--on-error", "ignore"), 2, "stop"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(affectkit, corpus, tmp_path, options, code, message):
    result = affectkit("extract-features", "-m", corpus, *options, "-o", tmp_path / "f", code=code)
    assert message in result.stderr
    assert not (tmp_path / "f").exists()


def test_a_users_own_encoder_is_taken_from_the_command_line(affectkit, corpus, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "lengths.py").write_text(
        "from collections import Counter\n"
        "import numpy as np\n"
        "from affectkit.media import read_audio\n"
        "class Lengths:\n"
        "    name, reads, column, pooled, on_device = 'mine.lengths', 'audio', 'path', True, False\n"
        "    options, counts, feature_names = {}, Counter(), ['samples']\n"
        "    def load(self, device): pass\n"
        "    def describe(self): return {'dim': 1}\n"
        "    def prepare(self, item): return len(read_audio(item.path)[0])\n"
        "    def encode(self, prepared): return [np.array([n], 'float32') for n in prepared]\n"
        "def build(): return Lengths()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    affectkit("extract-features", "-m", corpus, "--encoder", "mine.lengths", "-o", tmp_path / "f")
    features = read_features(tmp_path / "f")
    assert features.names == ["samples"] and 1600 <= features.matrix(["c0"])[0, 0] <= 4800
