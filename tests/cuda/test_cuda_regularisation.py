"""Dropout, weight decay and best-validation stopping on an emulated GPU, against the CPU."""

import numpy as np
import pytest
from emulator import emulated_device
from helpers import assert_close

import fastrnn
import tdnn

T, B = 4, 3


def stack(same_mask):
    bodies = [tdnn.TDNN(2, [(4, (-1, 0))], dtype=np.float64, rng=0)]
    bodies.append(fastrnn.Elman(4, 3, dtype=np.float64, rng=1))
    body = fastrnn.Stack(bodies, dropout=0.4, same_mask=same_mask, rng=2)
    return fastrnn.SequenceModel(body, 2, dropout=0.3, same_mask=same_mask, rng=3)


def batches():
    rng = np.random.default_rng(4)
    x, targets = rng.standard_normal((T, B, 2)), rng.integers(0, 2, (T, B))
    return (x, targets, np.array([T, 0, 2])), (x[::-1].copy(), targets, np.array([T, T, 1]))


@pytest.mark.parametrize("same_mask", [False, True])
def test_fit_with_dropout_weight_decay_and_patience(same_mask):
    data, validation = batches()
    settings = {"epochs": 3, "validation": validation, "patience": 1, "progress": False}
    here = stack(same_mask)
    plain = stack(same_mask)
    with emulated_device("desc", multiprocessors=0):
        there = here.to("cuda")
        found = fastrnn.fit(there, data, optimizer=fastrnn.Adam(0.5, weight_decay=0.1), **settings)
        trained = there.to("cpu")
    want = fastrnn.fit(here, data, optimizer=fastrnn.Adam(0.5, weight_decay=0.1), **settings)
    fastrnn.fit(plain, data, optimizer=fastrnn.Adam(0.5), **settings)
    assert found.best_epoch == want.best_epoch
    assert_close(trained.parameters(), here.parameters(), 1e-9)
    differ = [not np.allclose(a, plain.parameters()[n]) for n, a in here.parameters().items()]
    assert any(differ)  # the decay does something


@pytest.mark.parametrize("deep", [False, True])
def test_a_body_made_for_the_cpu_is_refused(deep):
    body = tdnn.ResidualTDNN(3, [4], rng=0)
    model = fastrnn.SequenceModel(fastrnn.Stack([body]) if deep else body, 2, rng=0)
    with (
        emulated_device("asc"),
        pytest.raises(ValueError, match="^device: expected 'cpu' with a body of kind 'tdnn-resid"),
    ):
        model.to("cuda")
    assert model.to("cpu").device == "cpu"
