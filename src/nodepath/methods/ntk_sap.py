"""NTK-SAP: keep the weights that the spectrum of the neural tangent kernel depends on the most."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import functional_call

from nodepath.errors import UnknownOperationError
from nodepath.methods.iterate import iterate, without_pruned
from nodepath.methods.problem import Choice, Problem
from nodepath.methods.registry import METHODS
from nodepath.methods.zero_layers import with_zero_layers_drawn
from nodepath.options import check_flag, check_positive, check_whole
from nodepath.paths import Network
from nodepath.paths.guard import evaluating
from nodepath.paths.nested import tensors_in
from nodepath.paths.network import explaining
from nodepath.paths.semantics import EXACT
from nodepath.paths.surroundings import callers_device
from nodepath.reference import Reference
from nodepath.scores.batch_norm import norms_of, taking_statistics

__all__ = ["NTKSAP", "mask_slopes"]


@METHODS.register("ntk-sap")
@dataclass(frozen=True, kw_only=True)
class NTKSAP:
    r"""Prune the connections that matter least to the spectrum of the neural tangent kernel, whatever the weights are.

    $$ s_j = \left| \frac{\partial}{\partial m_j} \sum_{r=1}^{R}
       \left\| f(x_r; m \odot \theta_r) - f(x_r; m \odot (\theta_r + \epsilon \Delta_r)) \right\|^2 \right| $$

    at the mask m of the iteration, with normal inputs $x_r$ and perturbations $\Delta_r$: the norm is, but for
    $\epsilon^2$, an estimate of the kernel's trace, the sum of its eigenvalues. Each draw has weights $\theta_r$ of its
    own, normal with the mean and the standard deviation of the layer's. Density $\rho^{(e + 1) / T}$ after iteration e;
    pruned weights stay pruned. BatchNorm takes its statistics from the batch and the first copy, then both copies run
    in eval mode with them. Biases and norms are the model's. For a layer whose weights are all zero, normal ones are
    drawn, with a warning.

    Whole numbers of the example input (tokens) are drawn anew from those that it holds, each place at random.

    Args:
        iterations: T.
        draws: R, of each iteration.
        epsilon: Size of the perturbation.
        batch_size: Inputs of each draw, where the first axis of the example has length 1 or rows are samples; else one.
        redraw: Draw weights anew; else the model's own are perturbed (the paper's kernel of fixed weights).

    Cost: T R times three forward passes (two without BatchNorm) and two backward passes of `batch_size` inputs in
    float64, so that the mask is the same for any number of threads. Needs data: no.

    Variants: the authors draw weights as the model's initializer does, which no module knows of itself, and 100 inputs
    on CIFAR-10.

    Reference:
        Wang, Li, Sun. NTK-SAP: improving neural network pruning by aligning training dynamics. ICLR 2023.
        arXiv:2304.02840.
    """

    reference: ClassVar[Reference] = Reference(
        authors=("Yite Wang", "Dawei Li", "Ruoyu Sun"),
        title="NTK-SAP: Improving Neural Network Pruning by Aligning Training Dynamics",
        venue="International Conference on Learning Representations",
        year=2023,
        arxiv="2304.02840",
    )

    iterations: int = 20
    draws: int = 5
    epsilon: float = 0.01
    batch_size: int = 10
    redraw: bool = True

    def __post_init__(self) -> None:
        for option, usual in (("iterations", 20), ("draws", 5), ("batch_size", 10)):
            check_whole("ntk-sap", option, getattr(self, option), f"default: {usual}")
        check_positive("ntk-sap", "epsilon", self.epsilon, "default: 0.01")
        check_flag("redraw", self.redraw)

    def __call__(self, problem: Problem) -> Choice:
        """See `Method`."""
        problem = with_zero_layers_drawn(problem)
        network, generator = problem.network, problem.generator
        dtype = EXACT.dtype(network.device)
        own = {name: weight.to(dtype) for name, weight in problem.weights.items()}
        normal = {name: _mean_and_deviation(weight) for name, weight in own.items()}

        def draw(shape: Any) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64).to(network.device, dtype)

        def rescore(_: int, __: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
            scores = {name: torch.zeros_like(own[name]) for name in masks}
            for _ in range(self.draws):
                first = dict(own)
                if self.redraw:
                    first = {
                        name: mean + deviation * draw(own[name].shape) for name, (mean, deviation) in normal.items()
                    }
                inputs = _inputs(network, self.batch_size, generator, dtype)
                second = {name: weight + self.epsilon * draw(weight.shape) for name, weight in first.items()}
                for name, slope in mask_slopes(network, inputs, (first, second), masks).items():
                    scores[name] += slope
            return without_pruned({name: score.abs() for name, score in scores.items()}, masks)

        return iterate(problem, rescore, self.iterations, by_paths=False)


def mask_slopes(
    network: Network,
    inputs: tuple[tuple[Any, ...], dict[str, Any]],
    copies: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    masks: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Slope of the squared distance between the outputs of two copies of a model in each entry of their common mask.

    Args:
        network: The model; never changed.
        inputs: Positional and keyword arguments.
        copies: Parameter name -> weight of either, before masking.
        masks: Parameter name -> bool; what is absent is dense.

    Cost: three forward passes and two backward passes.

    Raises:
        InputMismatchError: The model does not run on the inputs.
        UnknownOperationError: The outputs do not depend on the weights in a way that can be differentiated.
    """
    args, kwargs = inputs
    model, dtype = network.model, next(iter(copies[0].values())).dtype
    rest = {
        name: held.detach().to(dtype, copy=True) if held.is_floating_point() else held.detach().clone()
        for name, held in (*model.named_parameters(), *model.named_buffers())
        if name not in copies[0]
    }
    with evaluating(model) as repeat, torch.enable_grad(), explaining(model), callers_device():
        leaves: list[dict[str, Tensor]] = []
        for weights in copies:
            masked = {name: w * masks[name] if name in masks else w for name, w in weights.items()}
            leaves.append({name: weight.requires_grad_(name in masks) for name, weight in masked.items()})
        if norms_of(model):
            with torch.no_grad(), repeat(), taking_statistics(model):
                functional_call(model, {**rest, **leaves[0]}, args, kwargs)
        ends = []
        for copy in leaves:
            with repeat():  # whatever is random in the model is so in both alike
                ends.append(_numbers(functional_call(model, {**rest, **copy}, args, kwargs)))
        distance = torch.stack([(one - other).square().sum() for one, other in zip(*ends, strict=True)]).sum()
    if not distance.requires_grad:
        raise UnknownOperationError(
            f"the outputs of {type(model).__name__} cannot be differentiated in its weights, which ntk-sap must; take "
            "a method that follows paths, e.g. 'synflow'"
        )
    flat = [copy[name] for copy in leaves for name in masks]
    found = torch.autograd.grad(distance, flat, allow_unused=True)
    slopes = {name: torch.zeros_like(copies[0][name]) for name in masks}
    for name, slope, weight in zip(
        [*masks, *masks], found, [copy[name] for copy in copies for name in masks], strict=True
    ):
        if slope is not None:
            slopes[name] += slope * weight
    return slopes


def _mean_and_deviation(weight: Tensor) -> tuple[Tensor, Tensor]:
    return weight.mean(), weight.std(correction=0)


def _numbers(outputs: Any) -> list[Tensor]:
    return [made for made in tensors_in(outputs) if made.is_floating_point()]


def _inputs(
    network: Network, rows: int, generator: torch.Generator, dtype: torch.dtype
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A call with normal numbers for what the example holds; masks as they are, and whole numbers in another order."""
    example = network.example
    sources, indices = example.sources(), example.indices()
    drawn = {id(tensor) for tensor in (*sources, *indices)}
    every = [value for value in (*example.args, *example.kwargs.values()) if isinstance(value, Tensor)]
    alone = all(tensor.ndim > 1 and len(tensor) == 1 for tensor in every if tensor.ndim)
    swap = {}
    for tensor in every:
        shape = (rows, *tensor.shape[1:]) if alone and tensor.ndim else tensor.shape
        if id(tensor) not in drawn:
            swap[id(tensor)] = tensor.expand(shape).to(dtype) if tensor.is_floating_point() else tensor.expand(shape)
        elif tensor.is_floating_point():
            made = torch.randn(shape, generator=generator, dtype=torch.float64)
            swap[id(tensor)] = made.to(tensor.device, dtype)
        else:
            places = torch.randint(tensor.numel(), shape, generator=generator)
            swap[id(tensor)] = tensor.flatten()[places.to(tensor.device)]
    call = example.replace(swap)
    return call.args, dict(call.kwargs)
