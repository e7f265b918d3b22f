import copy

import pytest
import torch
from torch import Tensor, nn

import nodepath
from nodepath.errors import ArgumentError, ZeroLayerWarning
from nodepath.methods.synflow_l2 import l2_scores
from nodepath.paths import Network

PRUNABLE = (nn.Linear, nn.Conv2d)


def convnet(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)),
        )


class Residual(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.stem, self.first = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
            self.second, self.head = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (self.second(self.first(x).relu()) + x).relu()
        return self.head(x.mean(dim=(2, 3)))


def squared_slopes(model: nn.Module, x: Tensor, masks: dict[str, Tensor]) -> dict[str, Tensor]:
    """dR / dtheta^2, written plainly: the model itself in float64 on squared weights, no biases, an input of ones."""
    model = copy.deepcopy(model).double()
    weights = {f"{n}.weight": m.weight for n, m in model.named_modules() if isinstance(m, PRUNABLE)}
    with torch.no_grad():
        for module in model.modules():
            if getattr(module, "bias", None) is not None:
                module.bias.zero_()
        for name, weight in weights.items():
            weight.copy_((weight * masks[name]) ** 2)
    slopes = torch.autograd.grad(model(torch.ones_like(x).double()).sum(), list(weights.values()))
    return dict(zip(weights, slopes, strict=True))


def plain_synflow_l2(model: nn.Module, x: Tensor, keep: int, iterations: int, form: str) -> dict[str, Tensor]:
    weights = {f"{n}.weight": m.weight.detach() for n, m in model.named_modules() if isinstance(m, PRUNABLE)}
    size = sum(w.numel() for w in weights.values())
    masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
    for step in range(1, iterations + 1):
        slopes = squared_slopes(model, x, masks)
        power = 2 if form == "theta2" else 1
        flat = torch.cat(
            [(w.double().abs() ** power * slopes[n]).masked_fill(~masks[n], -1.0).flatten() for n, w in weights.items()]
        )
        chosen = torch.zeros_like(flat, dtype=torch.bool)
        count = round(size * (keep / size) ** (step / iterations))
        chosen[flat.sort(descending=True, stable=True).indices[:count]] = True
        parts = chosen.split([w.numel() for w in weights.values()])
        masks = {n: c.reshape(w.shape) for (n, w), c in zip(weights.items(), parts, strict=True)}
    return masks


@pytest.mark.filterwarnings("ignore::nodepath.errors.CollapseWarning")
@pytest.mark.parametrize("form", ["theta2", "abs"])
@pytest.mark.parametrize("build", [convnet, Residual])
@pytest.mark.parametrize("iterations", [1, 20])
def test_is_that_of_the_equation(form, build, iterations):
    for seed in range(2):
        model, x = build(seed), torch.zeros(1, 3, 8, 8)
        size = sum(m.weight.numel() for m in model.modules() if isinstance(m, PRUNABLE))
        masks = nodepath.prune(
            model, x, "synflow-l2", sparsity=1 - 90 / size, form=form, iterations=iterations, on_collapse="warn"
        )
        assert masks == nodepath.MaskSet(plain_synflow_l2(model, x, 90, iterations, form))


def test_squares_are_conserved_along_every_cut_and_the_other_form_is_not():
    network = Network(convnet(), torch.zeros(1, 3, 8, 8))
    totals = {
        form: torch.stack([score.sum() for score in l2_scores(network, network.weights(), form).values()])
        for form in ("theta2", "abs")
    }
    spread = {form: float((total.max() - total.min()) / total.max()) for form, total in totals.items()}
    assert float(totals["theta2"][0]) == pytest.approx(1, abs=1e-10)  # of R
    assert spread["theta2"] < 1e-10
    assert spread["abs"] > 0.5


def test_forms_give_other_masks_and_both_other_ones_than_synflow():
    model, x = convnet(), torch.zeros(1, 3, 8, 8)
    masks = [
        nodepath.prune(model, x, "synflow-l2", sparsity=0.8),
        nodepath.prune(model, x, "synflow-l2", sparsity=0.8, form="abs"),
        nodepath.prune(model, x, "synflow", sparsity=0.8),
    ]
    assert len({mask.hash for mask in masks}) == 3
    assert masks[0] == nodepath.prune(model, x, "synflow-l2", sparsity=0.8, form="theta2", iterations=100)


@pytest.mark.filterwarnings("ignore::nodepath.errors.CollapseWarning")
def test_weights_whose_squares_vanish_in_single_precision_are_told_apart():
    model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 3, bias=False))
    with torch.no_grad():
        for layer in model:
            layer.weight.copy_(torch.arange(1.0, layer.weight.numel() + 1).reshape(layer.weight.shape) * 1e-30)
    masks = nodepath.prune(model, torch.zeros(1, 6), "synflow-l2", sparsity=0.8, on_collapse="warn")
    with torch.no_grad():
        for layer in model:
            layer.weight *= 1e30
    assert masks == nodepath.prune(model, torch.zeros(1, 6), "synflow-l2", sparsity=0.8, on_collapse="warn")


@pytest.mark.parametrize("form", ["theta2", "abs"])
def test_a_layer_of_zeros_is_drawn(form):
    model = convnet()
    nn.init.zeros_(model[-1].weight)
    with pytest.warns(ZeroLayerWarning, match=r"'7\.weight'"):
        masks = nodepath.prune(model, torch.zeros(1, 3, 8, 8), "synflow-l2", sparsity=0.5, form=form)
    assert bool(masks["7.weight"].any())


@pytest.mark.parametrize(("option", "value"), [("iterations", 0), ("iterations", 2.5), ("form", "square")])
def test_an_option_that_makes_no_sense_is_refused(option, value):
    with pytest.raises(ArgumentError, match=rf"{option} is {value!r}"):
        nodepath.methods.create("synflow-l2", **{option: value})
