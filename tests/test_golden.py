"""Vectors frozen from PyTorch, in float64: kernels and reference are held to them without it."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_close, error

import fastrnn
import tdnn
import tdnn.reference
from fastrnn import reference
from fastrnn.linear import linear_backward, linear_forward

FOLDER = Path(__file__).parent / "golden"
SETTINGS = json.loads((FOLDER / "cases.json").read_text())["cases"]


def cases(kind):
    return [name for name, settings in SETTINGS.items() if settings["kind"] == kind]


def vectors(case):
    with np.load(FOLDER / "vectors.npz", allow_pickle=False) as archive:
        found = {
            name.partition("/")[2]: archive[name]
            for name in archive.files if name.startswith(case + "/")
        }  # fmt: skip
    assert all(array.dtype in (np.float64, np.int64) for array in found.values())
    return found


def test_every_vector_belongs_to_a_case():
    with np.load(FOLDER / "vectors.npz", allow_pickle=False) as archive:
        assert {name.partition("/")[0] for name in archive.files} == set(SETTINGS)
    assert len(cases("elman")) >= 4 and len(cases("tdnn")) >= 6 and len(cases("loss")) == 3
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 200_000


@pytest.mark.parametrize("case", cases("elman"))
def test_elman(case):
    s, v = SETTINGS[case], vectors(case)
    T, B = v["x"].shape[:2]
    lengths = np.full(B, T) if s["lengths"] is None else np.array(s["lengths"])
    h0, activation, want = v.get("h0"), s["activation"], {k: v[k] for k in ("h", "h_last", "value")}
    want |= {name: v[name] for name in ("dx", "dU", "dW", "db", "dV", "dc", "dh0") if name in v}

    state = fastrnn.elman_forward(
        v["x"], v["U"], v["W"], v["b"], h0, lengths=s["lengths"], activation=activation
    )
    o = linear_forward(state.h, v["V"], v["c"], lengths, None)
    loss = getattr(fastrnn, s["loss"])(o, v["targets"], lengths=lengths)
    back = linear_backward(loss.do, state.h, v["V"], lengths, None)
    grads = fastrnn.elman_backward(
        back.dh, v["x"], state.h, v["U"], v["W"], h0,
        dh_last=v["dh_last"], lengths=s["lengths"], activation=activation,
    )  # fmt: skip
    got = {**state._asdict(), "value": loss.value, **grads._asdict(), "dV": back.dV, "dc": back.dc}
    assert_close({name: got[name] for name in want}, want, 1e-12)

    state = reference.elman_forward(v["x"], v["U"], v["W"], v["b"], h0, lengths, activation)
    o = reference.linear_forward(state.h, v["V"], v["c"], lengths)
    loss = getattr(reference, s["loss"])(o, v["targets"], lengths)
    back = reference.linear_backward(loss.do, state.h, v["V"], lengths)
    grads = reference.elman_backward(
        back.dh, v["x"], state.h, v["U"], v["W"], h0, v["dh_last"], lengths, activation
    )
    got = {**state._asdict(), "value": loss.value, **grads._asdict(), "dV": back.dV, "dc": back.dc}
    assert_close({name: got[name] for name in want}, want, 1e-12)


@pytest.mark.parametrize("case", cases("tdnn"))
def test_tdnn(case):
    s, v = SETTINGS[case], vectors(case)
    want = {name: v[name] for name in ("h", "dx", "dW", "db")}
    options = {name: s[name] for name in ("activation", "padding", "stride")}
    for order in (1, -1):  # of the offsets
        W, offsets = np.ascontiguousarray(v["W"][::order]), s["offsets"][::order]
        state = tdnn.tdnn_forward(v["x"], W, v["b"], offsets, **options)
        grads = tdnn.tdnn_backward(v["dh"], v["x"], state.h, W, offsets, **options)
        got = {"h": state.h, **grads._asdict(), "dW": grads.dW[::order]}
        assert_close(got, want, 1e-12)
        plain = (None, *options.values())
        state = tdnn.reference.tdnn_forward(v["x"], W, v["b"], offsets, *plain)
        grads = tdnn.reference.tdnn_backward(v["dh"], v["x"], state.h, W, offsets, *plain)
        got = {"h": state.h, **grads._asdict(), "dW": grads.dW[::order]}
        assert_close(got, want, 1e-12)


@pytest.mark.parametrize("case", cases("loss"))
def test_loss(case):
    s, v = SETTINGS[case], vectors(case)
    compiled = getattr(fastrnn, s["loss"])(v["o"], v["targets"], weights=v["weights"])
    plain = getattr(reference, s["loss"])(v["o"], v["targets"], None, v["weights"])
    for value, do in (compiled, plain):
        assert error(value, v["value"]) <= 1e-12
        assert error(do, v["do"]) <= 1e-12
