"""Other tensors in the place of a model's own, which may be held in several places and go by several names."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nodepath.errors import ArgumentError
from nodepath.paths.substitution import run_with


class TwoNames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(3, 3)
        self.body = nn.Sequential(self.stem, nn.ReLU(), nn.Linear(3, 3), nn.BatchNorm1d(3))
        self.norm = self.body[3]

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def held(model: nn.Module) -> dict[str, tuple[int, type]]:
    places = (*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False))
    return {name: (id(tensor), type(tensor)) for name, tensor in places}


X = torch.tensor([[1.0, -2.0, 3.0], [0.5, 0.25, -1.0]])


@pytest.mark.parametrize("name", ["stem.weight", "body.0.weight"])
def test_a_module_by_either_of_its_names_holds_its_own_again(name):
    model = TwoNames().eval()
    before, other = held(model), torch.full((3, 3), 2.0)
    outputs = run_with(model, {name: other}, (X,))
    assert held(model) == before
    expected = model.body[1:](F.linear(X, other, model.stem.bias))
    assert torch.equal(outputs, expected)


def test_a_module_by_two_names_holds_its_own_again_after_an_error():
    model = TwoNames().eval()
    before = held(model)
    with pytest.raises(RuntimeError):
        run_with(model, {"stem.weight": torch.zeros(3, 7)}, (X,))
    assert held(model) == before


def test_a_tensor_in_several_places_is_replaced_in_each_but_where_a_place_has_its_own():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[2].weight = model[0].weight
    one, other = torch.eye(3) * 2, torch.eye(3) * 5
    outputs = run_with(model, {"0.weight": one, "2.weight": other}, (X,))
    x = F.linear(F.linear(X, one, model[0].bias), one, model[1].bias)
    assert torch.equal(outputs, F.linear(x, other, model[2].bias))
    assert model[2].weight is model[1].weight is model[0].weight


def test_statistics_taken_by_a_norm_by_two_names_are_those_of_the_batch():
    model = TwoNames().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    values = {name: buffer.clone() for name, buffer in model.named_buffers()}
    run_with(model, values, (X,))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    mean = model.body[:3](X).mean(0)
    assert torch.allclose(values["body.3.running_mean"], 0.1 * mean, rtol=1e-5)


def test_a_buffer_that_the_pass_replaces_is_replaced_in_the_values():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls = self.calls + 1
            return x

    model, values = Counting(), {"calls": torch.tensor(3.0)}
    run_with(model, values, (X,))
    assert (values["calls"], model.calls) == (4, 0)


def test_a_name_that_the_model_does_not_know_is_refused():
    with pytest.raises(ArgumentError, match="Linear has no parameter or buffer 'wait'"):
        run_with(nn.Linear(3, 3), {"wait": X}, (X,))
