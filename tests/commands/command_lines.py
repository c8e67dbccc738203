"""Command lines where fixtures of a module run them, which cannot have the fixture `affectkit`."""

from typer.testing import CliRunner

from affectkit.cli import app


def ran(*line, code=0):
    """A command line in this process; its output."""
    done = CliRunner().invoke(app, [str(word) for word in line])
    assert done.exit_code == code, (done.output, done.exception)
    return done.output
