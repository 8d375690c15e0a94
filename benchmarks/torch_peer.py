"""The same training in PyTorch, the way one would write it: one run after another, and vmapped.

`assert_same_work` holds both to redalign's own step: from equal parameters and batches, equal
losses and, step by step, equal training.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from ml_collections import ConfigDict
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmarks.roofline import Layers
from benchmarks.timing import Contestant, trial
from redalign_jax.sweep import grid
from redalign_jax.task import Split
from redalign_jax.training.data import Data
from redalign_jax.training.flat import layout
from redalign_jax.training.model import Hyper, ModelSpec
from redalign_jax.training.start import start
from redalign_jax.training.step import step

LEARNING_RATE, TEMPERATURE = 3e-3, 0.2
Batch = tuple[Tensor, Tensor, Tensor]


def _encoder(sizes: list[tuple[int, int]]) -> nn.Sequential:
    *hidden, last = sizes
    dense = [part for size in hidden for part in (nn.Linear(*size), nn.ReLU())]
    return nn.Sequential(*dense, nn.Linear(*last))


class Network(nn.Module):
    """Both encoders and both heads. `layers` are (in, out) sizes, the last one the head's."""

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(_encoder(layers[:-1]) for _ in range(2))
        self.heads = nn.ModuleList(nn.Linear(*layers[-1]) for _ in range(2))

    def forward(self, x_1: Tensor, x_2: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        embeddings = [f(x) for f, x in zip(self.encoders, (x_1, x_2), strict=True)]
        return embeddings, [f(h) for f, h in zip(self.heads, embeddings, strict=True)]


def two_cross_entropies(z_1: Tensor, z_2: Tensor) -> Tensor:
    """InfoNCE as it is usually written."""
    s = z_1 @ z_2.T / TEMPERATURE
    same = torch.arange(len(s), device=s.device)
    return (F.cross_entropy(s, same) + F.cross_entropy(s.T, same)) / 2


def one_exponential(z_1: Tensor, z_2: Tensor) -> Tensor:
    """InfoNCE as redalign computes it; under `vmap` twice as fast as two cross-entropies."""
    s = (z_1 @ z_2.T - 1) / TEMPERATURE
    e = torch.exp(s)
    return (e.sum(0).log() + e.sum(1).log()).mean() / 2 - s.diagonal().mean()


InfoNCE = Callable[[Tensor, Tensor], Tensor]


def losses(
    outputs: tuple[list[Tensor], list[Tensor]], y: Tensor, info_nce: InfoNCE
) -> tuple[Tensor, Tensor]:
    """The summed task loss and the alignment loss."""
    embeddings, logits = outputs
    task = F.cross_entropy(logits[0], y) + F.cross_entropy(logits[1], y)
    return task, info_nce(*(F.normalize(h, dim=-1) for h in embeddings))


class Loop:
    """One run, eager, with `torch.optim.Adam`; `fused` is its fastest form on a CPU."""

    def __init__(self, network: Network, strength: float, fused: bool = False) -> None:
        self.network, self.strength = network, strength
        chosen = {"fused": True} if fused else {}  # else PyTorch's own default
        self.optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE, **chosen)

    def train(self, batches: Iterable[Batch]) -> None:
        for x_1, x_2, y in batches:
            task, align = losses(self.network(x_1, x_2), y, two_cross_entropies)
            self.optimiser.zero_grad()
            (task + self.strength * align).backward()
            self.optimiser.step()


class Compiled(Loop):
    """The same run, its losses and their gradient compiled."""

    def __init__(self, network: Network, strength: float) -> None:
        super().__init__(network, strength, fused=True)

        def loss(x_1: Tensor, x_2: Tensor, y: Tensor) -> Tensor:
            task, align = losses(network(x_1, x_2), y, two_cross_entropies)
            return task + strength * align

        self.loss = torch.compile(loss)

    def train(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self.optimiser.zero_grad()
            self.loss(*batch).backward()
            self.optimiser.step()


class Vmapped:
    """Many runs at once, one strength each, on the same batches: `vmap(grad)` and stacked Adam."""

    def __init__(self, networks: list[Network], strengths: Tensor) -> None:
        stacked, _ = stack_module_state(networks)
        self.names, self.strengths = list(stacked), strengths
        self.params = [p.detach().clone() for p in stacked.values()]
        self.mean = [torch.zeros_like(p) for p in self.params]
        self.square = [torch.zeros_like(p) for p in self.params]
        self.count = 0
        shapes = networks[0]

        def loss(params: dict[str, Tensor], strength: Tensor, batch: Batch) -> Tensor:
            x_1, x_2, y = batch
            outputs = functional_call(shapes, params, (x_1, x_2))
            task, align = losses(outputs, y, one_exponential)
            return task + strength * align

        self.gradient = vmap(grad(loss), in_dims=(0, 0, None))

    def train(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            now = dict(zip(self.names, self.params, strict=True))
            g = list(self.gradient(now, self.strengths, batch).values())
            self.count += 1
            torch._foreach_lerp_(self.mean, g, 0.1)
            torch._foreach_mul_(self.square, 0.999)
            torch._foreach_addcmul_(self.square, g, g, 0.001)
            scale = torch._foreach_div(self.square, 1 - 0.999**self.count)
            torch._foreach_sqrt_(scale)
            torch._foreach_add_(scale, 1e-8)
            torch._foreach_addcdiv_(
                self.params, self.mean, scale, -LEARNING_RATE / (1 - 0.9**self.count)
            )


def tensors(split: Split) -> Batch:
    """A split with float inputs and integer labels, cast once rather than batch by batch."""
    x_1, x_2 = (torch.from_numpy(np.asarray(x, np.float32)) for x in split.x)
    return x_1, x_2, torch.from_numpy(np.asarray(split.y, np.int64))


def batches(split: Batch, size: int, steps: int) -> Iterator[Batch]:
    """Shuffled epochs, the incomplete last batch dropped."""
    done = 0
    while True:
        for rows in torch.randperm(len(split[2]), device=split[2].device).split(size):
            if done == steps:
                return
            if len(rows) == size:
                done += 1
                yield tuple(t[rows] for t in split)


def _loaded(layers: Layers, params: dict) -> Network:
    """A network with redalign's parameters."""
    network = Network(layers)
    with torch.no_grad():
        for m, own in enumerate(params["encoders"]):
            dense = [f for f in network.encoders[m] if isinstance(f, nn.Linear)]
            for f, name in zip(dense, sorted(own["encoder"]["params"]), strict=True):
                _copy(f, own["encoder"]["params"][name])
            _copy(network.heads[m], own["head"]["params"]["Dense_0"])
    return network


def _copy(layer: nn.Linear, dense: dict) -> None:
    layer.weight.copy_(torch.from_numpy(np.array(dense["kernel"]).T.copy()))
    layer.bias.copy_(torch.from_numpy(np.array(dense["bias"])))


def assert_same_work(
    model: ModelSpec, data: Data, layers: Layers, batch: int, steps: int = 10
) -> float:
    """Trains redalign's step, the loop and the vmapped form side by side on the same batches.

    Returns:
      The largest difference of a loss; before the first step it must be below 1e-5, where every
      form has the same parameters, and below 1e-4 after each of the following steps.

    Raises:
      AssertionError: they do not do the same work.
    """
    strength = 0.7
    hyper = Hyper(*(jnp.float32(v) for v in (0, TEMPERATURE, LEARNING_RATE, 0, 1, 1, 0)))
    hyper = hyper._replace(strength=jnp.full(2, strength, jnp.float32))
    read = layout(model, data.train.x)
    state = start(model, hyper, jax.random.key(0), data)
    jitted = jax.jit(partial(step, model, read))
    torch_loop = Loop(_loaded(layers, read.unravel(state.params)), strength)
    network = _loaded(layers, read.unravel(state.params))
    vmapped = Vmapped([network, network], torch.tensor([0.0, strength]))
    split, worst = tensors(data.train), 0.0
    for number in range(steps):
        rows = np.arange(number * batch, (number + 1) * batch) % len(data.train.y)
        now = tuple(t[rows] for t in split)
        labelled = Split(tuple(jnp.asarray(x[rows]) for x in data.train.x), data.train.y[rows])
        state, (task, align) = jitted(hyper, state, labelled, None, jnp.float32(0))
        ours = np.array([task.sum(), align[0]])
        with torch.no_grad():
            one = losses(torch_loop.network(*now[:2]), now[2], two_cross_entropies)
            params = {n: p[1] for n, p in zip(vmapped.names, vmapped.params, strict=True)}
            many = losses(functional_call(network, params, now[:2]), now[2], one_exponential)
        for theirs in (one, many):
            apart = float(np.abs(np.array(theirs) - ours).max())
            assert apart < (1e-4 if number else 1e-5), f"step {number}: losses differ by {apart}"
            worst = max(worst, apart)
        torch_loop.train([now])
        vmapped.train([now])
    return worst


def contestants(
    config: ConfigDict, group: grid.Group, layers: Layers, run_steps: int
) -> dict[str, Contestant]:
    """The peers, after proof that they do the same work, each in its fastest setting."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    batch = config.train.batch
    apart = assert_same_work(group.model, group.example, layers, batch)
    print(f"PyTorch and redalign do the same work: losses within {apart:.0e} over 10 steps")
    split = tensors(group.example.train)
    thread_counts = sorted({1, os.cpu_count() or 1})

    def trainer(peer: Any, threads: int) -> Callable[[int], None]:
        def train(steps: int) -> None:
            torch.set_num_threads(threads)
            peer.train(batches(split, batch, steps))

        return train

    def torch_loop(threads: int, fused: bool) -> Callable[[int], None]:
        return trainer(Loop(Network(layers), 1.0, fused), threads)

    def vmapped(threads: int, runs: int) -> Callable[[int], None]:
        networks = [Network(layers) for _ in range(runs)]
        strengths = torch.tensor(np.resize(config.hyper.strength, runs), dtype=torch.float32)
        return trainer(Vmapped(networks, strengths), threads)

    def contestant(found: tuple[int, int, Callable], about: str = "") -> Contestant:
        threads, runs, train = found
        steps = -(-run_steps // runs)
        note = f"{about}{threads} thread{'s' * (threads > 1)}"
        return Contestant(partial(train, steps), steps * runs, note)

    def fastest(makers: list[tuple[int, int, Callable]]) -> tuple[int, int, Callable]:
        return max(makers, key=lambda m: trial(m[2], m[1]))

    found = {}
    for name, fused in (("PyTorch loop", False), ("PyTorch loop, fused Adam", True)):
        found[name] = contestant(fastest([(t, 1, torch_loop(t, fused)) for t in thread_counts]))
    if shutil.which("g++"):
        made = [(t, 1, trainer(Compiled(Network(layers), 1.0), t)) for t in thread_counts]
        found["PyTorch loop, compiled"] = contestant(fastest(made))
    else:
        print("there is no g++: the row of torch.compile is left out")
    makers = [(t, k, vmapped(t, k)) for t in thread_counts for k in (8, 24, 64, 168)]
    best = fastest(makers)
    found["PyTorch vmap"] = contestant(best, f"{best[1]} runs at a time, ")
    return found
