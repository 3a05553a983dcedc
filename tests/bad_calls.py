"""The table of wrong calls: function, argument changed, its value, error, and what it must say."""

import numpy as np

import fastrnn
import tdnn
from fastrnn.elman import ElmanTrace
from fastrnn.jordan import JordanTrace
from fastrnn.stack import StackTrace
from tdnn.network import TDNNTrace

T, B, P, M, Q = 6, 2, 3, 5, 4
X, IDS, H = np.zeros((T, B, P)), np.zeros((T, B), int), np.zeros((T, B, M))
U, W, BIAS, H0 = np.zeros((M, P)), np.zeros((M, M)), np.zeros(M), np.zeros((B, M))
OUT, LABELS, ONES = np.zeros((T, B, Q)), np.zeros((T, B, Q)), np.ones((T, B))
TAPS = np.zeros((2, M, P))
BACK, V, C, FLAGS = np.zeros((M, Q)), np.zeros((Q, M)), np.zeros(Q), np.zeros((T, B), bool)
X32 = X.astype(np.float32)


def model(body="elman", **settings):
    """Return a small model of float64."""
    if body == "elman":
        network = fastrnn.Elman(P, M, dtype=float, rng=0)
    else:
        network = tdnn.TDNN(P, [(M, (-1, 0))], dtype=float, rng=0)
    return fastrnn.SequenceModel(network, Q, rng=0, **settings)


EACH, LAST, LABEL = model(), model(readout="last"), model(loss="sigmoid", readout="mean")
TIME = model("tdnn")
FED = fastrnn.SequenceModel(fastrnn.Jordan(P, M, Q, dtype=float, rng=0))
# What forward returns for X; made by hand, so that collecting the tests compiles nothing.
FULL = np.array([T, T])
TRACE = ElmanTrace(H, H0, X, None, None)
LOW, HIGH = fastrnn.Elman(P, M, dtype=float, rng=0), fastrnn.Elman(M, M, dtype=float, rng=0)
DEEP = fastrnn.SequenceModel(fastrnn.Stack([LOW, HIGH]), Q, rng=0)
DEEP_TRACE = StackTrace(H, None, (TRACE, TRACE._replace(x=H)))
FED_TRACE = JordanTrace(H, OUT, OUT, X, None, None, None, None, None)
TIME_TRACE = TDNNTrace(H, FULL, X, None, (tdnn.TDNNState(H, FULL),))
WEIGHTS = {
    "weight_ih_l0": U, "weight_hh_l0": W, "bias_ih_l0": BIAS, "bias_hh_l0": BIAS,
}  # fmt: skip
GRADS = {name: np.ones_like(array) for name, array in EACH.parameters().items()}
ADAM = fastrnn.Adam()
BATCH = (X, IDS)

# function -> what a right call takes
RIGHT = {
    fastrnn.elman_forward: {"x": X, "U": U, "W": W, "b": BIAS, "h0": H0, "lengths": [T, 2]},
    fastrnn.elman_backward: {
        "dh": H, "x": X, "h": H, "U": U, "W": W, "h0": H0, "dh_last": H0, "lengths": [T, 2],
    },
    fastrnn.jordan_forward: {
        "x": X, "U": U, "W": BACK, "b": BIAS, "V": V, "c": C, "y": IDS, "lengths": [T, 2],
    },
    fastrnn.jordan_backward: {
        "do": OUT, "x": X, "h": H, "o": OUT, "U": U, "W": BACK, "V": V, "lengths": [T, 2],
    },
    fastrnn.softmax_cross_entropy: {"o": OUT, "targets": IDS, "weights": ONES, "lengths": [T, 2]},
    fastrnn.sigmoid_cross_entropy: {"o": OUT, "targets": LABELS, "weights": ONES},
    fastrnn.squared_error: {"o": OUT, "targets": LABELS, "weights": ONES},
    fastrnn.Elman: {"input_size": P, "hidden_size": M},
    fastrnn.Elman.from_torch: {"state_dict": WEIGHTS},
    EACH.body.forward: {"x": X, "h0": H0},
    EACH.body.backward: {"dh": H, "state": TRACE, "dh_last": H0},
    EACH.body.stream: {},
    fastrnn.SequenceModel: {"body": EACH.body, "output_size": Q},
    EACH.forward: {"x": X},
    EACH.predict: {"x": X},
    EACH.loss: {"x": X, "targets": IDS, "lengths": [T, 2]},
    EACH.loss_and_grad: {"x": X, "targets": IDS, "weights": ONES},
    LAST.loss: {"x": X, "targets": [0, 3]},
    LABEL.loss: {"x": X, "targets": LABELS[0], "weights": [1, 0.5]},
    EACH.stream: {},
    EACH.astype: {"dtype": "f4"},
    fastrnn.thread_count: {"threads": 2},
    tdnn.tdnn_forward: {"x": X, "W": TAPS, "b": BIAS, "offsets": (-1, 0), "padding": "zero"},
    tdnn.tdnn_backward: {
        "dh": H, "x": X, "h": H, "W": TAPS, "offsets": (-1, 0), "padding": "zero",
    },
    fastrnn.Jordan: {"input_size": P, "hidden_size": M, "output_size": Q},
    FED.body.forward: {"x": X, "y": IDS, "z0": OUT[0]},
    FED.body.backward: {"do": OUT, "state": FED_TRACE},
    FED.body.carry: {"state": FED_TRACE, "steps": 3},
    FED.body.stream: {},
    FED.forward: {"x": X, "y": IDS},
    FED.loss: {"x": X, "targets": IDS, "lengths": [T, 2]},
    FED.loss_and_grad: {"x": X, "targets": IDS, "weights": ONES},
    tdnn.TDNN: {"input_size": P, "layers": "-1,0 0,2", "hidden_size": M},
    TIME.body.forward: {"x": X},
    TIME.body.backward: {"dh": H, "state": TIME_TRACE},
    TIME.body.stream: {},
    TIME.loss: {"x": X, "targets": IDS},
    fastrnn.Stack: {"bodies": [LOW, HIGH]},
    fastrnn.Stack.from_torch: {"state_dict": WEIGHTS},
    DEEP.body.forward: {"x": X, "h0": (None, H0)},
    DEEP.body.backward: {"dh": H, "state": DEEP_TRACE, "dh_last": (H0, None)},
    DEEP.body.stream: {},
    DEEP.loss: {"x": X, "targets": IDS},
    fastrnn.SGD: {"learning_rate": 0.1},
    fastrnn.RMSProp: {},
    fastrnn.AdaGrad: {},
    fastrnn.Adam: {},
    ADAM.step: {"parameters": EACH.parameters(), "gradients": GRADS},
    ADAM.restore: dict(zip(("arrays", "settings"), ADAM.state(), strict=True)),
    fastrnn.clip_by_norm: {"gradients": GRADS, "max_norm": 1e9},
    fastrnn.fit: {"model": EACH, "data": BATCH, "optimizer": ADAM, "epochs": 0},
}  # fmt: skip

FLOATS = "float32 or float64"
SHAPE_X = "(T, B, p)"


def rows(function, *cases):
    """Return the cases (argument changed, its value, error, name said, parts of the message)."""
    return [(function, *case) for case in cases]


LENGTHS = [
    ("lengths", [T, -1], ValueError, "lengths", "from 0 to T = 6", "got -1 at position 1"),
    ("lengths", [T + 1, 0], ValueError, "lengths", "from 0 to T = 6", "got 7 at position 0"),
    ("lengths", [6.0, 6.0], TypeError, "lengths", "integers of shape (B,)", "got float64"),
    ("lengths", [True, True], TypeError, "lengths", "integers", "got bool"),
    ("lengths", ["6", "6"], TypeError, "lengths", "integers", "got <U1"),
    ("lengths", [6, None], TypeError, "lengths", "integers", "got object (int)"),
    ("lengths", [6], ValueError, "x, lengths", "B = 2 as in x", "got shape (1,)"),
    ("lengths", [[6, 6]], ValueError, "lengths", "shape (B,)", "got shape (1, 2)"),
    ("lengths", 6, ValueError, "lengths", "shape (B,)", "got shape ()"),
]
ACTIVATION = [
    ("activation", "gelu", ValueError, "activation", "['tanh', 'relu', ", "got 'gelu'"),
    ("activation", np.tanh, TypeError, "activation", "one of ['tanh'", "got <ufunc 'tanh'>"),
]
THREADS = [
    ("threads", 0, ValueError, "threads", "an integer >= 1", "got 0"),
    ("threads", 2.0, TypeError, "threads", "an integer >= 1", "got 2.0"),
    ("threads", True, TypeError, "threads", "an integer >= 1", "got True"),
    ("threads", "2", TypeError, "threads", "an integer >= 1", "got '2'"),
]
INPUT = [
    ("x", None, TypeError, "x", SHAPE_X, "or integer token ids of shape (T, B)", "(NoneType)"),
    ("x", X.astype(int), TypeError, "x", SHAPE_X, "got int64 of shape (6, 2, 3)"),
    ("x", X.astype(complex), TypeError, "x", FLOATS, "got complex128"),
    ("x", X.astype(object), TypeError, "x", FLOATS, "got object (float)"),
    ("x", X.astype(np.float16), TypeError, "x", FLOATS, "got float16"),
    ("x", X > 0, TypeError, "x", FLOATS, "got bool"),
    ("x", np.ma.masked_array(X), TypeError, "x", "a plain array", "got a masked array"),
    ("x", [[[1.0, 2.0]], [[1.0]]], TypeError, "x", "an array", "got a list", "inhomogeneous"),
    ("x", "text", TypeError, "x", FLOATS, "got <U4 of shape ()"),
    ("x", X[0], ValueError, "x", "shape (T, B, p)", "got shape (2, 3)"),
    ("x", X[:, :, :0], ValueError, "x", "p >= 1", "got shape (6, 2, 0)"),
    ("x", IDS + P, ValueError, "x", "integers from 0 to 2", "got 3 at position (0, 0)"),
    ("x", IDS - np.eye(T, B, -1, int), ValueError, "x", "0 to 2", "got -1 at position (1, 0)"),
]
TABLE = [
    *rows(fastrnn.elman_forward, *INPUT, *LENGTHS, *ACTIVATION, *THREADS),
    *rows(
        fastrnn.elman_forward,
        ("x", X32, TypeError, "x, U", "one dtype", "got float32 and float64"),
        ("x", X[:, :, :2], ValueError, "x, U", "p = 2 as in x", "got shape (5, 3)"),
        ("U", U.T, ValueError, "x, U", "shape (m, p) with p = 3 as in x", "got shape (3, 5)"),
        ("U", U[0], ValueError, "U", "shape (m, p)", "got shape (3,)"),
        ("U", U[:0], ValueError, "U", "m >= 1", "got shape (0, 3)"),
        ("U", U.astype(int), TypeError, "U", FLOATS, "got int64"),
        ("U", U.astype("f4"), TypeError, "x, U", "one dtype", "got float64 and float32"),
        ("W", W[:, :4], ValueError, "U, W", "shape (m, m) with m = 5", "got shape (5, 4)"),
        ("W", 0.5, ValueError, "W", "shape (m, m)", "got shape ()"),
        ("W", np.ma.masked_array(W), TypeError, "W", "a plain array", "masked"),
        ("b", BIAS[:1], ValueError, "U, b", "shape (m,) with m = 5 as in U", "got shape (1,)"),
        ("b", BIAS[None], ValueError, "b", "shape (m,)", "got shape (1, 5)"),
        ("b", None, TypeError, "b", FLOATS, "got object (NoneType)"),
        ("b", [0] * M, TypeError, "b", FLOATS, "got int64"),
        ("h0", H0[0], ValueError, "h0", "shape (B, m)", "got shape (5,)"),
        ("h0", H0[:1], ValueError, "x, h0", "B = 2 as in x", "got shape (1, 5)"),
        ("h0", H0[:, :3], ValueError, "U, h0", "m = 5 as in U", "got shape (2, 3)"),
        ("h0", H0.astype("f4"), TypeError, "x, h0", "one dtype", "float64 and float32"),
    ),
    *rows(fastrnn.elman_backward, *LENGTHS[:1], *ACTIVATION[:1], *THREADS[:1]),
    *rows(
        fastrnn.elman_backward,
        ("dh", H[0], ValueError, "dh", "shape (T, B, m)", "got shape (2, 5)"),
        ("dh", H.astype(int), TypeError, "dh", FLOATS, "got int64"),
        ("dh", None, TypeError, "dh", FLOATS, "got object (NoneType)"),
        ("dh", H[1:], ValueError, "dh, x", "T = 5 as in dh", "got shape (6, 2, 3)"),
        ("dh", H.astype("f4"), TypeError, "dh, x", "one dtype", "float32 and float64"),
        ("x", X.astype(int), TypeError, "x", SHAPE_X, "got int64 of shape (6, 2, 3)"),
        ("x", IDS + 7, ValueError, "x", "from 0 to 2", "got 7 at position (0, 0)"),
        ("h", H[:, :1], ValueError, "dh, h", "B = 2 as in dh", "got shape (6, 1, 5)"),
        ("h", H[:, :, :2], ValueError, "dh, h", "m = 5 as in dh", "got shape (6, 2, 2)"),
        ("U", U[:2], ValueError, "dh, U", "m = 5 as in dh", "got shape (2, 3)"),
        ("W", W[:4], ValueError, "dh, W", "m = 5 as in dh", "got shape (4, 5)"),
        ("h0", H0[:, :1], ValueError, "dh, h0", "m = 5 as in dh", "got shape (2, 1)"),
        ("dh_last", H, ValueError, "dh_last", "shape (B, m)", "got shape (6, 2, 5)"),
        ("dh_last", H0 * 1j, TypeError, "dh_last", FLOATS, "got complex128"),
    ),
    *rows(fastrnn.jordan_forward, *INPUT, *LENGTHS, *ACTIVATION, *THREADS),
    *rows(
        fastrnn.jordan_forward,
        ("W", BACK[:4], ValueError, "U, W", "shape (m, q) with m = 5", "got shape (4, 4)"),
        ("V", V[:3], ValueError, "W, V", "shape (q, m) with q = 4 as in W", "got shape (3, 5)"),
        ("V", V.astype("f4"), TypeError, "x, V", "one dtype", "got float64 and float32"),
        ("c", BIAS, ValueError, "W, c", "q = 4 as in W", "got shape (5,)"),
        ("b", None, TypeError, "b", FLOATS, "got object (NoneType)"),
        ("y", OUT[..., 0], ValueError, "y", "shape (T, B, q)", "got shape (6, 2)"),
        ("y", OUT.astype(int), TypeError, "y", "(T, B, q)", "integer classes of shape (T, B)"),
        ("y", OUT[:, :, :2], ValueError, "W, y", "q = 4 as in W", "got shape (6, 2, 2)"),
        ("y", IDS[1:], ValueError, "x, y", "T = 6 as in x", "got shape (5, 2)"),
        ("y", IDS + Q, ValueError, "y", "integers from 0 to 3", "got 4 at position (0, 0)"),
        ("y", IDS - np.eye(T, B, -3, int), ValueError, "y", "0 to 3", "got -1 at position (3, 0)"),
        ("y", OUT.astype("f4"), TypeError, "x, y", "one dtype", "float64 and float32"),
        ("z0", H0, ValueError, "W, z0", "q = 4 as in W", "got shape (2, 5)"),
        ("z0", [[0] * Q] * B, TypeError, "z0", FLOATS, "got int64"),
        ("feedback", "hardmax", ValueError, "feedback", "['softmax', 'sig", "got 'hardmax'"),
        ("feedback", None, TypeError, "feedback", "one of ['softmax'", "got None"),
        ("forced", IDS, TypeError, "forced", "bool of shape (T, B)", "got int64 of shape (6, 2)"),
        ("forced", True, ValueError, "forced", "shape (T, B)", "got shape ()"),
        ("forced", FLAGS[:, :1], ValueError, "x, forced", "B = 2 as in x", "shape (6, 1)"),
        ("resets", ONES, TypeError, "resets", "bool of shape (T, B)", "got float64"),
        ("resets", FLAGS[1:], ValueError, "x, resets", "T = 6 as in x", "got shape (5, 2)"),
        ("rng", "0", TypeError, "rng", "numpy.random.Generator or None", "got '0'"),
        ("rng", -1, ValueError, "rng", "an integer >= 0", "got -1"),
    ),
    *rows(fastrnn.jordan_backward, *LENGTHS[:1], *ACTIVATION[:1], *THREADS[:1]),
    *rows(
        fastrnn.jordan_backward,
        ("do", OUT[0], ValueError, "do", "shape (T, B, q)", "got shape (2, 4)"),
        ("do", None, TypeError, "do", FLOATS, "got object (NoneType)"),
        ("x", IDS + 7, ValueError, "x", "from 0 to 2", "got 7 at position (0, 0)"),
        ("h", H[1:], ValueError, "do, h", "T = 6 as in do", "got shape (5, 2, 5)"),
        ("o", OUT.astype("f4"), TypeError, "do, o", "one dtype", "float64 and float32"),
        ("U", U[:2], ValueError, "h, U", "m = 5 as in h", "got shape (2, 3)"),
        ("W", BACK.T, ValueError, "h, W", "m = 5 as in h", "got shape (4, 5)"),
        ("V", V.T, ValueError, "do, V", "q = 4 as in do", "got shape (5, 4)"),
        ("z", OUT[1:], ValueError, "do, z", "T = 6 as in do", "got shape (5, 2, 4)"),
        ("z", IDS, TypeError, "z", FLOATS, "got int64"),
        ("y", IDS + Q, ValueError, "y", "integers from 0 to 3", "got 4 at position (0, 0)"),
        ("z0", H0, ValueError, "do, z0", "q = 4 as in do", "got shape (2, 5)"),
        ("feedback", "sample", ValueError, "z", "what jordan_forward returned", "got None"),
        ("feedback", "argmax", ValueError, "z", "with feedback 'argmax'", "got None"),
        ("forced", FLAGS, ValueError, "forced", "None without y", "got an array"),
        ("resets", IDS, TypeError, "resets", "bool of shape (T, B)", "got int64"),
    ),
    *(
        row
        for function in (
            fastrnn.softmax_cross_entropy, fastrnn.sigmoid_cross_entropy, fastrnn.squared_error,
        )
        for row in rows(
            function,
            ("o", OUT[0], ValueError, "o", "shape (T, B, q)", "got shape (2, 4)"),
            ("o", OUT[:, :, :0], ValueError, "o", "q >= 1", "got shape (6, 2, 0)"),
            ("o", OUT.astype(int), TypeError, "o", FLOATS, "got int64"),
            ("targets", None, TypeError, "targets", "got object (NoneType)"),
            ("lengths", [6], ValueError, "o, lengths", "B = 2 as in o", "got shape (1,)"),
            ("lengths", [6, 9], ValueError, "lengths", "T = 6", "got 9 at position 1"),
            ("weights", [1, 2], ValueError, "weights", "shape (T, B)", "got shape (2,)"),
            ("weights", ONES.T, ValueError, "o, weights", "T = 6 as in o", "got shape (2, 6)"),
            ("weights", ONES * 1j, TypeError, "weights", "real numbers or bool", "complex128"),
            ("reduction", "none", ValueError, "reduction", "['sum', 'mean']", "got 'none'"),
            ("reduction", None, TypeError, "reduction", "['sum', 'mean']", "got None"),
        )
    ),
    *rows(
        fastrnn.softmax_cross_entropy,
        ("targets", LABELS, TypeError, "targets", "integers of shape (T, B)", "(6, 2, 4)"),
        ("targets", IDS > 0, TypeError, "targets", "integers", "got bool"),
        ("targets", IDS[1:], ValueError, "o, targets", "T = 6 as in o", "got shape (5, 2)"),
        ("targets", IDS + Q, ValueError, "targets", "from 0 to 3", "got 4 at position (0, 0)"),
        ("targets", IDS - 100, ValueError, "targets", "from 0 to 3", "got -100 at position"),
    ),
    *rows(
        fastrnn.sigmoid_cross_entropy,
        ("targets", IDS, ValueError, "targets", "shape (T, B, q)", "got shape (6, 2)"),
        ("targets", LABELS + 2, ValueError, "targets", "0 to 1", "got 2.0 at position (0, 0, 0)"),
        ("targets", LABELS * np.nan, ValueError, "targets", "values from 0 to 1", "got nan"),
        ("targets", LABELS.astype("f4"), TypeError, "o, targets", "one dtype", "float32"),
    ),
    *rows(
        fastrnn.squared_error,
        ("targets", LABELS[:, :, :1], ValueError, "o, targets", "q = 4", "got shape (6, 2, 1)"),
        ("targets", LABELS.astype(int), TypeError, "targets", FLOATS, "got int64"),
    ),
    *rows(
        fastrnn.Elman,
        ("input_size", 0, ValueError, "input_size", "an integer >= 1", "got 0"),
        ("input_size", "3", TypeError, "input_size", "an integer >= 1", "got '3'"),
        ("hidden_size", 5.0, TypeError, "hidden_size", "an integer >= 1", "got 5.0"),
        ("hidden_size", -1, ValueError, "hidden_size", "an integer >= 1", "got -1"),
        ("hidden_size", True, TypeError, "hidden_size", "an integer >= 1", "got True"),
        ("dtype", np.float16, TypeError, "dtype", FLOATS, "got <class 'numpy.float16'>"),
        ("dtype", None, TypeError, "dtype", FLOATS, "got None"),
        ("dtype", "f4,,", TypeError, "dtype", FLOATS, "got 'f4,,'"),
        ("rng", "0", TypeError, "rng", "numpy.random.Generator or None", "got '0'"),
        ("rng", np.random, TypeError, "rng", "numpy.random.Generator or None", "got <module"),
        ("rng", -1, ValueError, "rng", "an integer >= 0", "got -1"),
        *ACTIVATION,
    ),
    *rows(
        fastrnn.Elman.from_torch,
        ("state_dict", None, TypeError, "state_dict", "a dict", "got NoneType"),
        ("state_dict", {}, ValueError, "state_dict", "the key 'weight_ih_l0'", "got []"),
        ("layer", 1, ValueError, "state_dict", "the key 'weight_ih_l1'", "'weight_hh_l0'"),
        ("layer", -1, ValueError, "layer", "an integer >= 0", "got -1"),
        ("layer", "0", TypeError, "layer", "an integer >= 0", "got '0'"),
        (
            "state_dict", WEIGHTS | {"weight_hh_l0": np.zeros((3 * M, M))},
            ValueError, "state_dict", "weight_hh_l0 of shape (m, m)", "got (15, 5)", "GRU", "LSTM",
        ),
        (
            "state_dict", WEIGHTS | {"weight_ih_l0_reverse": U},
            ValueError, "state_dict", "one direction", "got a bidirectional network",
        ),
        (
            "state_dict", WEIGHTS | {"weight_hh_l0": W.astype("f2")},
            TypeError, "state_dict['weight_hh_l0']", FLOATS, "got float16",
        ),
        (
            "state_dict", WEIGHTS | {"bias_hh_l0": BIAS[:2]}, ValueError,
            "state_dict['weight_hh_l0'], state_dict['bias_hh_l0']", "m = 5", "got shape (2,)",
        ),
    ),
    *rows(
        EACH.body.forward,
        ("x", X32, TypeError, "x", "expected float64", "got float32"),
        ("x", X.astype(int), TypeError, "x", "expected float64 of shape", "or integer token ids"),
        ("x", X[:, :, 1:], ValueError, "input_size, x", "p = 3", "got shape (6, 2, 2)"),
        ("x", IDS + P, ValueError, "x", "from 0 to 2", "got 3 at position (0, 0)"),
        ("h0", H0[1:], ValueError, "x, h0", "B = 2 as in x", "got shape (1, 5)"),
        ("h0", H0[:, 1:], ValueError, "hidden_size, h0", "m = 5", "got shape (2, 4)"),
        ("h0", H0.astype("f4"), TypeError, "h0", "expected float64", "got float32"),
    ),
    *rows(
        EACH.body.backward,
        ("state", H, TypeError, "state", "what forward returned", "got ndarray"),
        ("state", None, TypeError, "state", "what forward returned", "got NoneType"),
        ("state", TRACE._replace(h=H[..., 1:]), ValueError, "hidden_size, state.h", "m = 5"),
        ("dh", H[:2], ValueError, "state.h, dh", "T = 6 as in state.h", "got shape (2, 2, 5)"),
        ("dh", H.astype("f4"), TypeError, "dh", "expected float64", "got float32"),
        ("dh_last", H0[:, :1], ValueError, "hidden_size, dh_last", "m = 5", "got shape (2, 1)"),
        *THREADS[:1],
    ),
    *(
        (stream, "batch_size", *case)
        for stream in (
            EACH.body.stream, EACH.stream, TIME.body.stream, FED.body.stream, DEEP.body.stream,
        )
        for case in (
            (0, ValueError, "batch_size", "an integer >= 1", "got 0"),
            (2.0, TypeError, "batch_size", "an integer >= 1", "got 2.0"),
            (None, TypeError, "batch_size", "an integer >= 1", "got None"),
        )
    ),
    *rows(
        fastrnn.SequenceModel,
        ("body", None, TypeError, "body", "a layer such as Elman", "got None"),
        ("body", fastrnn.Elman, TypeError, "body", "a layer such as Elman(...)", "got <class"),
        ("body", EACH, TypeError, "body", "a layer such as Elman", "got SequenceModel("),
        ("output_size", None, TypeError, "output_size", "an integer >= 1", "got None"),
        ("output_size", 0, ValueError, "output_size", "an integer >= 1", "got 0"),
        ("loss", "mse", ValueError, "loss", "['softmax', 'sigmoid', 'squared']", "got 'mse'"),
        ("loss", fastrnn.squared_error, TypeError, "loss", "['softmax'", "got <function"),
        ("readout", "first", ValueError, "readout", "['each', 'last', 'mean']", "got 'first'"),
        ("rng", 1.5, TypeError, "rng", "an integer >= 0", "got 1.5"),
    ),
    *(
        (method, *case)
        for method in (EACH.forward, EACH.predict, EACH.loss, EACH.loss_and_grad, TIME.loss)
        for case in (
            ("x", X32, TypeError, "x", "expected float64", "got float32"),
            ("x", X[..., :1], ValueError, "input_size, x", "p = 3", "got shape (6, 2, 1)"),
            ("x", IDS - 1, ValueError, "x", "0 to 2", "got -1 at position (0, 0)"),
            ("lengths", [1, 2, 3], ValueError, "x, lengths", "B = 2 as in x", "got shape (3,)"),
            ("lengths", [1.0, 2.0], TypeError, "lengths", "integers", "got float64"),
            ("threads", 0, ValueError, "threads", "an integer >= 1", "got 0"),
        )
    ),
    (EACH.forward, "y", IDS, TypeError, "y", "None with a body of kind 'elman'", "got ndarray"),
    (EACH.loss, "forced", True, ValueError, "forced", "None with a body of kind 'elman'", "True"),
    *rows(
        fastrnn.Jordan,
        ("output_size", 0, ValueError, "output_size", "an integer >= 1", "got 0"),
        ("output_size", 2.0, TypeError, "output_size", "an integer >= 1", "got 2.0"),
        ("feedback", "relu", ValueError, "feedback", "['softmax', 'sigmoid',", "got 'relu'"),
        ("feedback", None, TypeError, "feedback", "one of ['softmax'", "got None"),
        ("teacher_forcing", 1.5, ValueError, "teacher_forcing", "number from 0 to 1", "got 1.5"),
        ("teacher_forcing", np.nan, ValueError, "teacher_forcing", "from 0 to 1", "got nan"),
        ("teacher_forcing", True, TypeError, "teacher_forcing", "a number", "got True"),
        ("rng", "0", TypeError, "rng", "numpy.random.Generator or None", "got '0'"),
        *ACTIVATION,
    ),
    *rows(
        FED.body.forward,
        ("x", X32, TypeError, "x", "expected float64", "got float32"),
        ("y", IDS + Q, ValueError, "y", "integers from 0 to 3", "got 4 at position (0, 0)"),
        ("y", IDS[1:], ValueError, "x, y", "T = 6 as in x", "got shape (5, 2)"),
        ("y", OUT[..., 1:], ValueError, "output_size, y", "q = 4", "got shape (6, 2, 3)"),
        ("y", OUT.astype("f4"), TypeError, "y", "expected float64", "got float32"),
        ("z0", OUT[0, 1:], ValueError, "x, z0", "B = 2 as in x", "got shape (1, 4)"),
        ("z0", OUT[0, :, 1:], ValueError, "output_size, z0", "q = 4", "got shape (2, 3)"),
        ("forced", ONES, TypeError, "forced", "bool of shape (T, B)", "got float64"),
        ("forced", ONES[1:] > 0, ValueError, "x, forced", "T = 6", "got shape (5, 2)"),
        ("resets", IDS, TypeError, "resets", "bool of shape (T, B)", "got int64"),
        ("rng", 0.5, TypeError, "rng", "an integer >= 0", "got 0.5"),
        *THREADS[:1],
    ),
    *rows(
        FED.body.backward,
        ("state", TRACE, TypeError, "state", "what forward returned", "got ElmanTrace"),
        ("state", FED_TRACE._replace(h=H[..., 1:]), ValueError, "hidden_size, state.h", "m = 5"),
        ("state", FED_TRACE._replace(o=OUT[1:]), ValueError, "state.h, state.o", "T = 6"),
        ("do", OUT[:2], ValueError, "state.h, do", "T = 6", "got shape (2, 2, 4)"),
        ("do", OUT.astype("f4"), TypeError, "do", "expected float64", "got float32"),
    ),
    (FED.body.carry, "steps", T + 1, ValueError, "steps", "0 to T = 6", "got 7"),
    (
        fastrnn.SequenceModel, "body", fastrnn.Jordan(P, M, 7), ValueError, "body, output_size",
        "None, or 7 as in body", "got 4",
    ),
    *rows(
        FED.forward,
        ("y", OUT, TypeError, "y", "integers of shape (T, B)", "got float64"),
        ("y", IDS - 1, ValueError, "y", "0 to 3", "got -1 at position (0, 0)"),
        ("y", IDS[1:], ValueError, "x, y", "T = 6 as in x", "got shape (5, 2)"),
    ),
    *(
        (method, *case)
        for method in (FED.loss, FED.loss_and_grad)
        for case in (
            ("x", X32, TypeError, "x", "expected float64", "got float32"),
            ("x", IDS - 1, ValueError, "x", "0 to 2", "got -1 at position (0, 0)"),
            ("targets", IDS[:5], ValueError, "x, targets", "T = 6 as in x", "got shape (5, 2)"),
            ("targets", IDS + 4, ValueError, "targets", "0 to 3", "got 4 at position (0, 0)"),
            ("targets", LABELS, TypeError, "targets", "integers of shape (T, B)", "float64"),
            ("weights", [1, 1], ValueError, "weights", "shape (T, B)", "got shape (2,)"),
            ("lengths", [1, 2, 3], ValueError, "x, lengths", "B = 2 as in x", "got shape (3,)"),
            ("reduction", "max", ValueError, "reduction", "['mean', 'sum']", "got 'max'"),
            ("forced", ONES, TypeError, "forced", "bool of shape (T, B)", "got float64"),
            ("forced", "yes", TypeError, "forced", "bool of shape (T, B)", "got <U3"),
            ("forced", ONES[1:] > 0, ValueError, "x, forced", "T = 6", "got shape (5, 2)"),
        )
    ),
    *(
        (method, *case)
        for method in (EACH.loss, EACH.loss_and_grad, TIME.loss)
        for case in (
            ("targets", IDS[:5], ValueError, "x, targets", "T = 6 as in x", "got shape (5, 2)"),
            ("targets", IDS[0], ValueError, "targets", "shape (T, B)", "got shape (2,)"),
            ("targets", LABELS, TypeError, "targets", "integers of shape (T, B)", "float64"),
            ("targets", IDS + 4, ValueError, "targets", "0 to 3", "got 4 at position (0, 0)"),
            ("weights", [1, 1], ValueError, "weights", "shape (T, B)", "got shape (2,)"),
            ("weights", "one", TypeError, "weights", "real numbers or bool", "got <U3"),
            ("reduction", "max", ValueError, "reduction", "['mean', 'sum']", "got 'max'"),
        )
    ),
    *rows(
        LAST.loss,
        ("targets", IDS, ValueError, "targets", "shape (B,)", "got shape (6, 2)"),
        ("targets", [1, 2, 3], ValueError, "x, targets", "B = 2 as in x", "got shape (3,)"),
        ("targets", [0, 4], ValueError, "targets", "from 0 to 3", "got 4 at position 1"),
        ("targets", [0.0, 1.0], TypeError, "targets", "integers of shape (B,)", "(2,)"),
        ("weights", ONES, ValueError, "weights", "shape (B,)", "got shape (6, 2)"),
        ("weights", [1], ValueError, "x, weights", "B = 2 as in x", "got shape (1,)"),
    ),
    *rows(
        LABEL.loss,
        ("targets", LABELS, ValueError, "targets", "shape (B, q)", "got shape (6, 2, 4)"),
        ("targets", LABELS[0, :, :2], ValueError, "output_size, targets", "q = 4", "(2, 2)"),
        ("targets", LABELS[0] - 1, ValueError, "targets", "0 to 1", "-1.0 at position (0, 0)"),
        ("targets", LABELS[0].astype("f4"), TypeError, "targets", "float64", "got float32"),
    ),
    *rows(
        EACH.astype,
        ("dtype", int, TypeError, "dtype", FLOATS, "got <class 'int'>"),
        ("dtype", "double precision", TypeError, "dtype", FLOATS, "got 'double precision'"),
    ),
    *rows(fastrnn.thread_count, *THREADS),
    *rows(tdnn.tdnn_forward, *INPUT, *LENGTHS, *ACTIVATION, *THREADS[:1]),
    *rows(
        tdnn.tdnn_forward,
        ("W", TAPS[:1], ValueError, "offsets, W", "C = 2 as in offsets", "got shape (1, 5, 3)"),
        ("W", TAPS.astype("f4"), TypeError, "x, W", "one dtype", "float64 and float32"),
        ("b", BIAS[1:], ValueError, "W, b", "m = 5 as in W", "got shape (4,)"),
        ("offsets", (1, 1), ValueError, "offsets", "different offsets", "got 1 twice"),
        ("offsets", (0.5, 1), TypeError, "offsets", "integers", "got (0.5, 1)"),
        ("offsets", (), ValueError, "offsets", "at least one offset", "got none"),
        ("padding", "same", ValueError, "padding", "['valid', 'zero'", "got 'same'"),
        ("stride", 0, ValueError, "stride", "an integer >= 1", "got 0"),
    ),
    *rows(
        tdnn.tdnn_backward,
        *LENGTHS[:1],
        ("dh", H[1:], ValueError, "x, dh", "T_out = 6", "got shape (5, 2, 5)"),
        ("h", H.astype("f4"), TypeError, "x, h", "one dtype", "float64 and float32"),
        ("W", TAPS[:, 1:], ValueError, "W, dh", "m = 4 as in W", "got shape (6, 2, 5)"),
        ("padding", "valid", ValueError, "x, dh", "T_out = 5", "got shape (6, 2, 5)"),
    ),
    *rows(
        tdnn.TDNN,
        ("input_size", 0, ValueError, "input_size", "an integer >= 1", "got 0"),
        ("hidden_size", None, TypeError, "hidden_size", "an integer or 2 of them", "got None"),
        ("hidden_size", [5], ValueError, "hidden_size, layers", "2 layers", "got 1"),
        ("layers", "-1,x", ValueError, "layers", "integers", "got 'x' in '-1,x'"),
        ("layers", "", ValueError, "layers", "a splice string such as", "got ''"),
        ("layers", [(5, (0,))], ValueError, "hidden_size", "None", "got 5"),
        ("padding", "causal", ValueError, "padding, layers", "no offset > 0", "got 2"),
        *ACTIVATION,
    ),
    *rows(
        TIME.body.forward,
        ("x", X32, TypeError, "x", "expected float64", "got float32"),
        ("x", X[0], ValueError, "x", SHAPE_X, "got shape (2, 3)"),
    ),
    *rows(
        TIME.body.backward,
        ("state", H, TypeError, "state", "what forward returned", "got ndarray"),
        ("dh", H[:3], ValueError, "state.h, dh", "T_out = 6", "got shape (3, 2, 5)"),
        ("dh", H[..., 1:], ValueError, "output_size, dh", "m = 5", "got shape (6, 2, 4)"),
        ("dh", H.astype("f4"), TypeError, "dh", "expected float64", "got float32"),
    ),
    *rows(
        fastrnn.Stack,
        ("bodies", LOW, TypeError, "bodies", "a list of layers", "got Elman"),
        ("bodies", [], ValueError, "bodies", "at least one body", "got none"),
        ("bodies", [LOW, None], TypeError, "bodies", "a layer such as Elman", "got None"),
        ("bodies", [fastrnn.Elman], TypeError, "bodies", "a layer such as", "got <class"),
        ("bodies", [EACH], TypeError, "bodies", "a layer such as", "got SequenceModel("),
        ("bodies", [HIGH, HIGH], ValueError, "bodies", "different", "of bodies[1] twice"),
        (
            "bodies", [HIGH, LOW], ValueError, "bodies",
            "bodies[1] with input_size = 5, the output_size of bodies[0]", "got 3",
        ),
        (
            "bodies", [LOW, fastrnn.Elman(M, M, rng=0)], TypeError, "bodies", "one dtype",
            "got float64 of bodies[0] and float32 of bodies[1]",
        ),
        (
            "bodies", [fastrnn.Jordan(P, 2, M, dtype=float), HIGH], ValueError, "bodies",
            "'jordan' in the last place only", "got bodies[0]",
        ),
    ),
    *rows(
        fastrnn.Stack.from_torch,
        ("state_dict", None, TypeError, "state_dict", "a dict", "got NoneType"),
        ("state_dict", {}, ValueError, "state_dict", "the key 'weight_ih_l0'", "got []"),
        (
            "state_dict", WEIGHTS | {"weight_ih_l1": W},
            ValueError, "state_dict", "the key 'weight_hh_l1'", "got ['weight_ih_l0'",
        ),
        *ACTIVATION,
    ),
    *rows(
        DEEP.body.forward,
        ("x", X32, TypeError, "x", "expected float64", "got float32"),
        ("x", X[..., 1:], ValueError, "input_size, x", "p = 3", "got shape (6, 2, 2)"),
        ("h0", H0, TypeError, "h0", "an entry for each body", "got ndarray"),
        ("h0", (H0,), ValueError, "h0", "2 entries", "got 1"),
        ("h0", (None, H0[1:]), ValueError, "x, h0", "B = 2 as in x", "got shape (1, 5)"),
        ("y", IDS, TypeError, "y", "None with a stack of this kind", "got ndarray"),
        ("forced", IDS, TypeError, "forced", "None with a stack of this kind", "got ndarray"),
        *LENGTHS[:3],
        *THREADS[:1],
    ),
    *rows(
        DEEP.body.backward,
        ("state", TRACE, TypeError, "state", "what forward returned", "got ElmanTrace"),
        ("dh", H[1:], ValueError, "state.h, dh", "T = 6", "got shape (5, 2, 5)"),
        ("dh", H.astype("f4"), TypeError, "dh", "expected float64", "got float32"),
        ("dh_last", [H0], ValueError, "dh_last", "2 entries", "got 1"),
    ),
    *rows(
        DEEP.loss,
        ("x", X[..., :1], ValueError, "input_size, x", "p = 3", "got shape (6, 2, 1)"),
        ("targets", IDS + Q, ValueError, "targets", "from 0 to 3", "got 4 at position (0, 0)"),
    ),
    *rows(
        fastrnn.SGD,
        ("learning_rate", -0.1, ValueError, "learning_rate", "number >= 0", "got -0.1"),
        ("learning_rate", "1e-3", TypeError, "learning_rate", "a number", "got '1e-3'"),
        ("momentum", 1.0, ValueError, "momentum", "0 <= value < 1", "got 1.0"),
    ),
    (fastrnn.RMSProp, "decay", 1.5, ValueError, "decay", "0 <= value < 1", "got 1.5"),
    (fastrnn.AdaGrad, "epsilon", np.nan, ValueError, "epsilon", "finite number", "got nan"),
    (fastrnn.Adam, "beta1", True, TypeError, "beta1", "a number", "got True"),
    *rows(
        ADAM.step,
        ("parameters", [W], TypeError, "parameters", "a dict of name to array", "got list"),
        ("gradients", {"W": W}, ValueError, "parameters, gradients", "same names", "['W']"),
        ("gradients", GRADS | {"b": W}, ValueError, "parameters, gradients", "same shape", "'b'"),
        ("gradients", GRADS | {"b": [0] * M}, TypeError, "gradients['b']", "array", "got list"),
        ("gradients", GRADS | {"b": BIAS > 0}, TypeError, "gradients['b']", FLOATS, "got bool"),
    ),
    (ADAM.restore, "settings", {"kind": "SGD"}, ValueError, "settings", "kind Adam", "got kind"),
    (ADAM.restore, "arrays", {"U": U}, ValueError, "arrays", "('first', 'second')", "got 'U'"),
    *rows(
        fastrnn.clip_by_norm,
        ("max_norm", 0, ValueError, "max_norm", "a number above 0", "got 0"),
        ("max_norm", "1", TypeError, "max_norm", "a number", "got '1'"),
        ("gradients", [W], TypeError, "gradients", "a dict of name to array", "got list"),
    ),
    *rows(
        fastrnn.fit,
        ("model", None, TypeError, "model", "loss_and_grad", "got NoneType"),
        ("model", fastrnn.SequenceModel, TypeError, "model", "an object with", "got <class"),
        ("optimizer", "adam", TypeError, "optimizer", "an object with step", "got 'adam'"),
        ("optimizer", fastrnn.Adam, TypeError, "optimizer", "an object with", "got <class"),
        ("data", None, TypeError, "data", "a batch, an iterable", "got NoneType"),
        ("validation", 3, TypeError, "validation", "a batch, an iterable", "got int"),
        ("epochs", 1.5, TypeError, "epochs", "an integer >= 0", "got 1.5"),
        ("epochs", -1, ValueError, "epochs", "an integer >= 0", "got -1"),
        ("clip_norm", 0, ValueError, "clip_norm", "a number above 0", "got 0"),
        ("callback", 1, TypeError, "callback", "a callable", "got int"),
        ("resume", True, ValueError, "resume, checkpoint", "a checkpoint", "got None"),
        ("resume", 1, TypeError, "resume", "True or False", "got 1"),
        ("checkpoint", "run.pt", ValueError, "checkpoint", ".npz or .safetensors", "'run.pt'"),
        ("checkpoint", 7, TypeError, "checkpoint", "a path", "got int"),
        *THREADS,
    ),
]  # fmt: skip
