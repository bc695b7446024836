"""Products of FP8 numbers: the reference against exact sums, the fast one against the reference, errors by recipe."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from corpusmill.dataproc.errors import UserError
from corpusmill.training.fp8.alignment import align, gather_rows, spread_rows
from corpusmill.training.fp8.backend import backend_for
from corpusmill.training.fp8.e5m6 import pack_rows, unpack_rows
from corpusmill.training.fp8.quantize import Tiles, dequantize, quantize_blocks, quantize_columns, quantize_rows
from corpusmill.training.fp8.reference import Emulated, Reference, promoted_product

CPU = torch.device("cpu")


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def slow_product(a: Tiles, b: Tiles) -> Tensor:
    """The reference's sums by exact fractions, rounded to FP32 where the definition says."""
    left, right = a.codes.float(), b.codes.float()
    out = np.zeros((len(left), len(right)), np.float32)
    for row in range(len(left)):
        for column in range(len(right)):
            total = np.float32(0)
            for tile in range(a.scales.shape[1]):
                places = slice(128 * tile, 128 * tile + 128)
                pairs = zip(left[row, places].tolist(), right[column, places].tolist(), strict=True)
                partial = np.float32(float(sum(Fraction(x) * Fraction(y) for x, y in pairs)))
                scale = np.float32(a.scales[row, tile].item()) * np.float32(b.scales[column, tile].item())
                total = np.float32(total + partial * scale)
            out[row, column] = total
    return torch.from_numpy(out)


def test_the_reference_is_its_definition_bit_for_bit_in_any_order_of_sums():
    a, b = quantize_rows(normal(3, 300)), quantize_rows(normal(4, 300, seed=1))
    assert torch.equal(promoted_product(a, b), slow_product(a, b))
    reversed_tile = torch.cat([torch.arange(127, -1, -1), torch.arange(255, 127, -1), torch.arange(299, 255, -1)])
    shuffled = (Tiles(t.codes.view(torch.uint8)[:, reversed_tile].view(t.codes.dtype), t.scales) for t in (a, b))
    assert torch.equal(promoted_product(*shuffled), promoted_product(a, b))


@pytest.mark.parametrize("shape", [(5, 130, 300), (256, 128, 128), (1, 7, 80)])
def test_emulation_is_the_reference_but_for_the_rounding_of_fp32(shape):
    rows, outputs, inputs = shape
    x, w, dy = (
        normal(rows, inputs).bfloat16(),
        normal(outputs, inputs, seed=1).bfloat16(),
        normal(rows, outputs, seed=2),
    )
    fast, slow = Emulated(), Reference()
    a, b = quantize_rows(x), quantize_blocks(w)
    torch.testing.assert_close(fast.product(a, b), slow.product(a, b), rtol=2**-7, atol=1e-5)
    back = (quantize_rows(dy), b.transposed())
    torch.testing.assert_close(fast.product(*back), slow.product(*back), rtol=2**-7, atol=1e-5)
    along = (quantize_columns(dy), quantize_columns(x))
    torch.testing.assert_close(fast.weight_gradient(*along), slow.weight_gradient(*along), rtol=1e-4, atol=1e-5)
    exact = dequantize(a).double() @ dequantize(b).double().t()
    torch.testing.assert_close(slow.product(a, b).double(), exact, rtol=2**-8, atol=1e-5)


@pytest.mark.parametrize("backend", [Emulated(), Reference()], ids=lambda backend: backend.name)
def test_grouped_products_are_those_of_each_expert_alone_and_empty_experts_get_zero(backend):
    counts = [128, 0, 256, 128]
    ends = torch.tensor(counts).cumsum(0).to(torch.int32)
    x, dy, w = normal(512, 144), normal(512, 80, seed=1), normal(4, 80, 144, seed=2)
    out = backend.product(quantize_rows(x), quantize_blocks(w), ends)
    gradient = backend.weight_gradient(quantize_columns(dy), quantize_columns(x), ends)
    begin = 0
    for expert, count in enumerate(counts):
        own = slice(begin, begin + count)
        begin += count
        if not count:
            assert not gradient[expert].any()
            continue
        alone = backend.product(quantize_rows(x[own]), quantize_blocks(w[expert]))
        torch.testing.assert_close(out[own], alone, rtol=2**-7, atol=1e-5)
        alone = backend.weight_gradient(quantize_columns(dy[own]), quantize_columns(x[own]))
        torch.testing.assert_close(gradient[expert], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("counts", [[3, 0, 130, 128], [0, 0], [1], [256, 0, 7]])
def test_rows_of_experts_move_to_multiples_of_128_and_back_and_their_gradients_too(counts):
    ends = torch.tensor(counts).cumsum(0).to(torch.int32)
    rows = normal(sum(counts), 4).requires_grad_()
    alignment = align(ends, len(rows))
    spread = spread_rows(rows, alignment)
    begin = 0
    for expert, count in enumerate(counts):
        first = int(alignment.ends[expert - 1]) if expert else 0
        assert int(alignment.ends[expert]) - first == -(-count // 128) * 128
        assert torch.equal(spread[first : first + count], rows[begin : begin + count])
        assert not spread[first + count : int(alignment.ends[expert])].any()
        begin += count
    assert torch.equal(gather_rows(spread, alignment), rows)
    weights = normal(len(rows), 4, seed=1)
    (gather_rows(spread * 2, alignment) * weights).sum().backward()
    assert torch.equal(rows.grad, 2 * weights)


def difference(product: Tensor, exact: Tensor) -> float:
    return ((product.double() - exact).norm() / exact.norm()).item()


def test_errors_are_those_of_the_reports_recipe():
    """256 x 256 x 4,096 Gaussian values, weights with 0.006: relative error against exact products."""
    x, w, g = normal(256, 4096), normal(256, 4096, seed=1, scale=0.006), normal(4096, 256, seed=2)
    exact, reference = x.double() @ w.double().t(), Reference()

    def error(power_of_two: bool) -> float:
        a, b = quantize_rows(x, power_of_two), quantize_blocks(w, power_of_two)
        return difference(reference.product(a, b), exact)

    assert error(False) == pytest.approx(0.0369, abs=0.001)
    assert error(True) == pytest.approx(0.0376, abs=0.001)
    y = normal(4096, 256, seed=3)
    gradient = reference.weight_gradient(quantize_columns(g), quantize_columns(y))
    assert difference(gradient, g.double().t() @ y.double()) == pytest.approx(0.0364, abs=0.001)
    stored = unpack_rows(pack_rows(x)).double() @ dequantize(quantize_blocks(w)).double().t()
    assert difference(stored, exact) == pytest.approx(0.0267, abs=0.001)


def test_outliers_cost_a_tile_and_not_a_block():
    x, w = normal(256, 4096), normal(256, 4096, seed=1, scale=0.006)
    few = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)) < 1e-3
    x = torch.where(few, 100 * x, x)
    exact = x.double() @ w.double().t()
    weights = dequantize(quantize_blocks(w)).double()
    tiles = difference(dequantize(quantize_rows(x)).double() @ weights.t(), exact)
    blocks = difference(dequantize(quantize_blocks(x)).double() @ weights.t(), exact)
    assert tiles < 0.03 < 0.034 < blocks


def test_a_back_end_that_cannot_run_here_is_refused_with_the_reason_and_never_replaced():
    for name in ("cublas", "deepgemm"):
        with pytest.raises(UserError, match="needs a GPU"):
            backend_for(name, CPU)
    assert backend_for("auto", CPU).name == "emulated"
    assert backend_for("reference", CPU).name == "reference"
