"""The files of the synthetic Hugging Face dataset."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from affectkit.synthesis import scores, texts, twins
from affectkit.synthesis.voices import Voice


def write(root: Path, voices: Mapping[str, Voice], size: int, seed: int) -> None:
    """Record, and save each split as an Arrow file; no speaker is in two splits."""
    import datasets
    import pyarrow

    from affectkit.corpora.huggingface import no_bars

    features = datasets.Features(
        audio=datasets.Audio(sampling_rate=16000, decode=False),
        label=datasets.ClassLabel(names=list(twins.FOUR)),
        text=datasets.Value("string"),
        speaker=datasets.Value("string"),
        sex=datasets.Value("string"),
        valence=datasets.Value("float32"),
        arousal=datasets.Value("float32"),
    )
    examples: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
    dealt = twins.deal(size, list(voices), dict.fromkeys(twins.FOUR, 1.0))
    for index, (speaker, label) in enumerate(dealt):
        part = twins.part_of(list(voices).index(speaker)).replace("val", "validation")
        examples[part].append(_example(index, speaker, label, voices[speaker], seed))
    filled = {part: items for part, items in examples.items() if items}
    for part, items in filled.items():
        table = pyarrow.Table.from_pylist(items, schema=features.arrow_schema)
        # a fingerprint of its own would be random, and the same seed shall give the same bytes
        data = datasets.Dataset(
            table, info=datasets.DatasetInfo(features=features), fingerprint=f"synthetic-{seed}-{part}"
        )
        with no_bars():
            data.save_to_disk(str(root / part))
    (root / "dataset_dict.json").write_text(json.dumps({"splits": list(filled)}), encoding="utf-8")


def _example(index: int, speaker: str, label: str, voice: Voice, seed: int) -> dict[str, Any]:
    rng = twins.generator(seed, "huggingface", index)
    intensity = scores.draw_intensity(rng)
    affect = scores.draw_affect(label, intensity, rng)
    text, name = texts.sentence(affect, rng), f"{speaker}_{index:04d}.wav"
    with tempfile.TemporaryDirectory() as folder:
        twins.record(Path(folder) / name, voice, label, text, rng, intensity=intensity)
        data = (Path(folder) / name).read_bytes()
    valence, arousal = (sum(r) / len(r) for r in zip(*scores.rate(affect[:2], (1, 5), rng), strict=True))
    return {
        "audio": {"bytes": data, "path": name},
        "label": twins.FOUR.index(label),
        "text": text,
        "speaker": speaker,
        "sex": voice.sex,
        "valence": valence,
        "arousal": arousal,
    }
