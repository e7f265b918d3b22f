"""In-place operations and shared memory: counts follow what the model really computes."""

import gc
import weakref

import pytest
import torch
import torch.nn.functional as F
from modules import Wired
from torch import nn

from nodepath import measure
from nodepath.errors import UnknownOperationError
from nodepath.paths import Network
from nodepath.paths.flow import Shares
from nodepath.paths.semantics import EXACT
from nodepath.paths.site import given

X = torch.zeros(1, 3)


def paths(model: nn.Module, x: torch.Tensor = X) -> float:
    return 10 ** measure(model, x).log10_paths


def real(model: nn.Module) -> float:
    """The sum of the model's own outputs for ones, with weights 1 and biases 0: what must be counted."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(float(parameter.ndim > 1))
        return model.eval()(torch.ones(1, 3)).sum().item()


def counted_or_refused(model: nn.Module) -> None:
    """Right, or a typed error; never silently wrong."""
    try:
        found = paths(model)
    except UnknownOperationError:
        return
    assert found == pytest.approx(real(model))


def test_adding_in_place_changes_what_later_readers_of_the_same_tensor_see():
    def wiring(self, x):
        h = self.a(x)
        same = h
        h += self.b(h)
        return h + same

    model = Wired(wiring, a=nn.Linear(3, 3), b=nn.Linear(3, 3))
    assert paths(model) == pytest.approx(real(model)) == 72


def test_writing_a_slice_replaces_it():
    def wiring(self, x):
        h = self.a(x)
        h[:, :2] = self.b(x)
        return self.c(h)

    model = Wired(wiring, a=nn.Linear(3, 3), b=nn.Linear(3, 2), c=nn.Linear(3, 2))
    assert paths(model) == pytest.approx(real(model)) == 18


def test_writing_into_fresh_zeros_carries_the_paths_on():
    def wiring(self, x):
        whole = torch.zeros(1, 4, dtype=x.dtype)
        whole[:, :3] = self.a(x)
        return self.b(whole)

    model = Wired(wiring, a=nn.Linear(3, 3), b=nn.Linear(4, 2))
    assert paths(model) == pytest.approx(real(model)) == 18


def test_reading_a_tensor_that_was_written_through_a_view_is_refused():
    def wiring(self, x):
        h = self.a(x)
        h[:, :2].add_(self.b(x))
        return self.c(h)

    with pytest.raises(UnknownOperationError, match="through another view"):
        measure(Wired(wiring, a=nn.Linear(3, 3), b=nn.Linear(3, 2), c=nn.Linear(3, 2)), X)


def into_a_view_that_is_returned_whole(self, x):
    h = self.a(x)
    h[:, :2].add_(self.b(x))
    return h


def into_a_view_of_zeros(self, x):
    whole = torch.zeros(1, 4)
    whole[:, :3].add_(self.a(x))
    return self.b(whole)


def into_an_out_argument(self, x):
    whole = torch.zeros(1, 4)
    torch.add(self.a(x), 0, out=whole)
    return self.b(whole)


def through_contiguous(self, x):
    h = self.a(x)
    alias = h.contiguous()  # the same memory
    alias.add_(self.b(h))
    return alias + h


def through_dropout(self, x):
    h = self.a(x)
    alias = F.dropout(h, 0.5, self.training)  # in eval mode the same memory
    alias += self.b(h)
    return alias + h


def through_to(self, x):
    h = self.a(x)
    alias = h.to(h.dtype)
    alias += self.b(h)
    return alias + h


def through_detach(self, x):
    h = self.a(x)
    h.detach().add_(self.b(h))
    return h


ALIASES = [
    (into_a_view_that_is_returned_whole, (3, 3), (3, 2)),
    (into_a_view_of_zeros, (3, 3), (4, 2)),
    (into_an_out_argument, (3, 4), (4, 2)),
    (through_contiguous, (3, 3), (3, 3)),
    (through_dropout, (3, 3), (3, 3)),
    (through_to, (3, 3), (3, 3)),
    (through_detach, (3, 3), (3, 3)),
]


@pytest.mark.parametrize(("wiring", "a", "b"), ALIASES, ids=[case[0].__name__ for case in ALIASES])
def test_writing_through_an_alias_is_never_silently_lost(wiring, a, b):
    counted_or_refused(Wired(wiring, a=nn.Linear(*a), b=nn.Linear(*b)))


def test_an_activation_in_place_on_one_chunk_leaves_the_others_readable():
    def wiring(self, x):
        one, other = self.a(x).chunk(2, dim=1)
        return self.b(torch.cat([F.relu(one, inplace=True), other], dim=1))

    model = Wired(wiring, a=nn.Linear(3, 4), b=nn.Linear(4, 2))
    assert paths(model) == pytest.approx(real(model)) == 24


def frozen(self, x):
    with torch.no_grad():
        h = self.a(x)
    return self.b(h)


def test_parts_that_run_without_gradients_have_effective_weights_all_the_same():
    topology = measure(Wired(frozen, a=nn.Linear(3, 3), b=nn.Linear(3, 2)), X)
    assert topology.effective == topology.prunable == 15
    assert topology.nodes == 8


def test_a_forward_decorated_with_no_grad_has_effective_weights_all_the_same():
    model = Wired(torch.no_grad()(lambda self, x: self.a(x)), a=nn.Linear(3, 3))
    assert measure(model, X).effective == 9


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_measures_the_same_inside_no_grad_and_inference_mode(context):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    expected = measure(model, X)
    with context():
        assert measure(model, X) == expected


class Doubling(torch.autograd.Function):
    """A user's own function, with a gradient that has nothing to do with it."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, slope):
        return slope * 0


def test_a_users_own_gradient_does_not_decide_what_is_effective():
    model = nn.Sequential(nn.Linear(3, 3), Wired(lambda self, x: Doubling.apply(x)), nn.Linear(3, 2))
    try:
        topology = measure(model, X)
    except UnknownOperationError:
        return
    assert topology.effective == 15


def test_nothing_of_a_walk_is_left_for_the_garbage_collector():
    """Queries and keys are never asked for slopes, so what is saved for theirs must not hold itself."""
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    wired = Wired(lambda self, x: self.attention(x, x, x)[0], attention=model)
    network = Network(wired, torch.zeros(1, 5, 8))
    gc.collect()
    gc.disable()
    try:
        note = Shares(network, weights=True)
        with torch.enable_grad():
            arrival = network.send(EXACT, given({}), note)
            arrival.slopes()
        left = weakref.ref(note), weakref.ref(arrival.tracer)
        del note, arrival
        assert [each() for each in left] == [None, None]
    finally:
        gc.enable()
