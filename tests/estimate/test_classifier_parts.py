import pytest
import torch
from torch.nn.functional import cross_entropy

from ibprobe.estimate.classifier.discriminant import fit_discriminants, moments, shrinkage
from ibprobe.estimate.classifier.folds import plan
from ibprobe.estimate.classifier.network import Networks, Task, train
from ibprobe.estimate.classifier.weights import Priors, fit_trust


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(n=400, d=3, classes=3):
    y = torch.arange(n) % classes
    return torch.randn(n, d, generator=generator()) * (1 + y[:, None]) + y[:, None], y


def whole(t, y):
    return moments(t[None], y, int(y.max()) + 1, torch.zeros(len(y), dtype=torch.long), 1)


def test_leaving_folds_out_equals_a_fit_without_their_rows():
    t, y = rows()
    fold = torch.arange(400) // 50
    sums = moments(t[None], y, 3, fold, 8)
    left_out = torch.zeros(1, 8, dtype=torch.float64)
    left_out[0, [2, 5]] = 1
    kept = (fold != 2) & (fold != 5)
    downdated = fit_discriminants(sums.without(left_out), 0.01).scores(0, t[None])
    fresh = fit_discriminants(whole(t[kept], y[kept]), 0.01).scores(0, t[None])
    assert torch.allclose(downdated, fresh, atol=1e-4)  # sums in another order


def test_discriminants_agree_with_the_densities_of_gaussian_classes():
    t, y = rows(60_000)
    linear, curved = fit_discriminants(whole(t, y), 1e-6).scores(0, t[None, :500])[:, 0]
    spread = torch.arange(1.0, 4.0)
    log_density = -0.5 * ((t[:500, None] - torch.arange(3.0)[:, None]) / spread[:, None]).square().sum(2)
    log_density -= 3 * spread.log()
    error = ((linear + curved).log_softmax(1) - log_density.log_softmax(1)).exp()
    # 20,000 rows a class leave a few per cent in the densities, more in the tails.
    assert float((error.log().abs() * log_density.softmax(1)).sum(1).mean()) < 0.03


@pytest.mark.parametrize(("correlated", "rho"), [(False, 1.0), (True, 1e-2)])
def test_shrinkage_is_full_for_a_round_cloud_and_small_for_a_stretched_one(correlated, rho):
    t = torch.randn(500, 20, generator=generator())
    t = t * torch.logspace(-3, 0, 20) if correlated else t
    found = shrinkage(moments(t[None], torch.arange(500) % 2, 2, torch.arange(500) % 8, 8))
    assert found <= rho if correlated else found == rho


def test_no_fit_sees_what_it_reads():
    y = torch.randint(4, (500,), generator=generator())
    folds = plan(torch.arange(500) % 2, y, generator(1))
    coarse, fine = folds.number
    owner = torch.arange(fine) // (fine // coarse)
    assert bool((folds.coarse == owner[folds.fine]).all())
    assert torch.equal(folds.left_out[1 : 1 + fine], torch.eye(fine, dtype=torch.float64))
    for c in range(coarse):
        for f in (owner != c).nonzero()[:, 0].tolist():
            marks = folds.left_out[folds.inner[c, f]]
            assert marks[f] == 1
            assert bool((marks[owner == c] == 1).all())
            assert marks.sum() < fine // 2


def test_fine_folds_lie_within_given_ones_and_share_every_class():
    y, given = torch.arange(400) % 4, torch.arange(400) // 4 % 2
    folds = plan(given, y, generator())
    assert len({(int(f), int(g)) for f, g in zip(folds.fine, given, strict=True)}) == folds.number[1]
    counts = torch.stack([torch.bincount(y[folds.fine == f], minlength=4) for f in range(folds.number[1])])
    assert int(counts.max() - counts.min()) <= 2


def test_the_written_out_gradient_is_the_one_of_autograd():
    t, y = rows(64)
    task = Task(t[None], y, torch.randn(2, 1, 64, 3, generator=generator()), *torch.arange(64).expand(2, 2, -1))
    nets = Networks(task, generator())
    nets.parameters = [(p + 0.1 * torch.randn(p.shape, generator=generator(i))) for i, p in enumerate(nets.parameters)]
    written = nets.gradient(t.expand(2, -1, -1), task.logits[:, 0], y.expand(2, -1))
    for p in nets.parameters:
        p.requires_grad_()
    logits = task.logits[:, 0] + nets(t.expand(2, -1, -1))
    sum(cross_entropy(part, y) for part in logits).backward()
    assert all(torch.allclose(p.grad, g, atol=1e-5) for p, g in zip(nets.parameters, written, strict=True))


def test_networks_that_learn_nothing_are_given_back_as_they_were():
    t, y = torch.randn(300, 4, generator=generator()), torch.randint(2, (300,), generator=generator(1))
    split = torch.randperm(300, generator=generator(2)).expand(2, -1)
    task = Task(t[None], y, torch.zeros(2, 1, 300, 2), split[:, :200], split[:, 200:])
    nets = train(task, 200, generator(3))
    logits = nets(t[split[:, 200:]])
    loss = cross_entropy(logits.flatten(0, 1), y[split[:, 200:]].flatten())
    assert float(loss) <= 0.6932  # ln 2 of no answer at all; the best look at the validation rows is kept


def test_trust_finds_the_scale_of_scores_and_ignores_noise():
    score = torch.randn(20_000, 2, generator=generator())
    y = (torch.rand(20_000, generator=generator(1)) < (3 * score).softmax(1)[:, 1]).long()
    noise = torch.randn(20_000, 2, generator=generator(2))
    trust = fit_trust(torch.stack([score, noise]), Priors.of(y, 2).seen[None], y)
    # A standard error of about 0.04 for both weights.
    assert trust.weights[0] == pytest.approx(3.0, abs=0.15)
    assert trust.weights[1] == pytest.approx(0.0, abs=0.1)


def test_labels_that_are_wrong_at_times_are_told_as_a_share_not_as_weak_scores():
    score = 10 * torch.randn(20_000, 2, generator=generator())
    y = (torch.rand(20_000, generator=generator(1)) < score.softmax(1)[:, 1]).long()
    y = torch.where(torch.arange(20_000) % 5 == 0, torch.randint(2, (20_000,), generator=generator(2)), y)
    trust = fit_trust(score[None], Priors.of(y, 2).seen[None], y)
    # A fifth of the labels is drawn anew. Without a share of the prior the weight would have to fall below 0.2.
    assert trust.share == pytest.approx(0.2, abs=0.03)
    assert trust.weights[0] == pytest.approx(1.0, abs=0.15)


def test_a_row_has_no_part_in_its_own_prior():
    y = torch.tensor([0, 0, 0, 1])
    without = Priors.of(y, 2).without_own(y).exp()
    # One row is spread over both classes: (2 + ½)/4 for class 0 without one of its rows, (0 + ½)/4 without class 1's.
    assert without.diagonal(offset=0).tolist()[0] == pytest.approx(2.5 / 4)
    assert without[3].tolist() == pytest.approx([3.5 / 4, 0.5 / 4])
