"""A probe that meets a layer of known noise: what is recorded of it, in which mode, and what stays as it was."""

import math
from typing import Any

import pytest
import torch
from helpers import identity_linear, quiet_probe
from torch import Tensor, nn
from torch.nn.functional import softplus

from ibprobe import BadInput, Records, measure, sigma_sweep
from ibprobe.bottleneck import GaussianBottleneck, GaussianDropout, vib_loss
from ibprobe.estimate.own_noise import bracket_of_gaussians

X = torch.randn(1024, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class Coder(nn.Module):
    """Encodes, samples and decodes; ``before`` may be random itself."""

    def __init__(self, before: nn.Module | None = None, **options: Any) -> None:
        super().__init__()
        self.before = before or nn.Identity()
        self.encoder, self.code, self.decoder = nn.Linear(4, 6), GaussianBottleneck(3, **options), nn.Linear(3, 2)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = self.encoder(self.before(x)).chunk(2, -1)
        return mean, softplus(raw)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.code(*self.moments(x)))
        return logits


def brackets_of(model: nn.Module, layers: Any = "code", **options: Any) -> Records:
    return measure(model, (X, Y), layers=layers, **{"estimator": "channel", **options})


@pytest.mark.parametrize("options", [{}, {"marginal": "learnable"}, {"sample_in_eval": True}])
def test_a_bottleneck_is_bracketed_with_its_own_moments(options: dict[str, Any]) -> None:
    model = Coder(**options)
    found = brackets_of(model).one(quantity="I_XT", estimator="channel")
    alone = bracket_of_gaussians(*(t.detach() for t in model.moments(X)))
    assert found.bracket_low is not None
    assert found.bracket_high is not None
    # Two draws of the noise: a tenth of a nat is many of their errors.
    assert found.bracket_low == pytest.approx(alone.low, abs=0.1)
    assert found.bracket_high == pytest.approx(alone.high, abs=0.1)
    assert (found.noise, found.sigma, found.view, found.dim) == ("own", 1.0, "moments, own noise", 3)
    assert found.std == pytest.approx(float(model.moments(X)[1].detach().square().mean().sqrt()))
    assert found.headline
    assert "stochastic" not in found.flags


def test_the_rate_is_recorded_as_an_upper_bound() -> None:
    model = Coder()
    found = brackets_of(model)
    rate, bracket = (found.one(quantity="I_XT", estimator=name) for name in ("rate", "channel"))
    assert rate.nats == pytest.approx(float(model.code.rate(*model.moments(X)).detach().mean()), rel=1e-5)
    assert bracket.bracket_low is not None
    assert bracket.bracket_low < rate.nats
    assert (rate.bound, rate.headline, rate.bracket_low, rate.bracket_high) == ("upper end", False, None, rate.nats)
    assert "≤" in str(rate)


def test_labels_and_classes_are_of_the_same_code() -> None:
    found = {e.quantity: e for e in brackets_of(Coder()) if e.estimator == "channel"}
    whole, label, within = (found[q].bracket_low for q in ("I_XT", "I_TY", "I_XT_given_Y"))
    assert whole is not None
    assert within is not None
    assert found["I_TY"].bracket_high is not None
    assert label is not None
    # The chain rule holds for the self-included sums exactly.
    assert whole == pytest.approx(found["I_TY"].bracket_high + within, abs=0.01)
    assert found["I_TY"].noise == "own"


def test_other_layers_are_measured_as_ever() -> None:
    model = Coder()
    alone, beside = (brackets_of(model, layers=layers) for layers in (["encoder"], ["encoder", "code"]))
    mine = beside.select(layer="encoder")
    assert [e.nats for e in mine] == [e.nats for e in alone]
    assert {e.noise for e in mine} == {"relative"}


def test_a_random_layer_before_the_code_leaves_the_upper_end() -> None:
    found = brackets_of(Coder(nn.Dropout(0.3)), train_mode=True).one(quantity="I_XT", estimator="channel")
    assert found.bracket_low is None
    assert "stochastic" in found.flags
    assert (
        "stochastic"
        in brackets_of(Coder(nn.Dropout(0.3)), train_mode=True, passes=8)
        .one(quantity="I_XT", estimator="channel")
        .flags
    )


def test_dropout_with_gaussian_noise_is_bracketed_and_has_no_rate() -> None:
    # z = x·N(1, α) of 4 independent x ~ N(0, 1): 4 times the one-dimensional value, here by quadrature over a grid.
    model = nn.Sequential(identity_linear(4), GaussianDropout(1.0))
    found = brackets_of(model, layers="1")
    x = torch.linspace(-8, 8, 400, dtype=torch.float64) + 1e-9
    z = torch.linspace(-40, 40, 20_001, dtype=torch.float64)
    weight = torch.softmax(-x.square() / 2, 0)
    q = torch.zeros_like(z)
    for some in range(0, 400, 100):
        part = slice(some, some + 100)
        q += weight[part] @ torch.distributions.Normal(x[part, None], x[part, None].abs()).log_prob(z).exp()
    entropy = -float(torch.trapezoid(torch.xlogy(q, q), z))
    given = float((weight * (x.abs().log() + math.log(2 * math.pi * math.e) / 2)).sum())
    e = found.one(quantity="I_XT")
    assert e.ci_low <= 4 * (entropy - given) <= e.ci_high
    assert not found.select(estimator="rate")


def test_a_critic_reads_the_same_code() -> None:
    found = brackets_of(Coder(sample_in_eval=True), estimator="auto", rows=400).select(quantity="I_XT")
    critic, bracket = (found.one(estimator=name) for name in ("mine", "channel"))
    assert bracket.bracket_high is not None
    assert critic.lower_confidence <= bracket.bracket_high
    assert critic.nats > 0.2
    assert (critic.noise, critic.sigma) == ("own", 1.0)


def test_training_is_watched_and_not_changed() -> None:
    def trained(probed: bool) -> tuple[Coder, Records]:
        torch.manual_seed(0)
        model = Coder()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        probe = quiet_probe(model, ["code", "decoder"], optimizer=optimizer, every=1, rows=512)
        if probed:
            probe.attach()
        for start in range(0, 1024, 256):
            x, y = X[start : start + 256], Y[start : start + 256]
            objective = vib_loss(model(x), y, model.code.rate(*model.moments(x)), beta_rate=0.01)
            optimizer.zero_grad()
            objective.loss.backward()
            optimizer.step()
            probe.log(rate=objective.rate, distortion=objective.distortion)
        probe.detach()
        return model, probe.estimates

    (seen, records), (alone, _) = trained(True), trained(False)
    assert all(torch.equal(a, b) for a, b in zip(seen.parameters(), alone.parameters(), strict=True))
    code = records.select(layer="code", quantity="I_XT")
    assert len(code.steps) > 2
    assert {e.estimator for e in code} == {"channel", "rate"}
    assert {"rate", "distortion"} <= records.logged[0].values.keys()
    assert not [e for e in records.events if e.kind == "disarmed"]


def test_streamed_rows_of_a_code_are_those_of_any_random_layer() -> None:
    model = Coder()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with quiet_probe(model, "code", optimizer=optimizer, mode="stream", every=1, rows=256) as probe:
        for _ in range(2):
            model(X[:256]).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    found = probe.estimates.select(quantity="I_XT")[0]
    assert (found.noise, found.bracket_low) == ("relative", None)
    assert "stochastic" in found.flags


class Odd(nn.Module):
    """Says what cannot be."""

    def __init__(self, moments: Any) -> None:
        super().__init__()
        self._moments = moments

    def encoder_moments(self, x: Tensor) -> Any:
        return self._moments(x)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x)


@pytest.mark.parametrize(
    ("moments", "said"),
    [
        (lambda x: (x, torch.zeros_like(x)), "not positive"),
        (lambda x: (x, torch.ones(len(x), 7)), "(64, 4), (64, 7), None"),
        (lambda x: x.unknown, "AttributeError"),
    ],
)
def test_moments_that_cannot_be_are_told_and_the_rest_is_measured(moments: Any, said: str) -> None:
    found = brackets_of(nn.Sequential(nn.Linear(4, 4), Odd(moments)), layers=["0", "1"])
    assert any(said in e.why for e in found.events if e.kind == "not_measured"), found.events
    assert found.layers == ["0"]


def test_codes_of_other_shapes_and_views_of_ones_own_are_measured_as_ever() -> None:
    tokens = nn.Sequential(nn.Unflatten(1, (2, 2)), GaussianDropout(0.5))
    assert {e.noise for e in brackets_of(tokens, layers="1")} == {"relative"}
    assert {e.noise for e in brackets_of(Coder(), view=lambda t: t[:, :1])} == {"relative"}


def test_a_sweep_leaves_codes_out_and_says_so() -> None:
    found = sigma_sweep(Coder(), (X, Y), layers=["encoder", "code"])
    assert found.layers == ["encoder"]
    assert any(e.layer == "code" and "its own" in e.why for e in found.events)


def test_rows_that_are_not_finite_are_left_out() -> None:
    def moments(x: Tensor) -> tuple[Tensor, Tensor]:
        scale = torch.ones_like(x)
        scale[0] = math.nan
        return x, scale

    found = brackets_of(nn.Sequential(Odd(moments)), layers="0").one(quantity="I_XT")
    assert "nonfinite_rows" in found.flags
    assert found.dropped_rows >= 1


def test_a_model_that_diverged_says_so_where_it_did() -> None:
    model = Coder()
    with torch.no_grad():
        model.encoder.weight.fill_(math.nan)
    with pytest.raises(BadInput, match="rows have means that are NaN"):
        model(X[:8])
