"""Elman network against the RNN operator of ONNX Runtime, float32, forward."""

import numpy as np
import pytest
from helpers import assert_close, make_case

import fastrnn

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.peers

OPERATORS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid"}


def onnx_forward(case, activation, ragged):
    """Return h and h_last of one RNN node; its one bias vector holds both of ONNX's."""
    arrays = {
        "X": case.x,
        "W": case.U[None],
        "R": case.W[None],
        "B": np.concatenate([case.b, np.zeros_like(case.b)])[None],
        "sequence_lens": case.lengths.astype(np.int32),
        "initial_h": case.h0[None],
    }
    names = list(arrays)
    if not ragged:
        del arrays["sequence_lens"]
        names[4] = ""
    node = onnx.helper.make_node(
        "RNN", names, ["Y", "Y_h"],
        hidden_size=len(case.b), activations=[OPERATORS[activation]],
    )  # fmt: skip
    kinds = {"sequence_lens": onnx.TensorProto.INT32}
    inputs = [
        onnx.helper.make_tensor_value_info(name, kinds.get(name, onnx.TensorProto.FLOAT), a.shape)
        for name, a in arrays.items()
    ]
    outputs = [
        onnx.helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, ["T", 1, "B", "m"]),
        onnx.helper.make_tensor_value_info("Y_h", onnx.TensorProto.FLOAT, [1, "B", "m"]),
    ]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "rnn", inputs, outputs),
        opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8,
    )  # fmt: skip
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    Y, Y_h = session.run(None, arrays)
    return {"h": Y[:, 0], "h_last": Y_h[0]}


@pytest.mark.parametrize("ragged", [True, False])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (9, 5, 3, 7), (40, 7, 13, 19)])
@pytest.mark.parametrize("activation", OPERATORS)
def test_forward(activation, sizes, ragged):
    case = make_case(210, *sizes, 1, dtype=np.float32)
    case.lengths = np.maximum(case.lengths, 1)  # at length 0 ONNX Runtime's Y_h is 0, not h0
    got = fastrnn.elman_forward(
        case.x, case.U, case.W, case.b, case.h0,
        lengths=case.lengths if ragged else None, activation=activation,
    )  # fmt: skip
    assert_close(got._asdict(), onnx_forward(case, activation, ragged), 1e-5)
