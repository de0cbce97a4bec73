"""Real NVP in other libraries: (x, layers, width, draws) -> a train step and a sampler, both without arguments."""

from collections.abc import Callable, Mapping
from typing import Any

Pair = tuple[Callable[[], Any], Callable[[], Any]]


def torch_pair(parameters, nll, draw, x, compiled=False) -> Pair:
    """Adam on nll(x), and draw(), in PyTorch."""
    import torch  # type: ignore

    data = torch.from_numpy(x)
    adam = torch.optim.Adam(list(parameters), 1e-3, foreach=True)
    objective, sampler = (torch.compile(nll), torch.compile(draw)) if compiled else (nll, draw)

    def step():
        adam.zero_grad(set_to_none=True)
        objective(data).mean().backward()
        adam.step()

    def sample():
        with torch.no_grad():
            sampler()

    return step, sample


def mlp(*widths):
    """Dense layers with ReLU between, in PyTorch."""
    from torch import nn  # type: ignore

    layers = [layer for i, o in zip(widths, widths[1:]) for layer in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def plain_torch(x, layers, width, draws, compiled=False) -> Pair:
    """The same flow, written out in PyTorch."""
    import torch  # type: ignore

    d, kept = x.shape[1], x.shape[1] // 2
    nets = torch.nn.ModuleList(mlp(kept, width, width, 2 * (d - kept)) for _ in range(layers))

    def scale_shift(net, a):
        shift, raw = net(a).chunk(2, -1)
        return shift, 3 * torch.tanh(raw / 3)

    def nll(x):
        total = 0.0
        for net in nets:
            a, b = x[:, :kept], x[:, kept:]
            shift, s = scale_shift(net, a)
            x, total = torch.cat([b * s.exp() + shift, a], -1), total + s.sum(-1)
        return 0.5 * (x**2).sum(-1) - total

    def draw():
        z = torch.randn(draws, d)
        for net in reversed(nets):
            b, a = z[:, : d - kept], z[:, d - kept :]
            shift, s = scale_shift(net, a)
            z = torch.cat([a, (b - shift) * (-s).exp()], -1)
        return z

    return torch_pair(nets.parameters(), nll, draw, x, compiled)


def nflows(x, layers, width, draws) -> Pair:
    """Nflows' AffineCouplingTransform with its MLP."""
    import torch  # type: ignore
    from nflows import distributions, flows, nn, transforms  # type: ignore

    d = x.shape[1]

    class Network(nn.nets.MLP):
        def forward(self, inputs, context=None):  # what its couplings call, and its MLP does not take
            return super().forward(inputs)

    def network(i, o):
        return Network((i,), (o,), [width, width])

    masks = [(torch.arange(d) + layer) % 2 for layer in range(layers)]
    couplings = [transforms.AffineCouplingTransform(mask, network) for mask in masks]
    flow = flows.Flow(transforms.CompositeTransform(couplings), distributions.StandardNormal((d,)))
    return torch_pair(flow.parameters(), lambda x: -flow.log_prob(x), lambda: flow.sample(draws), x)


def normflows(x, layers, width, draws) -> Pair:
    """Normflows' AffineCouplingBlock and Permute."""
    import normflows as nf  # type: ignore

    d = x.shape[1]
    parts = []
    for _ in range(layers):
        parts += [nf.flows.AffineCouplingBlock(nf.nets.MLP([d // 2, width, width, d])), nf.flows.Permute(d, "swap")]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(d, trainable=False), parts)
    return torch_pair(flow.parameters(), lambda x: -flow.log_prob(x), lambda: flow.sample(draws)[0], x)


def zuko(x, layers, width, draws) -> Pair:
    """Zuko's RealNVP."""
    from zuko.flows import RealNVP  # type: ignore

    flow = RealNVP(x.shape[1], transforms=layers, hidden_features=(width, width))
    return torch_pair(flow.parameters(), lambda x: -flow().log_prob(x), lambda: flow().sample((draws,)), x)


def flowjax(x, layers, width, draws) -> Pair:
    """Flowjax's coupling_flow with Affine transformers."""
    import equinox as eqx  # type: ignore
    import jax
    import jax.numpy as jnp
    import optax
    import paramax  # type: ignore
    from flowjax.distributions import Normal  # type: ignore
    from flowjax.flows import coupling_flow  # type: ignore

    base = Normal(jnp.zeros(x.shape[1]))
    flow = coupling_flow(jax.random.key(0), base_dist=base, flow_layers=layers, nn_width=width, nn_depth=2)
    params, static = eqx.partition(
        flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable)
    )

    def nll(params, x):
        return -paramax.unwrap(eqx.combine(params, static)).log_prob(x).mean()

    def draw(params, key):
        return paramax.unwrap(eqx.combine(params, static)).sample(key, (draws,))

    return jax_pair(params, nll, draw, jnp.asarray(x), optax.adam(1e-3))


def distrax(x, layers, width, draws) -> Pair:
    """Distrax's SplitCoupling, with an MLP of plain JAX."""
    import distrax as dx  # type: ignore
    import jax
    import jax.numpy as jnp
    import optax

    d = x.shape[1]
    kept = d // 2
    sizes = list(zip((kept, width, width), (width, width, 2 * (d - kept))))
    keys = jax.random.split(jax.random.key(0), (layers, len(sizes)))
    params = [[(jax.random.normal(k, (i, o)) / i**0.5, jnp.zeros(o)) for k, (i, o) in zip(row, sizes)] for row in keys]

    def network(weights, h):
        for kernel, bias in weights[:-1]:
            h = jax.nn.relu(h @ kernel + bias)
        shift, raw = jnp.split(h @ weights[-1][0] + weights[-1][1], 2, -1)
        return 3 * jnp.tanh(raw / 3), shift

    def flow(params):
        parts = [
            dx.SplitCoupling(
                kept,
                1,
                lambda h, w=weights: network(w, h),
                lambda p: dx.ScalarAffine(log_scale=p[0], shift=p[1]),
                swap=index % 2 == 1,
            )
            for index, weights in enumerate(params)
        ]
        base = dx.MultivariateNormalDiag(jnp.zeros(d), jnp.ones(d))
        return dx.Transformed(base, dx.Inverse(dx.Chain(parts)))

    def nll(params, x):
        return -flow(params).log_prob(x).mean()

    def draw(params, key):
        return flow(params).sample(seed=key, sample_shape=(draws,))

    return jax_pair(params, nll, draw, jnp.asarray(x), optax.adam(1e-3))


def jax_pair(params, nll, draw, x, tx) -> Pair:
    """A jit-compiled step and sampler of a loss in JAX."""
    import jax
    import optax

    state = [params, tx.init(params)]

    @jax.jit
    def update(params, opt_state):
        loss, gradients = jax.value_and_grad(nll)(params, x)
        updates, opt_state = tx.update(gradients, opt_state)
        return optax.apply_updates(params, updates), opt_state, loss

    sampler = jax.jit(draw)

    def step():
        state[0], state[1], loss = update(*state)
        jax.block_until_ready((state, loss))

    return step, lambda: jax.block_until_ready(sampler(state[0], jax.random.key(1)))


PEERS: Mapping[str, Callable[..., Pair]] = {
    "torch": plain_torch,
    "compile": lambda *args: plain_torch(*args, compiled=True),
    "nflows": nflows,
    "normflows": normflows,
    "zuko": zuko,
    "flowjax": flowjax,
    "distrax": distrax,
}
