"""Damaged media are decoded or refused in one line: no traceback, no hang, no memory beyond what was decoded before.

Run as a program, in a process of its own with a limit on memory, since what decodes is native code:
python tests/test_media_mutations.py FIRST LAST
"""

import io
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

COUNT = int(os.environ.get("AFFECTKIT_MUTATIONS", 600))
MEMORY = 2 << 30  # bytes beyond what the libraries take
SECONDS = 10  # for one file
VIDEOS = {".mp4", ".avi", ".mkv"}
SOUNDS = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".w64", ".rf64", ".au", ".caf"}


def test_damaged_media_are_decoded_or_refused():
    command = [sys.executable, __file__, "0", str(COUNT)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr[-3000:]}"
    assert result.stdout.startswith(f"{COUNT} files: ")


def samples():
    """Small media of every kind that can be written here, by their ending."""
    import numpy as np
    from PIL import Image

    sounds = {
        ".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS"), ".mp3": ("MP3", None),
        ".aiff": ("AIFF", "PCM_16"), ".w64": ("W64", "PCM_16"), ".gsm.wav": ("WAV", "GSM610"),
        ".adpcm.wav": ("WAV", "IMA_ADPCM"), ".float.wav": ("WAV", "FLOAT"), ".au": ("AU", "PCM_16"),
        ".caf": ("CAF", "PCM_16"), ".rf64": ("RF64", "PCM_16"), ".opus": ("OGG", "OPUS"),
    }  # fmt: skip
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8))
    deep = Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(40, 30) * 50)
    turned = Image.Exif()
    turned[0x0112] = 6
    pictures = {
        ".png": image, ".jpg": image, ".bmp": image, ".gif": image, ".tiff": image, ".webp": image,
        ".palette.png": image.convert("P"), ".alpha.png": image.convert("RGBA"), ".deep.png": deep,
        ".cmyk.jpg": image.convert("CMYK"), ".deep.tiff": deep, ".tall.png": image.resize((1, 6000)),
    }  # fmt: skip
    moving = {"save_all": True, "append_images": [image.rotate(90), image.rotate(180)]}
    media = {ending: recorded(*kind) for ending, kind in sounds.items()}
    media |= {ending: saved(picture, ending) for ending, picture in pictures.items()}
    media |= {f".moving{ending}": saved(image, ending, **moving) for ending in (".gif", ".webp", ".png", ".tiff")}
    media[".turned.jpg"] = saved(image, ".jpg", exif=turned)
    return media | videos(np.asarray(image))


def recorded(format_, subtype):
    import numpy as np
    import soundfile

    stream = io.BytesIO()
    soundfile.write(stream, 0.3 * np.sin(np.arange(8000) * 0.05), 8000, format=format_, subtype=subtype)
    return stream.getvalue()


def saved(picture, ending, **options):
    from PIL import Image

    stream = io.BytesIO()
    picture.save(stream, Image.registered_extensions()[Path(ending).suffix or ending], **options)
    return stream.getvalue()


def videos(picture):
    """Videos of a second, where OpenCV is installed, which writes and reads them."""
    try:
        import cv2
    except ImportError:
        return {}
    media = {}
    with tempfile.TemporaryDirectory() as folder:
        for ending, codec in ((".mp4", "mp4v"), (".avi", "MJPG"), (".mkv", "MJPG")):
            path = Path(folder) / f"video{ending}"
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), 10, (64, 48))
            for turn in range(1, 11):
                writer.write(cv2.resize(picture, (64, 48)) // turn)
            writer.release()
            media[ending] = path.read_bytes()
    return media


def damaged(data, rng):
    """The bytes of a file after an accident: cut, doubled, or changed, mostly where headers are."""
    kind = rng.choice(["bytes", "bytes", "bytes", "words", "cut", "longer"])
    changed = bytearray(data)
    if kind == "cut":
        return bytes(changed[: rng.randrange(len(data))])
    if kind == "longer":
        return data + data[: rng.randrange(len(data))]
    end = 64 if rng.random() < 0.7 else len(data)
    for _ in range(rng.choice([1, 2, 8])):
        place = rng.randrange(min(end, len(data) - 4))
        if kind == "words":
            changed[place : place + 4] = rng.choice(
                [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80"]
            )
        else:
            changed[place] = rng.randrange(256)
    return bytes(changed)


def problem_of(path):
    """What a damaged file does that it should not; None for a decoded file and for a refusal."""
    import numpy as np

    from affectkit.errors import AffectkitError
    from affectkit.media import read_audio, read_frames, read_header, read_image, read_image_header

    try:
        if path.suffix in VIDEOS:
            return None if all(frame.image.shape[2] == 3 for frame in read_frames(path, fps=5)) else "no RGB"
        sound = path.suffix in SOUNDS
        header = (read_header if sound else read_image_header)(path)
        if sound and not 0 <= header.duration < 3600:
            return f"a duration of {header.duration:g} s for {path.stat().st_size} bytes"
        values = read_audio(path)[0] if sound else read_image(path)
    except AffectkitError as refusal:
        return "a refusal of several lines" if "\n" in str(refusal) else None
    return None if np.isfinite(values).all() else "values that are not finite"


def main(first, last):
    import numpy  # noqa: F401  before the limit

    from affectkit.media import read_audio  # noqa: F401
    from affectkit.media.images import read_image  # noqa: F401

    media = samples()
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, last):
            rng = random.Random(seed)
            ending = rng.choice(sorted(media))
            path = Path(folder) / f"{seed}{ending}"
            path.write_bytes(damaged(media[ending], rng))
            print(f"seed {seed}: {path.name}", file=sys.stderr, flush=True)  # the last one is what killed the process
            signal.alarm(SECONDS)
            try:
                problem = problem_of(path)
            except BaseException as error:
                problem = f"{type(error).__name__}: {error}"
            signal.alarm(0)
            if problem:
                problems.append(f"seed {seed}{ending}: {problem}")
            path.unlink()
    print(f"{last - first} files: {len(problems)} problems", *problems, sep="\n")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
