import numpy as np
import pytest
import torch
from scipy.special import expit, logsumexp

from affectkit.models.cumulative_link import LEAST_GAP, CumulativeLink, log_shares
from affectkit.training.losses import cross_entropy


def link(dim=3, levels=4, shares=None, seed=0):
    torch.manual_seed(seed)
    return CumulativeLink(dim, levels, shares)


def by_scipy(score, thresholds):
    """Differences of sigmoids in float64, which are exact to 1e-12 where the score is near the thresholds."""
    ends = np.concatenate([[-np.inf], thresholds, [np.inf]])
    return np.diff(expit(ends[None] - score[:, None]), axis=1)


def test_probabilities_are_differences_of_sigmoids():
    thresholds = np.array([-1.5, -0.2, 2.0])
    score = np.linspace(-6, 6, 25)
    mine = log_shares(torch.tensor(score)[:, None], torch.tensor(thresholds), torch.tensor(np.diff(thresholds)))
    np.testing.assert_allclose(mine.exp().numpy(), by_scipy(score, thresholds), rtol=1e-9)


@pytest.mark.parametrize("far", [0.0, 20.0, 80.0, 1e3, 1e6])
@pytest.mark.parametrize("sign", [-1, 1])
def test_far_scores_keep_their_logarithms_and_slopes_in_float32(far, sign):
    head = link()
    states = torch.zeros(1, 3)
    states[0, 0] = sign * far
    with torch.no_grad():
        head.score.weight.copy_(torch.tensor([[1.0, 0.0, 0.0]]))
    logs = head(states)
    thresholds = head.thresholds.detach().double().numpy()
    a, b = np.append(thresholds, np.inf), np.insert(thresholds, 0, -np.inf)
    # log(sigmoid(a - s) - sigmoid(b - s)) of 64 bits, from log sigmoids: no end of a level cancels the other.
    upper, lower = -np.logaddexp(0, sign * far - a), -np.logaddexp(0, sign * far - b)
    with np.errstate(invalid="ignore", divide="ignore"):
        tail = -np.logaddexp(0, b - sign * far)  # the mirrored way, exact where both sigmoids are near 1
        right = -np.logaddexp(0, a - sign * far)
        direct = upper + np.log1p(-np.exp(lower - upper))
        mirrored = tail + np.log1p(-np.exp(right - tail))
    expected = np.where(sign * far > 0, direct, mirrored)
    np.testing.assert_allclose(logs.detach().numpy()[0], expected, rtol=2e-5, atol=1e-6)
    for level in range(4):
        head.zero_grad()
        cross_entropy(head(states), torch.tensor([level])).backward()
        assert all(bool(p.grad.isfinite().all()) for p in head.parameters())


def test_they_are_their_own_softmax_and_every_parameter_has_a_slope():
    head, states = link(), torch.randn(32, 3, generator=torch.Generator().manual_seed(1))
    logs = head(states)
    np.testing.assert_allclose(logsumexp(logs.detach().double().numpy(), axis=1), 0, atol=1e-5)
    torch.testing.assert_close(logs.softmax(dim=1), logs.exp())
    truth = torch.arange(32) % 4
    cross_entropy(logs, truth, torch.tensor([0.5, 1.0, 2.0, 1.0])).backward()
    assert all(bool((p.grad != 0).all()) for p in head.parameters())


def test_the_cross_entropy_is_the_weighted_likelihood():
    head, states = link(levels=3), torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    truth, weights = torch.arange(12) % 3, torch.tensor([0.5, 1.0, 3.0])
    chances = by_scipy(head.score(states).detach().double().numpy()[:, 0], head.thresholds.detach().double().numpy())
    of_rows = weights[truth].double().numpy()
    expected = -np.sum(of_rows * np.log(chances[np.arange(12), truth])) / of_rows.sum()
    assert float(cross_entropy(head(states), truth, weights)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shares", [None, [0.7, 0.2, 0.05, 0.05], [1, 1, 1, 1e-9]])
def test_a_score_of_zero_has_the_shares_that_it_starts_from(shares):
    head = link(shares=shares)
    started = head(torch.zeros(1, 3)).exp().detach().numpy()[0]
    known = np.full(4, 0.25) if shares is None else np.array(shares) / sum(shares)
    np.testing.assert_allclose(started, known, atol=1e-4)
    assert bool((head.thresholds.diff() > 0).all())


def test_thresholds_rise_however_far_training_squeezes_a_level_that_no_row_has():
    head = link()
    optimizer, states = torch.optim.SGD(head.parameters(), lr=5.0), torch.zeros(8, 3)
    for _ in range(500):
        optimizer.zero_grad()
        cross_entropy(head(states), torch.tensor([0, 3] * 4)).backward()
        optimizer.step()
    assert bool(head(states).isfinite().all()) and bool((head.gaps >= LEAST_GAP).all())
    assert float(head(states).exp()[0, 1:3].sum()) < 0.02


def test_two_levels_are_a_logistic_regression():
    head, states = link(levels=2), torch.randn(6, 3)
    np.testing.assert_allclose(
        head(states)[:, 1].exp().detach(), expit((head.score(states)[:, 0] - head.thresholds[0]).detach()), rtol=1e-5
    )


def test_reversed_levels_begin_with_mirrored_thresholds():
    shares = [0.5, 0.3, 0.1, 0.1]
    forth, back = link(shares=shares).thresholds, link(shares=shares[::-1]).thresholds
    torch.testing.assert_close(forth, -back.flip(0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shares", [[1.0, 0.0], [1.0], [1.0, float("nan")]])
def test_shares_that_make_no_sense(shares):
    with pytest.raises(ValueError, match="positive"):
        CumulativeLink(3, 2, shares)
    with pytest.raises(ValueError, match="no threshold"):
        CumulativeLink(3, 1)
