"""Losses, tokens, optimizers, readouts and the time-delay layer compile for GPUs not there.

    pytest -s tests/cuda/test_compiling_layers.py

prints the table. Kernels of both float types are compiled for float32; of those with long inner
loops also the ones for float64.
"""

import numpy as np
import pytest
from compiling import as_text, complaints, table

from fastrnn.cuda import checks, dropout, gemm, inputs, intrinsics, losses, optimizers, readout
from tdnn.cuda import passes, products, rows

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(bool(intrinsics.missing), reason=intrinsics.missing or "CUDA is installed"),
]
F, D = np.float32, np.float64
KERNELS = {
    "tdnn products, large tile": products.products(F, gemm.LARGE, False),
    "tdnn products, small tile": products.products(F, gemm.SMALL, False),
    "tdnn products, transposed": products.products(F, gemm.SMALL, True),
    "tdnn products, float64": products.products(D, gemm.SMALL, False),
    "tdnn count_frames": rows.count_frames,
    "tdnn list_windows": rows.list_windows,
    "tdnn list_inputs": rows.list_inputs,
    "tdnn list_step": rows.list_step,
    "tdnn edge_sums": rows.edge_sums(F),
    "tdnn slopes": passes._slopes(F),
    "tdnn copy": passes._copy(F),
    "tdnn token_frames": passes._token_frames(F),
    "tdnn listed_tokens": passes._listed_tokens,
    "softmax_cross_entropy (value float64)": losses._softmax_loss(F),
    "sigmoid_cross_entropy (value float64)": losses._sigmoid_loss(F),
    "squared_error (value float64)": losses._squared_loss(F),
    "sum of losses, float64": losses._add_blocks,
    "softmax": losses._softmax_rows(F),
    "sigmoid": losses._sigmoid_rows(F),
    "softmax, float64": losses._softmax_rows(D),
    "token_rows": inputs._token_rows(F),
    "transpose": inputs.transpose(F),
    "ids_alive": inputs._ids_alive,
    "token_parts": inputs._token_parts(F),
    "join_parts": inputs._join_parts(F),
    "find_outside": checks._outside(np.int64),
    "find_outside, float32": checks._outside(F),
    "least": checks._least,
    "sgd": optimizers._sgd(F),
    "rmsprop": optimizers._rmsprop(F),
    "adagrad": optimizers._adagrad(F),
    "adam": optimizers._adam(F),
    "adam, float64": optimizers._adam(D),
    "square_sums (in float64)": optimizers._square_sums(F),
    "norm, float64": optimizers._norm,
    "scale (in float64)": optimizers._scale(F),
    "shrink": optimizers._shrink(F),
    "dropout": dropout._multiply(F),
    "readout": readout._read(F),
    "readout backward": readout._read_backward(F),
}


def test_every_kernel_compiles_without_spills_or_float64(capsys):
    found = table(KERNELS)
    with capsys.disabled():
        print("\n" + as_text(found))
    assert complaints(found) == []
    # Numbers that a loop picks by place would be kept in local memory: too slow for a product.
    assert [name for name, capability, use in found if use.stack and capability == (9, 0)] == []
