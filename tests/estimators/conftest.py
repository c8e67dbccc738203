"""A fit that is killed again and again."""

import pytest


class Killed(Exception):
    pass


def dying(after):
    """What a fit tells its progress to, which kills it when it is told for the time after that."""
    left = iter(range(after))

    def say(note):
        if next(left, None) is None:
            raise Killed

    return say


@pytest.fixture
def killed_and_resumed(tmp_path):
    """`killed_and_resumed(fit)`: the history and the files of `fit(folder, say)` unbroken, the same after three kills,
    and all that was said on the way."""

    def run(fit):
        def model(folder, say):
            made = fit(folder, say)
            made.save(folder / "model")
            return made.history, {path.name: path.read_bytes() for path in sorted((folder / "model").iterdir())}

        said = []
        whole = model(tmp_path / "whole", said.append)
        for after in (3, len(said) // 3, len(said) // 4):  # inside an epoch, in another fold, in the final fit
            with pytest.raises(Killed):
                model(tmp_path / "killed", dying(after))
        return whole, model(tmp_path / "killed", lambda note: None), said

    return run
