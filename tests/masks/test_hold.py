import copy
import io
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_, prune
from torch.optim import SGD, Adam, AdamW, Optimizer

from nodepath.errors import ArgumentError, MaskMismatchError
from nodepath.masks import MaskSet

MakeOptimizer = Callable[[Iterator[nn.Parameter]], Optimizer]

OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": lambda p: SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: Adam(p, lr=0.05),
    "adamw": lambda p: AdamW(p, lr=0.05, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=4),
}


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def conv_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 16, 3),
    )


LAYERS = ("0.weight", "3.weight", "6.weight")


def masks_of(model: nn.Module, names: tuple[str, ...] = LAYERS, density: float = 0.4) -> MaskSet:
    generator = torch.Generator().manual_seed(1)
    weights = dict(model.named_parameters())
    return MaskSet({name: torch.rand(weights[name].shape, generator=generator) < density for name in names})


def batch(step: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(100 + step)
    return torch.randn(8, 2, 6, 6, generator=generator), torch.randint(3, (8,), generator=generator)


def step(model: nn.Module, optimizer: Optimizer, number: int = 0) -> None:
    inputs, targets = batch(number)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        return loss

    optimizer.step(closure)


def pruned(model: nn.Module, masks: MaskSet) -> Tensor:
    weights = dict(model.named_parameters())
    return torch.cat([weights[name].detach()[~mask] for name, mask in masks.items()])


def assert_held(model: nn.Module, masks: MaskSet) -> None:
    assert torch.equal(pruned(model, masks), torch.zeros(masks.total - masks.kept))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("dense_gradients", [False, True])
def test_pruned_weights_are_exactly_zero_after_every_step(name, warm, dense_gradients):
    model = conv_net()
    masks = masks_of(model)
    optimizer = OPTIMIZERS[name](model.parameters())
    if warm:  # momentum and curvature from before the mask would move the weights
        step(model, optimizer)
    before = model[0].weight.detach().clone()
    with masks.hold(model, optimizer, dense_gradients=dense_gradients):
        for number in range(3):
            step(model, optimizer, number)
            assert_held(model, masks)
    assert_held(model, masks)
    kept = masks["0.weight"]
    assert (model[0].weight[kept] != before[kept]).all()


def test_momentum_would_bring_pruned_weights_back_without_the_step_hook():
    model = conv_net()
    masks = masks_of(model)
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    step(model, optimizer)
    with masks.hold(model):
        step(model, optimizer)
        assert torch.count_nonzero(pruned(model, masks)) > 0
    assert_held(model, masks)


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("clip", [False, True])
def test_trajectory_is_that_of_torch_prune_bit_for_bit(name, clip):
    ours = conv_net()
    theirs = copy.deepcopy(ours)
    masks = masks_of(ours)
    for key, mask in masks.items():
        prune.custom_from_mask(theirs.get_submodule(key.removesuffix(".weight")), "weight", mask)
    # torch.nn.utils.prune puts weight_orig behind the bias; a norm is a sum, so its last bit hangs on the order.
    parameters = dict(theirs.named_parameters())
    order = [parameters.get(f"{key}_orig", parameters.get(key)) for key, _ in ours.named_parameters()]
    optimizers = OPTIMIZERS[name](ours.parameters()), OPTIMIZERS[name](iter(order))
    with masks.hold(ours, optimizers[0]):
        for number in range(20):
            inputs, targets = batch(number)
            losses, norms = [], []
            for model, optimizer, listed in zip(
                (ours, theirs), optimizers, (list(ours.parameters()), order), strict=True
            ):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(inputs), targets)
                loss.backward()
                if clip:
                    norms.append(clip_grad_norm_(listed, 0.01))
                optimizer.step()
                losses.append(loss)
            assert torch.equal(losses[0], losses[1])
            assert not clip or (torch.equal(norms[0], norms[1]) and norms[0] > 0.01)
    theirs(batch()[0])  # prune refreshes `weight` in the forward pass only
    ours(batch()[0])
    for key, value in ours.state_dict().items():
        module, _, tensor = key.rpartition(".")
        assert torch.equal(value, getattr(theirs.get_submodule(module), tensor)), key


def test_gradients_of_pruned_weights_are_zero_and_those_of_kept_ones_unchanged():
    model = conv_net()
    masks = masks_of(model)
    masks.apply_(model)
    inputs, targets = batch()
    nn.functional.cross_entropy(model(inputs), targets).backward()
    dense = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    with masks.hold(model):
        nn.functional.cross_entropy(model(inputs), targets).backward()
    for name, parameter in model.named_parameters():
        expected = torch.where(masks[name], dense[name], 0.0) if name in masks else dense[name]
        assert torch.equal(parameter.grad, expected)


def test_dense_gradients_stay_dense_when_asked_for():
    model = conv_net()
    masks = masks_of(model)
    optimizer = SGD(model.parameters(), lr=0.1)
    with masks.hold(model, optimizer, dense_gradients=True):
        step(model, optimizer)
        assert (model[6].weight.grad[~masks["6.weight"]] != 0).any()
    with pytest.raises(ArgumentError, match="dense_gradients"), masks.hold(model, dense_gradients=True):
        pytest.fail("the block must not run")


def test_accumulated_and_second_order_gradients_are_masked():
    model = nn.Linear(3, 2)
    masks = MaskSet({"weight": torch.eye(2, 3)})
    with masks.hold(model):
        for _ in range(2):
            model(torch.ones(1, 3)).sum().backward()
        assert torch.equal(model.weight.grad, 2 * torch.eye(2, 3))
        model.zero_grad()
        with pytest.warns(UserWarning, match="create_graph"):
            (model(torch.ones(1, 3)) ** 3).sum().backward(create_graph=True)
        assert model.weight.grad.requires_grad
        assert torch.equal(model.weight.grad != 0, torch.eye(2, 3) != 0)
        slope = model.weight.grad
        model.weight.grad = None
        (slope**2).sum().backward()
        # With y = w + b: slope 3 y^2, and the derivative of its square in w is 36 y^3.
        y = (model.weight.diagonal() + model.bias).detach()
        assert torch.allclose(model.weight.grad.diagonal(), 36 * y**3, rtol=1e-4)
        assert torch.equal(model.weight.grad != 0, torch.eye(2, 3) != 0)


def test_sparse_gradients_are_masked():
    model = nn.Embedding(4, 2, sparse=True)
    mask = torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0]])
    optimizer = SGD(model.parameters(), lr=1.0)
    with MaskSet({"weight": mask}).hold(model, optimizer):
        model(torch.tensor([0, 1, 1, 3])).sum().backward()
        assert model.weight.grad.is_sparse
        assert torch.equal(model.weight.grad.to_dense(), torch.tensor([[1.0, 0], [0, 2], [0, 0], [0, 0]]))
        optimizer.step()
        assert torch.equal(model.weight != 0, mask != 0)


def test_gradients_that_are_not_finite_do_not_spread():
    model = nn.Linear(2, 1, bias=False)
    with MaskSet({"weight": torch.tensor([[1, 0]])}).hold(model):
        model(torch.tensor([[1.0, float("inf")]])).nan_to_num().sum().backward()
        (model.weight * torch.tensor([[1.0, float("nan")]])).sum().backward()
        assert model.weight.grad[0, 1] == 0


def test_entry_zeroes_and_parameters_without_a_mask_are_untouched():
    model = conv_net()
    before = copy.deepcopy(model.state_dict())
    masks = masks_of(model, ("3.weight",))
    with masks.hold(model):
        assert_held(model, masks)
    for name, value in model.state_dict().items():
        expected = torch.where(masks[name], before[name], 0.0) if name in masks else before[name]
        assert torch.equal(value, expected)


def hooks(model: nn.Module, optimizer: Optimizer) -> list[int]:
    return [
        len(optimizer._optimizer_step_post_hooks),
        len(optimizer._optimizer_step_pre_hooks),
        *(len(p._post_accumulate_grad_hooks or ()) for p in model.parameters()),
        *(len(p._backward_hooks or ()) for p in model.parameters()),
        *(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()),
    ]


def test_hooks_go_and_the_users_own_stay():
    model = conv_net()
    optimizer = SGD(model.parameters(), lr=0.1)
    masks = masks_of(model)
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append("step"))
    model[0].weight.register_post_accumulate_grad_hook(lambda _: calls.append("gradient"))
    keys = list(model.state_dict())
    before = hooks(model, optimizer)
    with masks.hold(model, optimizer):
        assert list(model.state_dict()) == keys
        assert hooks(model, optimizer) != before
    assert hooks(model, optimizer) == before
    step(model, optimizer)
    assert calls == ["gradient", "step"]
    assert torch.count_nonzero(pruned(model, masks)) > 0


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_hooks_go_and_zeros_stay_after_an_exception(error):
    model = conv_net()
    optimizer = SGD(model.parameters(), lr=0.1)
    masks = masks_of(model)
    before = hooks(model, optimizer)

    def crash() -> None:
        with masks.hold(model, optimizer):
            model[0].weight.detach().fill_(1.0)
            raise error

    with pytest.raises(error):
        crash()
    assert hooks(model, optimizer) == before
    assert_held(model, masks)


def test_nested_holds_keep_both_masks_and_let_go_one_by_one():
    model = conv_net()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    outer, inner = masks_of(model, density=0.8), masks_of(model, density=0.3)
    before = hooks(model, optimizer)
    with outer.hold(model, optimizer):
        middle = hooks(model, optimizer)
        with inner.hold(model, optimizer):
            step(model, optimizer)
            assert_held(model, outer & inner)
        assert hooks(model, optimizer) == middle
        step(model, optimizer)
        step(model, optimizer)
        assert_held(model, outer)
        assert torch.count_nonzero(pruned(model, inner)) > 0
    assert hooks(model, optimizer) == before


def test_frozen_parameters_are_zeroed_and_stay_frozen():
    model = conv_net()
    model[3].weight.requires_grad = False
    optimizer = SGD([p for p in model.parameters() if p.requires_grad], lr=0.1, momentum=0.9)
    masks = masks_of(model)
    with masks.hold(model, optimizer):
        step(model, optimizer)
        assert_held(model, masks)
    assert model[3].weight.grad is None
    assert not model[3].weight.requires_grad


def test_several_optimizers_are_all_watched():
    model = conv_net()
    masks = masks_of(model)
    optimizers = [OPTIMIZERS["sgd"](model[0].parameters()), OPTIMIZERS["adamw"](model[6].parameters())]
    for optimizer in optimizers:
        step(model, optimizer)
    with masks.hold(model, iter(optimizers)):
        for optimizer in optimizers:
            step(model, optimizer)
            assert_held(model, masks)


@pytest.mark.parametrize("wrong", [3, "sgd", [None]])
def test_what_is_no_optimizer_is_refused(wrong):
    model = conv_net()
    before = model[0].weight.detach().clone()
    with pytest.raises(ArgumentError, match="optimizer"), masks_of(model).hold(model, wrong):
        pytest.fail("the block must not run")
    assert torch.equal(model[0].weight, before)


def test_weights_loaded_inside_the_block_are_zero_again_after_the_next_step():
    model = conv_net()
    masks = masks_of(model)
    dense = copy.deepcopy(model.state_dict())
    optimizer = SGD(model.parameters(), lr=0.1)
    with masks.hold(model, optimizer):
        model.load_state_dict(dense)
        step(model, optimizer)
        assert_held(model, masks)


def test_a_parameter_replaced_while_held_is_reported():
    model = conv_net()
    masks = masks_of(model)
    with pytest.raises(MaskMismatchError, match=r"'3\.weight' was replaced"), masks.hold(model):
        model[3].weight = nn.Parameter(torch.ones_like(model[3].weight))


def test_a_held_model_can_be_copied_and_saved_and_the_copy_is_free():
    model = conv_net()
    masks = masks_of(model)
    optimizer = SGD(model.parameters(), lr=0.1)
    file = io.BytesIO()
    with masks.hold(model, optimizer):
        twin = copy.deepcopy(model)
        torch.save(model, file)
        assert not any(p._post_accumulate_grad_hooks for p in twin.parameters())
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert torch.equal(loaded[0].weight, model[0].weight)
    with masks.hold(twin, SGD(twin.parameters(), lr=0.1)):
        assert_held(twin, masks)


def test_holds_under_bfloat16_autocast():
    model = conv_net()
    masks = masks_of(model)
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    with masks.hold(model, optimizer):
        for number in range(2):
            inputs, targets = batch(number)
            with torch.autocast("cpu", torch.bfloat16):
                loss = nn.functional.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            assert_held(model, masks)


def test_holds_a_compiled_model_from_outside():
    model = conv_net()
    compiled = torch.compile(model, backend="eager")
    masks = masks_of(model)
    optimizer = OPTIMIZERS["sgd"](compiled.parameters())
    with masks.hold(compiled, optimizer):
        for number in range(2):
            step(compiled, optimizer, number)
            assert_held(model, masks)


@pytest.mark.parametrize("wrap_first", [True, False])
def test_holds_a_model_wrapped_for_distributed_training(wrap_first):
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        model = conv_net()
        masks = masks_of(model)
        wrapped = DistributedDataParallel(model)
        optimizer = OPTIMIZERS["sgd"](wrapped.parameters())
        with masks.hold(wrapped if wrap_first else model, optimizer):
            if not wrap_first:
                wrapped = DistributedDataParallel(model)
            for number in range(2):
                step(wrapped, optimizer, number)
                assert_held(model, masks)
                assert torch.count_nonzero(model[6].weight.grad[~masks["6.weight"]]) == 0
    finally:
        distributed.destroy_process_group()
