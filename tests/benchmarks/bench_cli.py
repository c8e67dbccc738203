"""Help against an app of two bare typer commands: `affectkit --help`, and that of the slowest subcommands."""

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
app()
"""
SUBCOMMANDS = ("prepare-manifest", "fuse", "ablate")  # of all, the slowest three


def seconds(arguments):
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments, "--help"], check=True, capture_output=True)
    return time.perf_counter() - began


def row(words, bare_words, most):
    ours, bare = [], []
    for _ in range(15):  # alternating, so that a slow spell of the machine meets both
        bare.append(seconds(["-c", BARE, *bare_words]))
        ours.append(seconds(["-m", "affectkit", *words]))
    ratio = statistics.median(o / b for o, b in zip(ours, bare, strict=True))
    return {
        "what": " ".join(["affectkit", *words, "--help"]),
        "ours": f"{statistics.median(ours) * 1000:.0f} ms",
        "peer": f"{' '.join(['bare typer app', *bare_words])} {statistics.median(bare) * 1000:.0f} ms",
        "ratio": ratio,
        "target": f"<= {most}x",
        "ok": ratio <= most,
    }


def run():
    return [row([], [], 1.6), *(row([name], ["hello"], 2.2) for name in SUBCOMMANDS)]
