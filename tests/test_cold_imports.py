"""What is imported before any work is asked for, in one process of its own: help must not wait for what is heavy."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "pandas", "sklearn", "matplotlib", "accelerate", "datasets", "opensmile", "cv2"}
HEAVY |= {"faster_whisper", "ctranslate2", "jiwer", "pyarrow", "timm", "open_clip", "scipy", "PIL", "soundfile"}
HEAVY |= {"fastapi", "uvicorn", "prometheus_client"}
LIGHT = {"numpy"}  # which plug-ins may ask for at their top, and the app itself may not
KINDS = ("corpora", "detectors", "encoders", "estimators", "experts", "media", "methods", "rules", "transcribers")
SCRIPT = f"""
import json, sys

steps, seen = {{}}, set()

def step(name):
    new = {HEAVY | LIGHT!r} & set(sys.modules) - seen
    seen.update(new)
    steps[name] = sorted(new)

from affectkit.cli import build
step("the command line")
from typer.testing import CliRunner
CliRunner().invoke(build(""), ["--help"])
step("help")
import affectkit.media
step("media")
from affectkit import registry
for kind, factory in {{**dict.fromkeys({KINDS!r}, "build"), "corpora": "read"}}.items():
    for name in registry.names(kind):
        module = registry.load(kind, name)
        registry.options(getattr(module, factory, lambda: None))
        step(f"{{kind}} {{name}}")
for command in registry.names("commands"):
    result = CliRunner().invoke(build(command), [command, "--help"])
    assert result.exit_code == 0, result.output
    step(f"{{command}} --help")
print(json.dumps(steps))
"""


@pytest.fixture(scope="module")
def imported():
    """{step: what it was the first to import}."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_command_line_and_its_help_wait_for_nothing(imported):
    assert imported["the command line"] == imported["help"] == []


def test_media_are_opened_by_what_they_need(imported):
    assert not set(imported["media"]) & {"PIL", "cv2"}


def test_neither_plug_ins_nor_the_help_of_commands_need_what_is_heavy(imported):
    assert len(imported) > 60
    assert {step: new for step, new in imported.items() if set(new) & HEAVY} == {}
