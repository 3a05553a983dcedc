"""Wrong calls: each message begins with the argument, then says what was expected and came."""

import re

import numpy as np
import pytest

import tdnn
from tdnn.splice import parse_splice

X, W, B = np.zeros((5, 2, 3)), np.zeros((2, 4, 3)), np.zeros(4)
IDS = np.zeros((5, 2), int)
H = np.zeros((4, 2, 4))
OFFSETS = (-1, 0)

# (changed arguments, the error, how its message begins)
CALLS = [
    ({"x": X[0]}, TypeError | ValueError, "x: expected"),
    ({"x": X.astype(int)}, TypeError, "x: expected"),
    ({"x": X > 0}, TypeError, "x: expected"),
    ({"x": X.astype(complex)}, TypeError, "x: expected"),
    ({"x": X.astype(object)}, TypeError, "x: expected"),
    ({"x": X.astype(np.float16)}, TypeError, "x: expected"),
    ({"x": np.ma.masked_array(X)}, TypeError, "x: expected"),
    ({"x": [[1.0, 2.0], [3.0]]}, TypeError, "x: expected"),
    ({"x": X[:, :, :0]}, ValueError, "x: expected p >= 1"),
    ({"x": X.astype(np.float32)}, TypeError, "x, W: expected one dtype"),
    ({"x": X[:, :, :2]}, ValueError, "x, W: expected W"),
    ({"x": IDS + 3}, ValueError, r"x: expected integers from 0 to 2, got 3 at position \(0, 0\)"),
    ({"x": IDS - (np.arange(5) == 2)[:, None]}, ValueError, r"x: .*got -1 at position \(2, 0\)"),
    ({"W": W[0]}, ValueError, "W: expected an array of shape"),
    ({"W": W[:1]}, ValueError, "offsets, W: expected W"),
    ({"W": W[:, :0]}, ValueError, "W: expected m >= 1"),
    ({"W": W.astype(int)}, TypeError, "W: expected float32 or float64"),
    ({"offsets": ()}, ValueError, "offsets: expected at least one"),
    ({"offsets": (1, 1)}, ValueError, "offsets: expected different offsets, got 1 twice"),
    ({"offsets": (0.0, 1.0)}, TypeError, "offsets: expected integers"),
    ({"offsets": (False, True)}, TypeError, "offsets: expected integers"),
    ({"offsets": "-1,0"}, TypeError, "offsets: expected integers"),
    ({"offsets": None}, TypeError, "offsets: expected integers"),
    ({"offsets": [[-1], [0]]}, ValueError, r"offsets: expected an array of shape \(C,\)"),
    ({"offsets": 3}, ValueError, r"offsets: expected an array of shape \(C,\)"),
    ({"offsets": (0, 2**40)}, ValueError, "offsets: expected offsets within"),
    ({"offsets": (0, 1, 2)}, ValueError, "offsets, W: expected W"),
    ({"lengths": [5]}, ValueError, "x, lengths: expected lengths"),
    ({"lengths": [5, 6]}, ValueError, "lengths: expected values from 0 to T = 5, got 6"),
    ({"lengths": [-1, 5]}, ValueError, "lengths: expected values from 0 to T = 5, got -1"),
    ({"lengths": [5.0, 5.0]}, TypeError, "lengths: expected integers"),
    ({"lengths": [True, True]}, TypeError, "lengths: expected integers"),
    ({"activation": "swish"}, ValueError, "activation: expected one of"),
    ({"activation": None}, TypeError, "activation: expected one of"),
    ({"padding": "same"}, ValueError, "padding: expected one of"),
    ({"padding": 0}, TypeError, "padding: expected one of"),
    ({"padding": "causal", "offsets": (0, 2)}, ValueError, "padding, offsets: .*got 2"),
    ({"stride": 0}, ValueError, "stride: expected an integer >= 1"),
    ({"stride": 1.0}, TypeError, "stride: expected an integer >= 1"),
    ({"stride": True}, TypeError, "stride: expected an integer >= 1"),
    ({"threads": 0}, ValueError, "threads: expected an integer >= 1"),
]
FORWARD = [
    ({"b": B[:3]}, ValueError, "W, b: expected b"),
    ({"b": B[None]}, ValueError, "b: expected an array of shape"),
    ({"b": B.astype(np.float32)}, TypeError, "(x|W), b: expected one dtype"),
]
BACKWARD = [
    ({"dh": H[:3]}, ValueError, "x, dh: expected dh"),
    ({"dh": H[:, :1]}, ValueError, "x, dh: expected dh"),
    ({"dh": H[:, :, :2]}, ValueError, "W, dh: expected dh"),
    ({"h": H[:3]}, ValueError, "x, h: expected h"),
    ({"h": H.astype(np.float32)}, TypeError, "x, h: expected one dtype"),
    ({"stride": 2}, ValueError, "x, dh: expected dh"),
]


def refused(call, error, message):
    with pytest.raises(error if isinstance(error, type) else error.__args__) as caught:
        call()
    text = str(caught.value)
    assert re.match(message, text), text
    assert "expected" in text and "got" in text


@pytest.mark.parametrize(("changes", "error", "message"), CALLS + FORWARD)
def test_forward(changes, error, message):
    arguments = {"x": X, "W": W, "b": B, "offsets": OFFSETS, **changes}
    refused(lambda: tdnn.tdnn_forward(**arguments), error, message)


@pytest.mark.parametrize(("changes", "error", "message"), CALLS + BACKWARD)
def test_backward(changes, error, message):
    arguments = {"dh": H, "x": X, "h": H, "W": W, "offsets": OFFSETS, **changes}
    refused(lambda: tdnn.tdnn_backward(**arguments), error, message)


def test_the_unchanged_calls_are_right():
    assert tdnn.tdnn_forward(X, W, B, OFFSETS).h.shape == H.shape
    assert tdnn.tdnn_backward(H, X, H, W, OFFSETS).dx.shape == X.shape


LAYERS = [(4, (-1, 0)), (5, (0, 1), 2)]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"input_size": 0}, ValueError, "input_size: "),
        ({"input_size": 3.0}, TypeError, "input_size: "),
        ({"layers": []}, ValueError, "layers: "),
        ({"layers": None}, TypeError, "layers: "),
        ({"layers": [4, 5]}, TypeError, r"layers\[0\]: "),
        ({"layers": [(4, (0,)), (5,)]}, TypeError, r"layers\[1\]: "),
        ({"layers": [(0, (0,))]}, ValueError, r"layers\[0\] size: "),
        ({"layers": [(4, (0, 0))]}, ValueError, r"layers\[0\] offsets: "),
        ({"layers": [(4, (0.5,))]}, TypeError, r"layers\[0\] offsets: "),
        ({"layers": [(4, (0,), 0)]}, ValueError, r"layers\[0\] stride: "),
        ({"hidden_size": 4}, ValueError, "hidden_size: expected None"),
        ({"layers": "-1,0 1"}, TypeError, "hidden_size: expected an integer or 2 of them"),
        ({"layers": "-1,0 1", "hidden_size": [4]}, ValueError, "hidden_size, layers: "),
        ({"layers": "-1,0 1", "hidden_size": [4, 0]}, ValueError, r"hidden_size\[1\]: "),
        ({"layers": "-1,0 1", "hidden_size": "4"}, TypeError, "hidden_size: "),
        ({"padding": "causal"}, ValueError, "padding, layers: "),
        ({"padding": "same"}, ValueError, "padding: "),
        ({"activation": "gelu"}, ValueError, "activation: "),
        ({"dtype": int}, TypeError, "dtype: "),
        ({"rng": "seed"}, TypeError, "rng: "),
    ],
)
def test_network(changes, error, message):
    arguments = {"input_size": 3, "layers": LAYERS, **changes}
    refused(lambda: tdnn.TDNN(**arguments), error, message)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((5, 2, 4), np.float32), ValueError, "input_size, x: expected x"),
        (np.zeros((5, 2, 3)), TypeError, "x: expected float32, got float64"),
        (np.full((5, 2), 3), ValueError, "x: expected integers from 0 to 2, got 3"),
    ],
)
def test_network_input(x, error, message):
    net = tdnn.TDNN(3, LAYERS, rng=0)
    refused(lambda: net.forward(x), error, message)


@pytest.mark.parametrize("batch_size", [0, 1.0, True])
def test_stream(batch_size):
    net = tdnn.TDNN(3, LAYERS, rng=0)
    refused(lambda: net.stream(batch_size), (TypeError if batch_size else ValueError), "batch_size")


@pytest.mark.parametrize(
    ("text", "offsets"),
    [
        ("-2,-1,0,1,2 -1,2 -3,3", [(-2, -1, 0, 1, 2), (-1, 2), (-3, 3)]),
        ("layer0/-2:-1:0:1:2 layer1/-1:2", [(-2, -1, 0, 1, 2), (-1, 2)]),
        ("layer2/-3:3  layer0/0:+1\n", [(0, 1), (0,), (-3, 3)]),
        ("5,-7", [(5, -7)]),
    ],
)
def test_splice_strings(text, offsets):
    assert parse_splice(text) == offsets
    net = tdnn.TDNN(3, text, hidden_size=4, rng=0)
    assert net.offsets == tuple(offsets) and net.output_size == 4
    sizes = list(range(4, 4 + len(offsets)))
    assert [b.size for b in tdnn.TDNN(3, text, hidden_size=sizes).biases] == sizes


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("", "''"),
        ("-1,x,2 0,1", "'x' in '-1,x,2'"),
        ("0,1 -1,,2", "'' in '-1,,2'"),
        ("0.5,1", "'0.5' in '0.5,1'"),
        ("0,1 2,2", "'2,2'"),
        ("layer0/-1:1 -3,3", "'-3,3'"),
        ("layer0/-1:1 layer0/2", "layer0 again"),
        ("layerA/-1:1", "'layerA/-1:1'"),
        ("layer0/", "'layer0/'"),
        ("layer99999999/0", "'layer99999999/0'"),
    ],
)
def test_bad_splice_strings(text, bad):
    with pytest.raises(ValueError, match=f"^layers: .*{re.escape(bad)}"):
        tdnn.TDNN(3, text, hidden_size=4)


def test_a_splice_string_must_be_text():
    refused(lambda: parse_splice(3), TypeError, "layers: expected a splice string")
