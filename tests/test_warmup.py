"""`python -m fastrnn warmup`: what it compiles, where that is kept, and what it says."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import fastrnn
import fastrnn.__main__ as command
from fastrnn.__main__ import main
from fastrnn.warmup import Family, Warmup, warmup
from tdnn import TDNN

PACKAGES = Path(fastrnn.__file__).parents[1]

# What a user does after it, with much that warming up does not name: lengths, activations, strides,
# paddings, readouts, layouts, threads, other sizes.
SESSION = """
    import sys
    import numpy as np
    from numba.core.event import install_recorder
    import fastrnn, tdnn

    dtype = sys.argv[1]
    rng = np.random.default_rng(0)
    bodies = [fastrnn.Elman(5, 9, activation=f, dtype=dtype, rng=0)
              for f in ("tanh", "relu", "sigmoid", "identity")]
    bodies += [tdnn.TDNN(5, [(6, (-2, 0), 2), (7, (0, 1))], padding=p, dtype=dtype, rng=0)
               for p in ("valid", "zero", "replicate")]
    bodies += [tdnn.TDNN(5, "-3,0", hidden_size=4, padding="causal", dtype=dtype, rng=0)]
    bodies += [fastrnn.Stack([tdnn.TDNN(5, [(6, (0, 1), 2)], dtype=dtype, rng=0),
                              fastrnn.Elman(6, 4, dtype=dtype, rng=0)])]
    jordans = [fastrnn.Jordan(5, 9, 3, feedback=f, teacher_forcing=p, dtype=dtype, rng=0)
               for f, p in (("softmax", 0.5), ("sample", 0.0), ("argmax", 1.0))]
    bodies += [fastrnn.Stack([tdnn.TDNN(5, [(6, (0, 1), 2)], dtype=dtype, rng=0),
                              fastrnn.Elman(6, 4, dtype=dtype, rng=0)])]
    frames = np.asfortranarray(rng.standard_normal((12, 4, 5)).astype(dtype))
    tokens = rng.integers(0, 5, (12, 4)).astype(np.uint8)
    classes = rng.integers(0, 3, (12, 4))

    def use(body):
        for x in (frames, tokens):
            for readout in ("each", "last", "mean"):
                model = fastrnn.SequenceModel(body, 3, readout=readout, rng=0)
                targets = classes if readout == "each" else classes[0]
                model.loss_and_grad(x, targets, lengths=[12, 7, 0, 5], weights=targets > 0)
                model.loss_and_grad(x, targets, reduction="sum", threads=2)
                model.predict(x, lengths=np.array([3, 12, 12, 1], np.int32))
                for batch in (1, 4):
                    stream = model.stream(batch)
                    for frame in x[:, :batch]:
                        stream.step(frame)
                    stream.flush()
        for loss in ("sigmoid", "squared"):
            model = fastrnn.SequenceModel(body, 2, loss=loss, rng=0)
            model.loss_and_grad(frames, rng.uniform(0, 1, (12, 4, 2)).astype(dtype))
            model.predict(frames)

    def use_fed(model):
        for x in (frames, tokens):
            model.loss_and_grad(x, classes, lengths=[12, 7, 0, 5], weights=classes > 0)
            model.predict(x, y=classes)
            model.predict(x, lengths=[3, 12, 12, 1])
            trace = model.body.forward(x, classes, resets=classes > 1)
            model.body.carry(trace, 5), model.body.carry(trace, 12)
            stream = model.stream(4)
            for frame in x:
                stream.step(frame), stream.step(frame, frame[:, :3] if x is frames else frame % 3)

    with install_recorder("numba:compile") as recorder:
        for body in bodies:
            use(body)
        for body in jordans:
            use_fed(fastrnn.SequenceModel(body))
        for loss, feedback in (("sigmoid", "sigmoid"), ("squared", "identity")):
            body = fastrnn.Jordan(5, 9, 3, feedback=feedback, dtype=dtype, rng=0)
            model = fastrnn.SequenceModel(body, loss=loss)
            model.loss_and_grad(frames, rng.uniform(0, 1, (12, 4, 3)).astype(dtype))
            model.predict(tokens)
        fastrnn.generate(fastrnn.SequenceModel(fastrnn.Jordan(3, 4, 3, dtype=dtype)), 3, [0, 1])
        layer = bodies[0]
        trace = layer.forward(frames, np.ones((4, 9), dtype), lengths=[1, 2, 3, 4])
        layer.backward(np.ones_like(trace.h), trace, dh_last=np.ones((4, 9), dtype))
        for optimizer in (fastrnn.SGD(0.1, 0.9), fastrnn.SGD(0.1), fastrnn.RMSProp(),
                          fastrnn.AdaGrad(), fastrnn.Adam()):
            model = fastrnn.SequenceModel(fastrnn.Elman(5, 6, dtype=dtype, rng=0), 3, rng=0)
            fastrnn.fit(model, (tokens, classes), optimizer=optimizer, epochs=2, clip_norm=1.0,
                        progress=False)
    for _, event in recorder.buffer:
        if event.is_start:
            print(event.data["dispatcher"], event.data["args"])
"""


def run(*arguments, **variables):
    """Run Python with these environment variables; return the finished process."""
    path = os.pathsep.join([str(PACKAGES), *sys.path])
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, timeout=900, check=False,
        cwd=os.path.dirname(__file__),  # Python looks for packages there first: there are none
        env={**os.environ, "PYTHONPATH": path, "NUMBA_DISABLE_JIT": "0", **variables},
    )  # fmt: skip


def lines_of(process):
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stderr == ""
    return process.stdout.splitlines()


def files_in(folder):
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """Return a cache that nothing but the command has filled, and what the command said."""
    cache = str(tmp_path_factory.mktemp("cache"))
    return cache, lines_of(run("-m", "fastrnn", "warmup", NUMBA_CACHE_DIR=cache))


def test_compiles_each_family_and_says_where_it_is_kept(warm):
    cache, lines = warm
    names = ["linear", "losses", "optimizers"]
    for body in ("elman", "jordan", "stack", "tdnn", "tdnn-residual"):
        names += [body, f"{body} stream"]
    families = lines[: len(names)]
    for name, line in zip(names, families, strict=True):
        assert line.startswith(f"{name}  ")
        # A stack needs no kernels but those of its bodies, residual blocks none but a TDNN's.
        there = name.startswith(("stack", "tdnn-residual"))
        assert (" s  from cache" if there else " s  compiled ") in line
    kept = [line.removeprefix("kept in ") for line in lines[len(names) :]]
    assert {str(path.parent) for path in files_in(cache)} == set(kept)


def test_second_process_takes_all_from_the_cache(warm):
    cache, first = warm
    before = files_in(cache)
    lines = lines_of(run("-m", "fastrnn", "warmup", NUMBA_CACHE_DIR=cache))
    kept = [line for line in first if line.startswith("kept in ")]
    count = len(first) - len(kept)
    assert [line.endswith("from cache") for line in lines[:count]] == [True] * count
    assert lines[count:] == kept
    assert files_in(cache) == before


def test_after_it_a_user_compiles_nothing(warm):
    cache, _ = warm
    before = files_in(cache)
    code = textwrap.dedent(SESSION)
    assert lines_of(run("-W", "error", "-c", code, "float32", NUMBA_CACHE_DIR=cache)) == []
    assert files_in(cache) == before


def test_float64():
    # In the cache of this session of tests, which holds most of it already.
    lines_of(run("-m", "fastrnn", "warmup", "--dtype", "float64"))
    assert lines_of(run("-W", "error", "-c", textwrap.dedent(SESSION), "float64")) == []


def test_says_that_nothing_is_kept_where_nothing_can_be_written(tmp_path):
    # Permission bits do not bind root. A plain file where a folder is wanted binds everybody.
    site, home = tmp_path / "site", tmp_path / "home"
    for name in ("fastrnn", "tdnn"):
        shutil.copytree(PACKAGES / name, site / name, ignore=shutil.ignore_patterns("__pycache__"))
        for folder in [site / name, *(path for path in (site / name).rglob("*") if path.is_dir())]:
            (folder / "__pycache__").touch()
    home.touch()
    code = "import fastrnn.warmup as w; print(w.cache_folders({'fastrnn'}), w.__file__)"
    (line,) = lines_of(run(
        "-c", code, PYTHONPATH=str(site), HOME=str(home), XDG_CACHE_HOME=str(home),
        LOCALAPPDATA=str(home), NUMBA_CACHE_DIR=str(home / "numba"),
    ))  # fmt: skip
    assert line == f"([], False) {site / 'fastrnn' / 'warmup.py'}"


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("/a/folder", "not kept: NUMBA_CACHE_DIR=/a/folder cannot be written, "),
        ("", "not kept: the package's and the user's cache folders cannot be written, "),
    ],
)
def test_exit_code_and_line_where_it_is_not_kept(monkeypatch, capsys, named, told):
    monkeypatch.setenv("NUMBA_CACHE_DIR", named)
    monkeypatch.setattr(command, "warmup", lambda dtype, progress: Warmup([], [], False))
    assert main(["warmup"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(told)
    assert line.endswith("set NUMBA_CACHE_DIR to a folder that can be written")


def test_full_disk(monkeypatch, capsys):
    def fails(dtype, progress):
        progress(Family("losses", 1.0, 2))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command, "warmup", fails)
    assert main(["warmup"]) == 1
    told = capsys.readouterr()
    assert "cannot write the cache: [Errno 28] No space left on device" in told.err
    assert told.out.split() == ["losses", "1.0", "s", "compiled", "2"]


def test_without_the_compiler():
    lines = lines_of(run("-m", "fastrnn", "warmup", NUMBA_DISABLE_JIT="1"))
    assert lines[-1] == "nothing to compile: NUMBA_DISABLE_JIT is set"


@pytest.mark.parametrize(
    ("arguments", "variables", "told"),
    [
        (["warmup", "--dtype", "float16"], {}, "python -m fastrnn warmup: error: argument --dtype"),
        (["warmup", "--dtyp", "float64"], {}, "python -m fastrnn: error: unrecognized arguments"),
        (["warmdown"], {}, "python -m fastrnn: error: argument command: invalid choice"),
        (["--json", "warmup"], {}, "python -m fastrnn: error: argument --json"),
        (["warmup"], {"FASTRNN_NUM_THREADS": "many"}, "python -m fastrnn: error: FASTRNN_NUM_"),
    ],
)
def test_wrong_arguments_get_one_line(arguments, variables, told):
    process = run("-m", "fastrnn", *arguments, **variables)
    assert process.returncode == 2
    assert process.stdout == ""
    (line,) = process.stderr.splitlines()
    assert line.startswith(told)


@pytest.mark.parametrize("dtype", ["float16", int, None])
def test_wrong_dtype(dtype):
    with pytest.raises(TypeError, match=r"^dtype: expected float32 or float64, got "):
        warmup(dtype)


def test_sample_of_the_time_delay_network():
    network = TDNN.from_config(TDNN.sample_config(4, "float64"))
    assert (network.input_size, network.dtype) == (4, np.float64)
    assert len(network.weights) > 1  # the upper layers take floats where the lowest takes tokens
