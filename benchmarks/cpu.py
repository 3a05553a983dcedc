"""Time of public functions, updates and stream steps on the CPU.

``number`` is set by hand, since asv would count the first call, which compiles, when it looks for
one: so many calls make a sample, and their mean is what is reported.
"""

from benchmarks.calls import call
from benchmarks.models import BODIES, stream_step, update
from benchmarks.shapes import DTYPES

_THREADS = (1, 2)


class _Timed:
    version = "1"
    timeout = 300.0
    rounds = 2
    repeat = (5, 8, 2.0)


class Elman(_Timed):
    """The recurrent layer, one thread."""

    params = (("one", "batch", "ragged"), DTYPES)
    param_names = ("shape", "dtype")
    number = 20

    def time_forward(self, shape: str, dtype: str) -> None:
        call("elman forward", shape, dtype)()

    def time_backward(self, shape: str, dtype: str) -> None:
        call("elman backward", shape, dtype)()


class ElmanThreads(_Timed):
    """A layer large enough to be shared between threads, float32."""

    params = (_THREADS,)
    param_names = ("threads",)
    number = 2

    def time_forward(self, threads: int) -> None:
        call("elman forward", "wide", "float32", threads)()

    def time_backward(self, threads: int) -> None:
        call("elman backward", "wide", "float32", threads)()


class Jordan(_Timed):
    """Output feedback: fed with targets (forced) or with its own outputs (free)."""

    params = (("forced", "free"), DTYPES)
    param_names = ("fed", "dtype")
    number = 10

    def time_forward(self, fed: str, dtype: str) -> None:
        call(f"jordan forward, {fed}", "batch", dtype)()

    def time_backward(self, fed: str, dtype: str) -> None:
        call(f"jordan backward, {fed}", "batch", dtype)()


class TDNN(_Timed):
    """The time-delay layer, one thread."""

    params = (DTYPES,)
    param_names = ("dtype",)
    number = 10

    def time_forward(self, dtype: str) -> None:
        call("tdnn forward", "tdnn", dtype)()

    def time_backward(self, dtype: str) -> None:
        call("tdnn backward", "tdnn", dtype)()


class TDNNThreads(_Timed):
    """A layer large enough to be shared between threads, float32."""

    params = (_THREADS,)
    param_names = ("threads",)
    number = 2

    def time_forward(self, threads: int) -> None:
        call("tdnn forward", "tdnn-wide", "float32", threads)()

    def time_backward(self, threads: int) -> None:
        call("tdnn backward", "tdnn-wide", "float32", threads)()


class Losses(_Timed):
    """Value and gradient."""

    params = (("softmax cross entropy", "sigmoid cross entropy", "squared error"), DTYPES)
    param_names = ("loss", "dtype")
    number = 10

    def time_loss(self, loss: str, dtype: str) -> None:
        call(loss, "outputs", dtype)()


class Training(_Timed):
    """One update of a model: forward, loss, backward, Adam; float32."""

    params = (BODIES, _THREADS)
    param_names = ("body", "threads")
    number = 5

    def time_update(self, body: str, threads: int) -> None:
        update(body, "float32", threads)()


class Streaming(_Timed):
    """One step of one sequence, called from Python."""

    params = (BODIES, DTYPES)
    param_names = ("body", "dtype")
    number = 2000

    def time_step(self, body: str, dtype: str) -> None:
        stream_step(body, dtype)()
