"""Interrupted training: what is saved, what is dropped, and the bits of a resumed run."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from line_model import Interrupting, Line, assert_equal, batches, shuffled, without_times

from fastrnn.checkpoint import load_arrays, save_arrays
from fastrnn.optimizers import SGD, AdaGrad, Adam, RMSProp
from fastrnn.training import fit


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("at", [1, 3, 5, 10, 12])  # an epoch is 4 batches and 2 of validation
@pytest.mark.parametrize("make", [lambda: SGD(0.1, 0.9), RMSProp, AdaGrad, lambda: Adam(0.1)])
def test_a_resumed_run_has_the_same_bits(tmp_path, make, at, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    whole, optimizer = Line(), make()
    settings = {"epochs": 3, "validation": batches(2, seed=9), "clip_norm": 1.0}
    expected = fit(whole, shuffled, optimizer=optimizer, **settings)
    settings |= {"checkpoint": tmp_path / f"state{suffix}", "resume": True}
    broken = Interrupting(at)
    history = fit(broken, shuffled, optimizer=make(), **settings)
    assert history.interrupted and len(history.rows) == (at - 1) // 6
    # another process: other start values, another optimizer object
    model, other = Line(seed=5), make()
    other.learning_rate = 77.0
    history = fit(model, shuffled, optimizer=other, **settings)
    assert not history.interrupted
    assert without_times(history) == without_times(expected)
    assert_equal(model.copy(), whole.copy())
    assert_equal(other.state()[0], optimizer.state()[0])
    assert other.state()[1] == optimizer.state()[1]
    # done already: nothing is trained, the end state is there
    third = Line(seed=6)
    again = fit(third, shuffled, optimizer=make(), **settings)
    assert again == history and third.calls == []
    assert_equal(third.copy(), whole.copy())


def test_more_epochs_after_a_complete_run(tmp_path):
    settings = {"checkpoint": tmp_path / "state.npz", "resume": True}
    whole, model = Line(), Line()
    expected = fit(whole, shuffled, optimizer=Adam(0.1), epochs=3)
    for epochs in (1, 3):
        history = fit(model, shuffled, optimizer=Adam(0.1), epochs=epochs, **settings)
    assert without_times(history) == without_times(expected)
    assert_equal(model.copy(), whole.copy())


def test_a_schedule_in_the_callback_survives_a_resumption(tmp_path):
    def run(model, **keywords):
        optimizer = SGD(0.1)

        def callback(row):
            optimizer.learning_rate *= 0.5
            return row["epoch"] == 3

        keywords |= {"optimizer": optimizer, "epochs": 9, "callback": callback}
        return fit(model, shuffled, **keywords)

    whole, broken, model = Line(), Interrupting(7), Line()
    expected = run(whole)
    settings = {"checkpoint": tmp_path / "state.npz", "resume": True}
    assert run(broken, **settings).interrupted
    for _ in range(2):  # a run that the callback stopped stays stopped
        assert without_times(run(model, **settings)) == without_times(expected)
        assert_equal(model.copy(), whole.copy())


def test_the_checkpoint_is_written_within_epochs_and_survives_a_crash(tmp_path):
    path = tmp_path / "state.npz"
    whole, model = Line(), Line()
    fit(whole, batches(), optimizer=Adam(0.1), epochs=2)
    settings = {"epochs": 2, "checkpoint": path, "checkpoint_every": 1e-9}
    with pytest.raises(MemoryError):
        fit(Interrupting(7, MemoryError), batches(), optimizer=Adam(0.1), **settings)
    position = load_arrays(path)[1]["position"]
    assert (position["epoch"], position["batch"]) == (1, 2)
    fit(model, batches(), optimizer=Adam(0.1), resume=True, **settings)
    assert_equal(model.copy(), whole.copy())


def test_without_resume_an_old_checkpoint_is_replaced(tmp_path):
    path = tmp_path / "state.npz"
    for seed in (1, 2):
        model = Line(seed=seed)
        fit(model, batches(), optimizer=SGD(0.1), epochs=seed, checkpoint=path)
        arrays, metadata = load_arrays(path)
        assert metadata["position"]["epoch"] == seed
        np.testing.assert_array_equal(arrays["parameter/V"], model.V)
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.npz"]


SLOW = """
import sys, time
from pathlib import Path
import numpy as np
from line_model import Line, shuffled
from fastrnn.optimizers import Adam
from fastrnn.training import fit

class Slow(Line):
    def loss_and_grad(self, x, targets, **keywords):
        if len(self.calls) == 6:
            Path(sys.argv[2]).write_text("in the batch")
            time.sleep(60)
            raise SystemError("the batch was waited for")
        return super().loss_and_grad(x, targets, **keywords)

model = Slow()
history = fit(model, shuffled, optimizer=Adam(0.1), epochs=3, checkpoint=sys.argv[1])
print("interrupted", history.interrupted, "rows", len(history.rows))
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGINT to a child process")
def test_ctrl_c_does_not_wait_for_the_batch(tmp_path):
    path, mark = tmp_path / "state.npz", tmp_path / "mark"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), os.getcwd()])
    }
    command = [sys.executable, "-c", SLOW, str(path), str(mark)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not mark.exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        try:
            output, errors = process.communicate(timeout=30)  # the batch takes 60
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
    assert output == "interrupted True rows 1\n"
    position = load_arrays(path)[1]["position"]
    assert (position["epoch"], position["batch"]) == (1, 2)
    whole, model = Line(), Line(seed=3)
    expected = fit(whole, shuffled, optimizer=Adam(0.1), epochs=3)
    settings = {"epochs": 3, "checkpoint": path, "resume": True}
    history = fit(model, shuffled, optimizer=Adam(0.1), **settings)
    assert without_times(history) == without_times(expected)
    assert_equal(model.copy(), whole.copy())


@pytest.mark.skipif(os.name != "posix", reason="SIGALRM")
def test_a_batch_left_running_changes_nothing():
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    class Waits(Line):
        def loss_and_grad(self, x, targets, **keywords):
            started.set()
            go_on.wait()
            result = super().loss_and_grad(x, targets, **keywords)
            ended.set()
            return result

    model, optimizer = Waits(), Adam(0.1)
    before = model.copy()

    class Leave(Exception):
        """Stands for anything that ends the waiting."""

    def leave(*arguments):
        raise Leave

    previous = signal.signal(signal.SIGALRM, leave)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(Leave):
            fit(model, batches(), optimizer=optimizer, epochs=1)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert started.is_set() and not ended.is_set()
    go_on.set()
    for thread in threading.enumerate():
        if thread.name == "fit":
            thread.join()
    assert ended.is_set()
    assert_equal(model.copy(), before)
    assert optimizer.state() == Adam(0.1).state()


def test_checkpoints_that_do_not_fit_change_nothing(tmp_path):
    path = tmp_path / "state.npz"
    trained = Line()
    fit(trained, batches(), optimizer=Adam(0.1), epochs=1, checkpoint=path)
    whole = path.read_bytes()

    def refused(model, optimizer, message):
        before, state = model.copy(), optimizer.state()
        with pytest.raises(ValueError, match="^" + message):
            fit(model, batches(), optimizer=optimizer, epochs=2, checkpoint=path, resume=True)
        assert_equal(model.copy(), before)
        assert optimizer.state() == state

    class Other(Line):
        def parameters(self):
            return {"W": self.V, "c": self.c}

    refused(Other(), Adam(0.1), "checkpoint, model: expected the same names, got")
    refused(Line(size=4), Adam(0.1), "checkpoint, model: expected the same shape for 'V', got")
    refused(Line(dtype=np.float32), Adam(0.1), "checkpoint, model: expected the same dtype")
    refused(Line(seed=1), SGD(0.1), "checkpoint, optimizer: settings: expected those of an opti")
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-50])
    refused(Line(), Adam(0.1), "path: expected a file that save_arrays wrote, got")
    save_arrays(path, trained.parameters(), {"kind": "model"})
    refused(Line(), Adam(0.1), "checkpoint: expected a file that fit wrote, got one of kind 'mod")


def test_fewer_batches_than_were_done_are_told(tmp_path):
    settings = {"optimizer": Adam(0.1), "epochs": 1, "checkpoint": tmp_path / "state.npz"}
    assert fit(Interrupting(4), batches(), **settings).interrupted
    with pytest.raises(ValueError, match="^data: expected the 3 batches that epoch 1 had before"):
        fit(Line(), batches(2), resume=True, **settings)
