import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel

from nodepath.errors import MaskMismatchError
from nodepath.masks import MaskSet, match_parameters


@pytest.fixture
def process_group():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2))


MASKS = MaskSet({"0.weight": torch.eye(2, 3), "2.weight": torch.eye(2)})


def assert_matches(wrapped: nn.Module, model: nn.Sequential) -> None:
    found = match_parameters(wrapped, MASKS)
    assert found["0.weight"] is model[0].weight
    assert found["2.weight"] is model[2].weight


def test_matches_through_data_parallel():
    model = small()
    assert_matches(DataParallel(model), model)


def test_matches_through_distributed_data_parallel(process_group):
    model = small()
    assert_matches(DistributedDataParallel(model), model)


def test_matches_through_torch_compile_and_nested_wrappers(process_group):
    model = small()
    assert_matches(torch.compile(model, backend="eager"), model)
    assert_matches(DistributedDataParallel(torch.compile(model, backend="eager")), model)


def test_matches_a_compiled_part_of_a_model():
    model = small()
    first = model[0]
    model[0] = torch.compile(first, backend="eager")
    assert "0._orig_mod.weight" in dict(model.named_parameters())
    assert match_parameters(model, MASKS)["0.weight"] is first.weight


def test_matches_an_averaged_model():
    averaged = AveragedModel(small())
    assert_matches(averaged, averaged.module)


def test_a_module_of_ones_own_that_is_called_module_stays_in_the_name():
    model = nn.Module()
    model.module = nn.Linear(3, 2)
    assert match_parameters(model, MaskSet({"module.weight": torch.eye(2, 3)}))
    with pytest.raises(MaskMismatchError, match=r"no parameter 'weight' \(the nearest is 'module\.weight'\)"):
        match_parameters(model, MaskSet({"weight": torch.eye(2, 3)}))


def test_names_with_the_wrapper_on_them_match_the_wrapped_model():
    wrapped = DataParallel(small())
    assert match_parameters(wrapped, MaskSet({"module.0.weight": torch.eye(2, 3)}))


def tied() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    return model


def test_a_tied_weight_goes_by_any_of_its_names():
    model = tied()
    assert match_parameters(model, MaskSet({"1.weight": torch.eye(3)}))["1.weight"] is model[0].weight


def test_two_masks_of_one_weight_are_refused():
    with pytest.raises(MaskMismatchError, match=r"'0\.weight' and '1\.weight' speak of one and the same"):
        match_parameters(tied(), MaskSet({"0.weight": torch.eye(3), "1.weight": torch.eye(3)}))


def test_a_lazy_parameter_is_refused_with_its_name():
    with pytest.raises(MaskMismatchError, match="'weight' has no shape yet"):
        match_parameters(nn.LazyLinear(2), MaskSet({"weight": torch.eye(2)}))


def test_a_model_pruned_by_torch_is_refused_with_the_way_out():
    model = small()
    prune.random_unstructured(model[0], "weight", 0.5)
    with pytest.raises(MaskMismatchError, match=r"'0\.weight_orig'.*from_torch_prune.*remove"):
        match_parameters(model, MASKS)
