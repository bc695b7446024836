"""Our Triton kernels as a back end; cuBLAS and DeepGEMM quantise by them as well."""

from torch import Tensor

from corpusmill.training.fp8.backend import Backend
from corpusmill.training.fp8.kernels import products
from corpusmill.training.fp8.kernels.quantize import quantize
from corpusmill.training.fp8.quantize import Blocks, Tiles


class TritonQuantizers(Backend):
    """A back end whose tiles are made by Triton kernels. Blocks of weights, once a pass, are made by torch."""

    def rows(self, x: Tensor, power_of_two: bool) -> Tiles:
        tiles, _ = quantize(x, True, False, power_of_two)
        assert tiles is not None
        return tiles

    def columns(self, x: Tensor, power_of_two: bool) -> Tiles:
        _, tiles = quantize(x, False, True, power_of_two)
        assert tiles is not None
        return tiles

    def rows_and_columns(self, x: Tensor, power_of_two: bool) -> tuple[Tiles, Tiles]:
        rows, columns = quantize(x, True, True, power_of_two)
        assert rows is not None and columns is not None
        return rows, columns

    def swiglu_rows(self, gate: Tensor, up: Tensor, power_of_two: bool) -> Tiles:
        tiles, _ = quantize(gate, True, False, power_of_two, up)
        assert tiles is not None
        return tiles


class TritonBackend(TritonQuantizers):
    """See `training/fp8/kernels/products.py`."""

    name = "triton"

    def product(self, a: Tiles, b: Blocks, ends: Tensor | None = None) -> Tensor:
        return products.product(a, b, ends)

    def weight_gradient(self, a: Tiles, b: Tiles, ends: Tensor | None = None) -> Tensor:
        return products.weight_gradient(a, b, ends)
