"""Inception: the network of FID, held to two implementations written out by hand, on random weights.

The reference is the network block by block, as its authors' code says it, over a handful of operations: NumPy's, which
need nothing, on small images; and PyTorch's, where that is installed, with the resizing, on whole ones.
"""

import functools
import math
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax_zoo.compare import judges
from genjax_zoo.judges import inception

PUBLISHED = {  # parameters: kernels, and two numbers of batch norm per channel
    "Conv2d_1a_3x3": 3 * 32 * 9 + 64,
    "Mixed_5b": 192 * (64 + 48 + 64 + 32) + 25 * 48 * 64 + 9 * (64 * 96 + 96 * 96) + 2 * (64 + 48 + 64 + 64 + 192 + 32),
    "Mixed_6a": 9 * (288 * 384 + 64 * 96 + 96 * 96) + 288 * 64 + 2 * (384 + 64 + 96 + 96),
    "fc": 1_008 * 2_049,
}


@pytest.fixture(scope="module")
def weights():
    """Random, and of a size that neither explodes nor dies; statistics and scales of every batch norm differ, too."""
    random = np.random.Generator(np.random.PCG64(0))
    found = {}
    for name, shape in inception.shapes().items():
        part = name.rpartition(".")[2]
        if name.endswith("conv.weight"):
            found[name] = random.normal(0, math.sqrt(2 / math.prod(shape[1:])), shape)
        elif part in ("bias", "running_mean"):
            found[name] = random.normal(0, 0.2, shape)
        else:
            found[name] = random.uniform(0.6, 1.4, shape)
    return {name: array.astype(np.float32) for name, array in found.items()}


def reference(ops, weights, x):
    """x [B, 3, H, W] in [-1, 1] -> [B, 2048]."""

    def layer(name, x, stride=1, pad=(0, 0)):
        y = ops.conv(x, weights[f"{name}.conv.weight"], stride, pad)
        mean, variance, scale, bias = (
            weights[f"{name}.bn.{part}"].reshape(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ops.relu((y - mean) / ops.sqrt(variance + 0.001) * scale + bias)

    def block_a(name, x):
        one = layer(f"{name}.branch1x1", x)
        five = layer(f"{name}.branch5x5_2", layer(f"{name}.branch5x5_1", x), pad=(2, 2))
        three = layer(f"{name}.branch3x3dbl_2", layer(f"{name}.branch3x3dbl_1", x), pad=(1, 1))
        three = layer(f"{name}.branch3x3dbl_3", three, pad=(1, 1))
        return ops.cat([one, five, three, layer(f"{name}.branch_pool", ops.mean(x))])

    def block_b(name, x):
        three = layer(f"{name}.branch3x3", x, 2)
        double = layer(f"{name}.branch3x3dbl_2", layer(f"{name}.branch3x3dbl_1", x), pad=(1, 1))
        return ops.cat([three, layer(f"{name}.branch3x3dbl_3", double, 2), ops.most(x, 2, 0)])

    def block_c(name, x):
        one = layer(f"{name}.branch1x1", x)
        seven = layer(f"{name}.branch7x7_2", layer(f"{name}.branch7x7_1", x), pad=(0, 3))
        seven = layer(f"{name}.branch7x7_3", seven, pad=(3, 0))
        double = layer(f"{name}.branch7x7dbl_2", layer(f"{name}.branch7x7dbl_1", x), pad=(3, 0))
        double = layer(f"{name}.branch7x7dbl_3", double, pad=(0, 3))
        double = layer(f"{name}.branch7x7dbl_4", double, pad=(3, 0))
        double = layer(f"{name}.branch7x7dbl_5", double, pad=(0, 3))
        return ops.cat([one, seven, double, layer(f"{name}.branch_pool", ops.mean(x))])

    def block_d(name, x):
        three = layer(f"{name}.branch3x3_2", layer(f"{name}.branch3x3_1", x), 2)
        seven = layer(f"{name}.branch7x7x3_2", layer(f"{name}.branch7x7x3_1", x), pad=(0, 3))
        seven = layer(f"{name}.branch7x7x3_4", layer(f"{name}.branch7x7x3_3", seven, pad=(3, 0)), 2)
        return ops.cat([three, seven, ops.most(x, 2, 0)])

    def block_e(name, x, pooled):
        one = layer(f"{name}.branch1x1", x)
        three = layer(f"{name}.branch3x3_1", x)
        three_a = layer(f"{name}.branch3x3_2a", three, pad=(0, 1))
        three_b = layer(f"{name}.branch3x3_2b", three, pad=(1, 0))
        double = layer(f"{name}.branch3x3dbl_2", layer(f"{name}.branch3x3dbl_1", x), pad=(1, 1))
        double_a = layer(f"{name}.branch3x3dbl_3a", double, pad=(0, 1))
        double_b = layer(f"{name}.branch3x3dbl_3b", double, pad=(1, 0))
        return ops.cat([one, three_a, three_b, double_a, double_b, layer(f"{name}.branch_pool", pooled)])

    x = layer("Conv2d_2a_3x3", layer("Conv2d_1a_3x3", x, 2))
    x = ops.most(layer("Conv2d_2b_3x3", x, pad=(1, 1)), 2, 0)
    x = ops.most(layer("Conv2d_4a_3x3", layer("Conv2d_3b_1x1", x)), 2, 0)
    for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        x = block_a(name, x)
    x = block_b("Mixed_6a", x)
    for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        x = block_c(name, x)
    x = block_d("Mixed_7a", x)
    x = block_e("Mixed_7b", x, ops.mean(x))
    x = block_e("Mixed_7c", x, ops.last(x))
    return x.mean((2, 3))


def windows(x, height, width, stride, pad, fill):
    x = np.pad(x, ((0, 0), (0, 0), (pad[0], pad[0]), (pad[1], pad[1])), constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(x, (height, width), axis=(2, 3))  # [B, C, H, W, height, width]
    return seen[:, :, ::stride, ::stride]


def numpy_ops(**changed):
    def conv(x, w, stride, pad):
        seen = windows(x, w.shape[2], w.shape[3], stride, pad, 0)
        return np.moveaxis(np.tensordot(seen, w, axes=([1, 4, 5], [1, 2, 3])), -1, 1)

    def most(x, stride, pad):
        return windows(x, 3, 3, stride, (pad, pad), -np.inf).max((4, 5))

    own = {
        "conv": conv,
        "most": most,
        "mean": lambda x: np.nanmean(windows(x, 3, 3, 1, (1, 1), np.nan), (4, 5)),
        "last": lambda x: most(x, 1, 1),
        "cat": lambda parts: np.concatenate(parts, axis=1),
        "relu": lambda x: np.maximum(x, 0),
        "sqrt": np.sqrt,
    }
    return types.SimpleNamespace(**{**own, **changed})


def test_equals_the_network_written_out_in_numpy(weights):
    x = np.random.Generator(np.random.PCG64(1)).uniform(-1, 1, (1, 107, 79, 3)).astype(np.float32)
    ours = np.asarray(jax.jit(inception.network)(weights, jnp.asarray(x)))
    image = np.moveaxis(x, -1, 1)
    theirs = reference(numpy_ops(), weights, image)
    assert ours.shape == (1, 2_048) and np.isfinite(theirs).all() and theirs.std() > 0.1
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * theirs.max())
    counting_padding = numpy_ops(mean=lambda x: windows(x, 3, 3, 1, (1, 1), 0).mean((4, 5)))
    mean_at_last = numpy_ops(last=numpy_ops().mean)
    no_epsilon = numpy_ops(sqrt=lambda x: np.sqrt(x - 0.001))
    for other in (counting_padding, mean_at_last, no_epsilon):
        assert np.abs(ours - reference(other, weights, image)).max() > 1e-3 * theirs.max()


@pytest.mark.slow
def test_equals_the_network_written_out_in_torch(weights):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[peers]'")
    f = torch.nn.functional
    ops = types.SimpleNamespace(
        conv=lambda x, w, stride, pad: f.conv2d(x, w, stride=stride, padding=pad),
        most=lambda x, stride, pad: f.max_pool2d(x, 3, stride=stride, padding=pad),
        mean=lambda x: f.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False),
        last=lambda x: f.max_pool2d(x, 3, stride=1, padding=1),
        cat=lambda parts: torch.cat(parts, 1),
        relu=torch.relu,
        sqrt=torch.sqrt,
    )
    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    for shape in ((2, 28, 28, 1), (1, 320, 310, 3)):  # enlarged, and made smaller
        x = np.random.Generator(np.random.PCG64(2)).uniform(0, 1, shape).astype(np.float32)
        image = torch.from_numpy(np.moveaxis(x, -1, 1).copy()).expand(-1, 3, -1, -1)

        def theirs(image, align):
            big = f.interpolate(image, size=(299, 299), mode="bilinear", align_corners=align)
            with torch.no_grad():
                return reference(ops, tensors, 2 * big - 1).numpy()

        ours, expected = np.asarray(inception.features(weights, jnp.asarray(x))), theirs(image, False)
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4 * expected.max())
        assert np.abs(ours - theirs(image, True)).max() > 1e-3 * expected.max()


def between_centres(n, size):
    """Bilinear weights [size, n]: place i lies (i + 1/2) n / size - 1/2 along the centres; edges go on outside."""
    at = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n)))


@pytest.mark.parametrize("shape", [(2, 28, 31, 1), (1, 320, 310, 3)], ids=["enlarged", "made smaller"])
def test_images_are_prepared_by_interpolation_from_minus_one_to_one(shape):
    x = np.random.Generator(np.random.PCG64(2)).uniform(0, 1, shape).astype(np.float32)
    rows, columns = (between_centres(n, 299) for n in shape[1:3])
    np.testing.assert_allclose(rows.sum(1), 1)
    expected = 2 * np.einsum("ih,bhwc,jw->bijc", rows, x, columns, optimize=True) - 1
    np.testing.assert_allclose(inception.prepare(jnp.asarray(x)), expected, atol=2e-4)


def test_features_are_of_each_image_in_three_colours(monkeypatch):
    """More images than go through the network at a time."""
    monkeypatch.setattr(inception, "network", lambda weights, x: weights["of"] * x[:, ::149, ::149].reshape(len(x), -1))
    x = np.random.Generator(np.random.PCG64(2)).uniform(0, 1, (inception.PART + 3, 3, 3, 1)).astype(np.float32)
    found = np.asarray(inception.features({"of": jnp.float32(2)}, jnp.asarray(x)))
    corners = np.repeat(2 * (2 * x - 1), 3, axis=-1)  # of 3 x 3, what lies at places 0, 149 and 298 of 299
    np.testing.assert_allclose(found, corners.reshape(len(x), -1), atol=1e-5)


def test_has_the_published_parameters():
    shapes = inception.shapes()
    learned = {name: math.prod(shape) for name, shape in shapes.items() if "running" not in name}
    assert sum(learned.values()) == 23_850_960  # torchvision's 23,834,568 of 1,000 classes, and 8 more
    for prefix, count in PUBLISHED.items():
        assert sum(size for name, size in learned.items() if name.startswith(f"{prefix}.")) == count, prefix
    assert shapes["Mixed_7c.branch3x3dbl_3b.conv.weight"] == (384, 384, 3, 1)
    assert shapes["Mixed_6b.branch7x7dbl_2.conv.weight"] == (128, 128, 7, 1)


def test_files_are_read_and_other_files_refused(weights, tmp_path):
    path = tmp_path / "pt.npz"
    with pytest.raises(FileNotFoundError, match="pytorch-fid; name that file"):
        inception.read(path)
    np.savez(path, **weights)
    with pytest.raises(ValueError, match="not converted from the published weights"):
        inception.read(path)
    np.savez(path, sha256=np.array(inception.SHA256 + "00"), **weights)
    read = inception.read(path)
    assert "fc.weight" not in read and len(read) == len(weights) - 2
    np.testing.assert_array_equal(read["Conv2d_1a_3x3.conv.weight"], weights["Conv2d_1a_3x3.conv.weight"])
    fewer = {name: array for name, array in weights.items() if name != "Mixed_7b.branch_pool.bn.bias"}
    np.savez(path, sha256=np.array(inception.SHA256), **fewer)
    with pytest.raises(ValueError, match="has no 'Mixed_7b.branch_pool.bn.bias' of shape"):
        inception.read(path)
    other = tmp_path / "pt_inception.pth"
    other.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="not the published file, whose sha256 begins with 6726825d"):
        inception.read(other)


def saved_by_numpy(weights, path, monkeypatch):
    """A file of arrays, and what stands for PyTorch: `load` alone, which gives tensors that know `numpy` alone."""

    def load(path, *, weights_only):
        assert weights_only, "a file from elsewhere may run anything when it is unpickled"
        with np.load(path) as file:
            return {name: types.SimpleNamespace(numpy=functools.partial(np.copy, file[name])) for name in file.files}

    with path.open("wb") as file:
        np.savez(file, **weights)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(load=load))


def saved_by_torch(weights, path, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[peers]'")
    torch.save({name: torch.from_numpy(array) for name, array in weights.items()}, path)


@pytest.mark.parametrize("save", [saved_by_numpy, pytest.param(saved_by_torch, marks=pytest.mark.slow)])
def test_the_published_file_is_converted_without_loss(save, weights, tmp_path, monkeypatch):
    path, out = tmp_path / "pt.pth", tmp_path / "pt.npz"
    save(weights, path, monkeypatch)
    monkeypatch.setattr(inception, "SHA256", inception._sha256(path)[:8])
    inception.convert(path, out)
    one, other = inception.read(path), inception.read(out)
    assert one.keys() == other.keys() == {name for name in weights if not name.startswith("fc.")}
    for name, array in one.items():
        np.testing.assert_array_equal(array, weights[name], err_msg=name)
        np.testing.assert_array_equal(other[name], weights[name], err_msg=name)
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["pt.npz", "pt.pth"]


def test_without_torch_the_published_file_asks_for_it(tmp_path, monkeypatch):
    path = tmp_path / "pt.pth"
    path.write_bytes(b"weights")
    monkeypatch.setattr(inception, "SHA256", inception._sha256(path)[:8])
    monkeypatch.setitem(sys.modules, "torch", None)
    for read in (inception.read, lambda path: inception.convert(path, tmp_path / "pt.npz")):
        with pytest.raises(ValueError, match="pt.pth needs PyTorch .* convert it: 'python -m genjax_zoo.judges"):
            read(path)
    assert not (tmp_path / "pt.npz").exists()


def test_a_judge_sees_images_only(tmp_path):
    with pytest.raises(ValueError, match="images .* in \\[0, 1\\]"):
        judges.judge_of_inception(tmp_path / "x.npz", jnp.zeros((4, 2)))
    with pytest.raises(ValueError, match="goes from -1 to -1"):
        judges.judge_of_inception(tmp_path / "x.npz", -jnp.ones((4, 8, 8, 1)))
    with pytest.raises(FileNotFoundError, match="FID needs the published weights"):
        judges.judge_of_inception(tmp_path / "x.npz", jnp.ones((4, 8, 8, 1)))
    assert judges.judge_of("digits", (8, 8, 1)).name == "pixels" != inception.NAME
