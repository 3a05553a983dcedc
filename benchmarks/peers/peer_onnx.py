"""ONNX Runtime as a contender: its RNN operator, which has no backward pass."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info
from onnx.numpy_helper import from_array

from benchmarks.peers.cases import Case
from benchmarks.peers.inputs import Inputs
from benchmarks.peers.timing import Contender

__all__ = ["contenders"]


def contenders(case: Case, inputs: Inputs, threads: int) -> list[Contender]:
    """Return ONNX Runtime's ways to do a case; its operator knows float32 only."""
    if case.direction != "F" or case.dtype != "float32" or case.group not in ("elman", "step"):
        return []
    session = _session(inputs, threads)
    if case.group == "step":
        return [_step(session, inputs)]
    return [_plain(session, inputs), _bound(session, inputs)]


def _session(a: Inputs, threads: int) -> Any:
    """Return a session of one RNN node; the weights are constants, so they are packed once."""
    T, B, p = a.x.shape
    m, kind = len(a.b), onnx.TensorProto.FLOAT
    biases = np.concatenate([a.b, np.zeros_like(a.b)])  # the operator has two
    weights = {"W": a.U[None], "R": a.W[None], "B": biases[None]}
    graph = make_graph(
        [make_node("RNN", ["X", "W", "R", "B", "", "h0"], ["Y", "Y_h"], hidden_size=m)],
        "rnn",
        [
            make_tensor_value_info("X", kind, [T, B, p]),
            make_tensor_value_info("h0", kind, [1, B, m]),
        ],
        [
            make_tensor_value_info("Y", kind, [T, 1, B, m]),
            make_tensor_value_info("Y_h", kind, [1, B, m]),
        ],
        initializer=[from_array(array, name) for name, array in weights.items()],
    )
    # Versions that every ONNX Runtime of the last years reads, whatever this onnx would write.
    model = make_model(graph, opset_imports=[make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _results(returned: Any) -> dict[str, Any]:
    Y, Y_h = returned
    return {"h": Y[:, 0], "h_last": Y_h[0]}


def _plain(session: Any, a: Inputs) -> Contender:
    feed = {"X": a.x, "h0": a.h0[None]}
    return Contender("onnx", lambda: session.run(None, feed), _results, "run")


def _bound(session: Any, a: Inputs) -> Contender:
    """Inputs and outputs are bound to buffers once: no copies, no allocation."""
    T, B, _ = a.x.shape
    m = len(a.b)
    binding = session.io_binding()
    outputs = [np.empty((T, 1, B, m), np.float32), np.empty((1, B, m), np.float32)]
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in outputs]
    for name, array in (("X", a.x), ("h0", a.h0[None])):
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    for name, value in zip(("Y", "Y_h"), values, strict=True):
        binding.bind_ortvalue_output(name, value)

    def run() -> Any:
        session.run_with_iobinding(binding)

    def results(_returned: Any) -> dict[str, Any]:
        return _results([value.numpy() for value in values])

    return Contender("onnx", run, results, "bound")


def _step(session: Any, a: Inputs) -> Contender:
    x_t = a.x[:1]
    state = [np.zeros_like(a.h0)[None]]

    def step() -> Any:
        (state[0],) = session.run(["Y_h"], {"X": x_t, "h0": state[0]})
        return state[0]

    def five(_returned: Any) -> dict[str, Any]:
        state[0] = np.zeros_like(a.h0)[None]
        return {"h": [step() for _ in range(5)][-1][0]}

    return Contender("onnx", step, five)
