"""Schedules against transformers' and torch's own, and against what fastai's fit_one_cycle recorded."""

import json
import math
from dataclasses import asdict

import pytest
import torch
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from affectkit.training.schedules import Plateau, factor, momentum, warmup_steps
from affectkit.training.state import State

# Rates and momenta of `Learner.fit_one_cycle(1, 1.0)` of fastai 2.8.12 with 7 and 10 batches, and of 10 with
# pct_start=.4. fastai cuts the cycle in float32.
FASTAI_CYCLES = {
    (7, 0.0): (
        [0.04, 0.6268100859, 0.9944154653, 0.8665272699, 0.6112643022, 0.3173362813, 0.08688973399],
        [0.95, 0.8888739494, 0.8505584591, 0.8633474065, 0.8888739585, 0.9182670545, 0.9413119397],
    ),
    (10, 0.0): (
        [0.04, 0.3716718512, 0.9083281679, 0.9890739036, 0.9045094494]
        + [0.7500024865, 0.5522686593, 0.3454981013, 0.1654430239, 0.04323687191],
        [0.95, 0.9154508488, 0.8595491492, 0.8510926206, 0.8595491506]
        + [0.8750000014, 0.8947735818, 0.9154508444, 0.9334565322, 0.9456772696],
    ),
    (10, 0.4): (
        [0.04, 0.1805887450, 0.52, 0.8594112550, 1.0]
        + [0.9330133796, 0.7500024865, 0.5000050936, 0.2500075541, 0.06699669065],
        [0.95, 0.9353553391, 0.9, 0.8646446609, 0.85]
        + [0.8566987290, 0.8750000014, 0.8999999906, 0.9249999946, 0.9433012639],
    ),
}


def rates(schedule, total, share):
    warmup = warmup_steps(schedule, share, total)
    return [factor(schedule, step, total, warmup) for step in range(total)]


def transformers_rates(make, total, *arguments):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer, *arguments)
    found = []
    for _ in range(total):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(("total", "share"), [(20, 0.0), (20, 0.1), (37, 0.25), (7, 0.5), (3, 0.9), (1, 0.0), (1, 0.1)])
def test_linear_cosine_and_constant_are_transformers(total, share):
    warm = warmup_steps("linear", share, total)
    assert warm == math.ceil(total * share) == warmup_steps("cosine", share, total)
    linear = transformers_rates(get_linear_schedule_with_warmup, total, warm, total)
    cosine = transformers_rates(get_cosine_schedule_with_warmup, total, warm, total)
    constant = transformers_rates(get_constant_schedule_with_warmup, total, warm)
    assert rates("linear", total, share) == pytest.approx(linear, abs=1e-12)
    assert rates("cosine", total, share) == pytest.approx(cosine, abs=1e-12)
    assert rates("constant", total, share) == rates("plateau", total, share) == pytest.approx(constant, abs=1e-12)


def test_warm_up_steps_are_rounded_as_the_trainer_rounds_them(tmp_path):
    from transformers import TrainingArguments

    for share, total in ((0.07, 100), (0.1, 15), (0.33, 10)):
        arguments = TrainingArguments(output_dir=str(tmp_path), warmup_steps=share, use_cpu=True, report_to=[])
        assert warmup_steps("linear", share, total) == arguments.get_warmup_steps(total)


@pytest.mark.parametrize(("total", "share"), FASTAI_CYCLES)
def test_one_cycle_is_fastais(total, share):
    expected_rates, expected_momenta = FASTAI_CYCLES[total, share]
    warmup = warmup_steps("one-cycle", share, total)
    assert rates("one-cycle", total, share) == pytest.approx(expected_rates, abs=1e-6)
    momenta = [momentum("one-cycle", step, total, warmup) for step in range(total)]
    assert momenta == pytest.approx(expected_momenta, abs=1e-6)


def test_one_cycle_is_torchs_where_the_two_are_cut_alike():
    """torch's warm-up ends at step .3 * 21 - 1 = 5.3 and the cycle at step 20; its last rate is the first's share."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=21, pct_start=0.3, div_factor=25, final_div_factor=1e5 / 25
    )
    for step in range(20):
        group = optimizer.param_groups[0]
        assert factor("one-cycle", step, 20, 5.3) == pytest.approx(group["lr"], abs=1e-12)
        assert momentum("one-cycle", step, 20, 5.3) == pytest.approx(group["momentum"], abs=1e-12)
        optimizer.step()
        cycle.step()


def test_a_single_step_of_a_cycle():
    assert rates("one-cycle", 1, 0.0) == [1 / 25]


def test_only_one_cycle_moves_the_momentum():
    assert [momentum(name, 3, 10, 2) for name in ("linear", "cosine", "constant", "plateau")] == [None] * 4


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("patience", [1, 2, 3])
def test_plateau_is_torchs_with_the_patience_counted_from_one(patience, higher):
    """torch's patience is the number of bad epochs that it still puts up with, one less than ours."""
    values = [3.0, 4.0, 4.0, 3.9, 4.05, 4.0, 3.0, 3.5, 4.1, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]
    values = values if higher else [-value for value in values]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    options = {"patience": patience - 1, "threshold": 0.1, "threshold_mode": "abs", "eps": 0.0}
    mode = "max" if higher else "min"
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode, factor=0.1, **options)
    ours = Plateau(patience=patience, min_delta=0.1)
    for value in values:
        theirs.step(value)
        assert ours.step(value, higher) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
    assert ours.factor <= 0.1


def test_a_plateau_goes_on_where_its_state_was_stored():
    whole, half = Plateau(patience=2), Plateau(patience=2)
    values = [0.5, 0.6, 0.55, 0.6, math.nan, 0.7, 0.1, 0.2]
    for value in values[:3]:
        half.step(value, True)
    half = Plateau(**json.loads(json.dumps(asdict(half))))
    assert [whole.step(value, True) for value in values][3:] == [half.step(value, True) for value in values[3:]]
    assert whole == half and whole.factor == 0.01


def test_a_nan_is_no_improvement_even_as_the_first_value():
    plateau = Plateau(patience=1)
    assert plateau.step(math.nan, False) == 0.1 and plateau.best is None
    assert plateau.step(2.0, False) == 0.1 and plateau.best == 2.0


def test_an_empty_state_is_that_before_the_first_epoch():
    assert Plateau(**State().plateau) == Plateau()
