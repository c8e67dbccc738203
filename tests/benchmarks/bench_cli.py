"""`affectkit --help` against an app of one bare typer command."""

import statistics
import subprocess
import sys
import time

BARE = """
import typer
app = typer.Typer()
@app.command()
def hello(name: str = "you"):
    print(name)
@app.command()
def bye():
    pass
app(["--help"])
"""


def seconds(arguments):
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


def run():
    ours, bare = [], []
    for _ in range(15):  # alternating, so that a slow spell of the machine meets both
        bare.append(seconds(["-c", BARE]))
        ours.append(seconds(["-m", "affectkit", "--help"]))
    ratio = statistics.median(o / b for o, b in zip(ours, bare, strict=True))
    return [
        {
            "what": "affectkit --help",
            "ours": f"{statistics.median(ours) * 1000:.0f} ms",
            "peer": f"bare typer app {statistics.median(bare) * 1000:.0f} ms",
            "ratio": ratio,
            "target": "<= 1.6x",
            "ok": ratio <= 1.6,
        }
    ]
