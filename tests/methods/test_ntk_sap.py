import copy
import warnings

import pytest
import torch
from torch import Tensor, nn

import nodepath
from nodepath.errors import ArgumentError, CollapseWarning, UnknownOperationError, ZeroLayerWarning
from nodepath.methods.ntk_sap import mask_slopes
from nodepath.paths import Network

PRUNABLE = (nn.Linear, nn.Conv2d)


def convnet(*, norm: bool = True, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(
            *(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4) if norm else nn.Identity(), nn.ReLU()),
            *(nn.Conv2d(4, 5, 3, bias=False), nn.Tanh(), nn.Flatten(), nn.Linear(20, 3)),
        )
        if norm:
            nn.init.uniform_(model[1].weight, 0.5, 1.5)
            nn.init.normal_(model[1].bias)
            nn.init.normal_(model[1].running_mean)
        return model.eval()


X = torch.zeros(1, 2, 4, 4)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {f"{n}.weight": m.weight.detach() for n, m in model.named_modules() if isinstance(m, PRUNABLE)}


def with_weights(model: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    made = copy.deepcopy(model).double()
    with torch.no_grad():
        for name, weight in weights.items():
            made.get_parameter(name).copy_(weight)
    return made


def between(model: nn.Module, x: Tensor, first: dict[str, Tensor], second: dict[str, Tensor], taken: nn.Module):
    """The squared distance between two copies in eval mode, with the statistics of `taken`."""
    ends = []
    for weights in (first, second):
        one = with_weights(model, weights)
        one.load_state_dict({**one.state_dict(), **dict(taken.named_buffers())})
        ends.append(one.eval()(x))
    return (ends[0] - ends[1]).square().sum()


def slopes_by_differences(model, x, first, second, masks, step=1e-5) -> dict[str, Tensor]:
    statistics = with_weights(model, {n: w * masks[n] for n, w in first.items()})
    for module in statistics.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
            module.momentum = 1.0
    statistics(x)
    found = {name: torch.zeros_like(w) for name, w in first.items()}
    with torch.no_grad():
        for name in first:
            for place in range(first[name].numel()):
                ends = []
                for sign in (1, -1):
                    moved = {n: m.double() for n, m in masks.items()}
                    moved[name].view(-1)[place] += sign * step
                    pair = ({n: w * moved[n] for n, w in weights.items()} for weights in (first, second))
                    ends.append(between(model, x, *pair, statistics.eval()))
                found[name].view(-1)[place] = (ends[0] - ends[1]) / (2 * step)
    return found


@pytest.mark.parametrize("norm", [False, True])
def test_slope_in_the_mask_is_that_of_finite_differences_also_where_the_mask_is_zero(norm):
    model = convnet(norm=norm)
    generator = torch.Generator().manual_seed(1)

    def draw(shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    x, first = draw((6, 2, 4, 4)), {name: draw(w.shape) for name, w in weights_of(model).items()}
    second = {name: w + 0.1 * draw(w.shape) for name, w in first.items()}
    masks = {name: draw(w.shape) > -0.7 for name, w in first.items()}
    found = mask_slopes(Network(model, X), ((x,), {}), (first, second), masks)
    wanted = slopes_by_differences(model, x, first, second, masks)
    for name in masks:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-5, atol=1e-6)
        assert bool(found[name][~masks[name]].any())


def plain_ntk_sap(model: nn.Module, keep: int, seed: int, *, iterations: int, draws: int, rows: int, epsilon: float):
    """By autograd in a mask of floats, in float64, drawing in the order in which the method does."""
    generator = torch.Generator().manual_seed(seed)

    def draw(shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    own = {name: w.double() for name, w in weights_of(model).items()}
    size = sum(w.numel() for w in own.values())
    masks = {name: torch.ones_like(w) for name, w in own.items()}
    for step in range(1, iterations + 1):
        total = {name: torch.zeros_like(w) for name, w in own.items()}
        for _ in range(draws):
            first = {name: w.mean() + w.std(correction=0) * draw(w.shape) for name, w in own.items()}
            x = draw((rows, *X.shape[1:]))
            second = {name: w + epsilon * draw(w.shape) for name, w in first.items()}
            gates = {name: mask.clone().requires_grad_() for name, mask in masks.items()}
            with torch.no_grad():
                norm = with_weights(model, {n: w * masks[n] for n, w in first.items()})
                norm[1].train()
                norm[1].momentum = 1.0
                norm(x)
                norm.eval()
            made = [
                torch.func.functional_call(norm, {n: w * gates[n] for n, w in weights.items()}, (x,))
                for weights in (first, second)
            ]
            slopes = torch.autograd.grad((made[0] - made[1]).norm() ** 2, list(gates.values()))
            for name, slope in zip(gates, slopes, strict=True):
                total[name] += slope
        flat = torch.cat([(t.abs()).masked_fill(masks[n] == 0, -1.0).flatten() for n, t in total.items()])
        chosen = torch.zeros_like(flat)
        count = round(size * (keep / size) ** (step / iterations))
        chosen[flat.sort(descending=True, stable=True).indices[:count]] = 1
        parts = chosen.split([w.numel() for w in own.values()])
        masks = {n: c.reshape(w.shape) for (n, w), c in zip(own.items(), parts, strict=True)}
    return {name: mask.bool() for name, mask in masks.items()}


@pytest.mark.parametrize("seed", [0, 3])
def test_is_that_of_the_paper(seed):
    model = convnet()
    options = {"iterations": 4, "draws": 3, "epsilon": 0.05}
    size = sum(w.numel() for w in weights_of(model).values())
    masks = pruned(model, sparsity=1 - 80 / size, seed=seed, batch_size=5, **options)
    assert masks == nodepath.MaskSet(plain_ntk_sap(model, 80, seed, rows=5, **options))


def pruned(model: nn.Module, x=X, **arguments) -> nodepath.MaskSet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        wanted = {"sparsity": 0.7, "on_collapse": "warn", "iterations": 2, "draws": 2, **arguments}
        return nodepath.prune(model, x, "ntk-sap", **wanted)


def test_gives_back_the_model_as_it_was_weights_statistics_and_modes():
    model = convnet().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pruned(model)
    assert model.training
    assert model[1].training
    assert model[1].momentum == 0.1
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_weights_alone_do_not_decide_if_they_are_drawn_anew_and_do_if_not():
    model, other = convnet(norm=False), convnet(norm=False)
    with torch.no_grad():  # other weights of the same mean and standard deviation
        for weight in (other[0].weight, other[3].weight, other[6].weight):
            weight.copy_(weight.flatten().flip(0).reshape(weight.shape))
            weight.sub_(weight.double().mean().float())
        for weight in weights_of(model).values():
            weight.sub_(weight.double().mean().float())
    assert pruned(model) == pruned(other)
    assert pruned(model, redraw=False) != pruned(other, redraw=False)


@pytest.mark.parametrize("option", [{"epsilon": 0.5}, {"draws": 3}, {"batch_size": 7}, {"iterations": 3}])
def test_each_option_is_used(option):
    assert pruned(convnet(), **option) != pruned(convnet())


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.attend = nn.Embedding(11, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        return self.head(self.attend(x, x, x, need_weights=False)[0].mean(1))


def test_tokens_are_those_of_the_example_and_what_steers_is_ranked_as_the_rest():
    with torch.random.fork_rng():
        model = Attention()
    x = torch.arange(10).reshape(1, 10)
    masks = pruned(model, x, sparsity=0.5)
    assert masks.kept == round(0.5 * (3 * 64 + 64 + 24))
    queries, values = masks["attend.in_proj_weight"][:8], masks["attend.in_proj_weight"][16:]
    assert int(queries.sum()) < int(values.sum())  # at random they would be as many
    assert pruned(model, torch.zeros(1, 10, dtype=torch.long), sparsity=0.5) != masks


def test_an_input_without_a_batch_axis_is_drawn_once():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 2))
    assert pruned(model, torch.zeros(12)).kept == round(0.3 * 112)


def test_a_layer_of_zeros_is_drawn():
    model = convnet()
    nn.init.zeros_(model[-1].weight)
    with pytest.warns(ZeroLayerWarning, match=r"'6\.weight'"):
        assert pruned(model)["6.weight"].any()


class Detached(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


def test_a_model_that_cannot_be_differentiated_is_refused():
    with pytest.raises(UnknownOperationError, match="cannot be differentiated"):
        pruned(Detached(4, 3), torch.zeros(1, 4))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("iterations", 0),
        ("draws", 1.5),
        ("batch_size", True),
        ("epsilon", 0.0),
        ("epsilon", float("nan")),
        ("redraw", 1),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(option, value):
    with pytest.raises(ArgumentError, match=f"{option} is {value!r}"):
        nodepath.methods.create("ntk-sap", **{option: value})
