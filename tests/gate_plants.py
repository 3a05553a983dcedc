"""Faults for `make gate-proof`: one edit each, and the benchmark that must tell."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.history.results import Key


@dataclass(frozen=True)
class Plant:
    """Replace `old`, which stands once in `file`, by `new`: `key` becomes worse."""

    name: str
    key: Key
    file: str
    old: str
    new: str

    def apply(self, root):
        """Edit the copy of the tree at `root`."""
        path = Path(root) / self.file
        text = path.read_text("utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: expected once in {self.file}: {self.old!r}")
        path.write_text(text.replace(self.old, self.new), "utf-8")


def timed(method, *parameters):
    """Return the key of a benchmark in cpu.py."""
    return Key(f"cpu.{method}", tuple(map(repr, parameters)))


def error(kernel, dtype="float32"):
    """Return the key of a kernel's gradient error."""
    return Key("gradients.GradientError.track_error", (repr(kernel), repr(dtype)))


ELMAN, LAYER = "fastrnn/kernels/elman.py", "fastrnn/elman.py"
BATCH = ("batch", "float32")

# Half again to three times as slow.
SLOWDOWNS = (
    Plant(
        "elman: weights packed anew at each step",
        timed("Elman.time_forward", *BATCH), ELMAN,
        "        for t in range(begin, end):\n            n = step_rows(",
        "        for t in range(begin, end):\n"
        "            pack_weights(U, W, first_panel, end_panel, panels)\n"
        "            n = step_rows(",
    ),
    Plant(
        "elman: gradients of weights computed three times",
        timed("Elman.time_backward", *BATCH), LAYER,
        "    share(backward_products, products, m, threads, 2 * work)\n",
        "    share(backward_products, products, m, threads, 2 * work)\n" * 3,
    ),
    Plant(
        "threads: the second one does its share three times",
        timed("TDNNThreads.time_forward", 2), "fastrnn/threads.py",
        "            task(*arguments)\n        except BaseException:\n",
        "            for _ in range(3):\n                task(*arguments)\n"
        "        except BaseException:\n",
    ),
    Plant(
        "jordan: each softmax taken eight times",
        timed("Jordan.time_forward", "free", "float32"), "fastrnn/kernels/feedback.py",
        "        softmax_row(o, at, z, to, q, 1.0)\n",
        "        for _ in range(8):\n            softmax_row(o, at, z, to, q, 1.0)\n",
    ),
    Plant(
        "tdnn: weights packed eight times more for each block",
        timed("TDNN.time_forward", "float32"), "tdnn/kernels.py",
        "        end = min(begin + span, frames)\n        whole = list_windows(",
        "        end = min(begin + span, frames)\n        for _ in range(8):\n"
        "            pack_weights(W, panels)\n        whole = list_windows(",
    ),
    Plant(
        "tdnn: gradients of inputs computed three times",
        timed("TDNN.time_backward", "float32"), "tdnn/layer.py",
        "    if dx is not None:\n", "    for _ in range(3):\n",
    ),
    Plant(
        "loss: the softmax taken twice",
        timed("Losses.time_loss", "softmax cross entropy", "float32"), "fastrnn/kernels/losses.py",
        "            highest, total = softmax_row(o, at, grad, at, q, w)\n",
        "            highest, total = softmax_row(o, at, grad, at, q, w)\n" * 2,
    ),
    Plant(
        "stream: weights copied three times at each step",
        timed("Streaming.time_step", "elman", "float32"), "fastrnn/streams.py",
        "        packed_step(x_t, self._h, *self._weights, self._next)\n",
        "        rows, size, packed, code = self._weights\n"
        "        packed = packed.copy().copy().copy()\n"
        "        packed_step(x_t, self._h, rows, size, packed, code, self._next)\n",
    ),
    Plant(
        "training: states and loss computed three times",
        timed("Training.time_update", "elman", 1),
        "fastrnn/model.py",
        "        output = linear_backward(loss.do, seen, self.V, seen_lengths, threads)\n",
        "        for _ in range(2):\n"
        "            loss, state, seen, seen_lengths = self._loss(\n"
        "                x, targets, lengths, weights, reduction, forced, threads, resets\n"
        "            )\n"
        "        output = linear_backward(loss.do, seen, self.V, seen_lengths, threads)\n",
    ),
    Plant(
        "start-up: packages imported that are not needed",
        Key("startup.Import.timeraw_fastrnn", ()), "fastrnn/__init__.py",
        "from fastrnn.model import ",
        "import matplotlib.pyplot, pandas\nfrom fastrnn.model import ",
    ),
)  # fmt: skip

GRADIENTS = (
    Plant(
        "sign", error("jordan backward, free/batch"), "fastrnn/kernels/feedback.py",
        "do[into, i] += z[row, i] * (dz[k, i] - inner)",
        "do[into, i] -= z[row, i] * (dz[k, i] - inner)",
    ),
    Plant(
        "missing mask", error("elman backward/ragged"), LAYER,
        "    recurrence = (dh, h, W, dh_last, lengths, code, dh0, da, resets)\n",
        "    everywhere = np.full_like(lengths, T)\n"
        "    recurrence = (dh, h, W, dh_last, everywhere, code, dh0, da, resets)\n",
    ),
    Plant(
        "wrong lag", error("elman backward/batch"), "fastrnn/kernels/rows.py",
        "return row - starts if row < B else row - B", "return row - starts if row < B else row",
    ),
    Plant(
        "transposed W", error("elman backward/batch"), ELMAN,
        "    pack_backward(W, first_panel,", "    pack_forward(W, first_panel,",
    ),
    Plant(
        "dropped dh0", error("elman backward/batch"), ELMAN,
        "    if T > 0:\n        now = alive", "    if T < 0:\n        now = alive",
    ),
    Plant(
        "wrong slope", error("elman backward/batch"), "fastrnn/kernels/activations.py",
        "row[i] *= one - h[i] * h[i]", "row[i] *= one - h[i]",
    ),
    Plant(
        "bias gradient without its last row", error("tdnn backward/tdnn"), "tdnn/kernels.py",
        "    add_row_sums(flat, rows, db, first, last)",
        "    add_row_sums(flat, rows[:-1], db, first, last)",
    ),
    Plant(
        "lengths off by one", error("elman backward/ragged"), LAYER,
        "    products = (da, x, h, h0, U, lengths,",
        "    products = (da, x, h, h0, U, np.maximum(lengths - 1, 0),",
    ),
    Plant(
        "swapped offsets", error("tdnn backward/tdnn"), "tdnn/layer.py",
        "        (da, x, shifts, valid, counts, mode, stride, dW, db),",
        "        (da, x, shifts[::-1].copy(), valid, counts, mode, stride, dW, db),",
    ),
    Plant(
        "float32 sums of float64 numbers", error("elman backward/batch", "float64"),
        "fastrnn/kernels/gemm.py",
        "few, totals = np.empty(last - first, da.dtype), np.zeros(last - first)",
        "few, totals = np.empty(last - first, da.dtype), np.zeros(last - first, np.float32)",
    ),
)  # fmt: skip
