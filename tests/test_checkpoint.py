"""Saved arrays: what comes back, what is refused, what is left behind."""

import json
import os
import pathlib
import stat
import sys
import zipfile

import numpy as np
import pytest

from fastrnn import checkpoint
from fastrnn.checkpoint import load_arrays, save_arrays

METADATA = {"kind": "test", "rows": [{"loss": 0.1 + 0.2, "validation": None}], "name": "é\n"}


@pytest.fixture(params=[".npz", ".safetensors"])
def suffix(request):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return request.param


def samples():
    rng = np.random.default_rng(0)
    return {
        "U": rng.standard_normal((3, 4)),
        "parameter/b": rng.standard_normal(5).astype(np.float32),
        "V": np.asfortranarray(rng.standard_normal((2, 3)).astype(np.float32)),
        "count": np.array(7),
        "empty": np.zeros((0, 3), np.float32),
        "flags": np.array([True, False, True]),
        "bytes": np.arange(256, dtype=np.uint8)[::2],
        "odd": np.array([np.nan, np.inf, -0.0]),
    }


def assert_same(a, b):
    assert set(a) == set(b)
    for name in a:
        assert a[name].dtype == b[name].dtype and a[name].shape == b[name].shape
        assert a[name].tobytes() == b[name].tobytes()


def test_round_trip(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    save_arrays(path, samples(), METADATA)
    arrays, metadata = load_arrays(str(path))
    assert_same(arrays, samples())
    assert metadata == METADATA
    for array in arrays.values():
        assert array.flags.writeable and array.flags.c_contiguous


def test_no_arrays_and_no_metadata(tmp_path, suffix):
    path = tmp_path / f"empty{suffix}"
    save_arrays(path, {})
    assert load_arrays(path) == ({}, {})


def test_big_endian_comes_back_with_the_same_values(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    save_arrays(path, {"a": np.arange(4, dtype=">f4"), "b": np.arange(3, dtype=">i8")})
    arrays, _ = load_arrays(path)
    assert arrays["a"].tolist() == [0, 1, 2, 3] and arrays["a"].dtype == np.float32
    assert arrays["b"].tolist() == [0, 1, 2] and arrays["b"].dtype == np.int64


def test_equal_contents_are_equal_files_and_load_looks_at_the_content(tmp_path, suffix):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"B{suffix.upper()}"
    for path in (first, second):
        save_arrays(path, samples(), METADATA)
    assert first.read_bytes() == second.read_bytes()
    other = first.rename(tmp_path / "weights.dat")
    assert_same(load_arrays(other)[0], samples())


def test_other_programs_can_read_the_files(tmp_path):
    path = tmp_path / "weights.npz"
    save_arrays(path, samples(), METADATA)
    with np.load(path) as file:
        np.testing.assert_array_equal(file["U"], samples()["U"])
        assert json.loads(file["metadata.json"]) == METADATA
    numpy_side = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "weights.safetensors"
    save_arrays(path, samples(), METADATA)
    assert_same(numpy_side.load_file(path), samples())


@pytest.mark.parametrize("what", ["flip", "truncate", "extend"])
def test_a_damaged_file_is_refused_or_harmless(tmp_path, suffix, what):
    path = tmp_path / f"weights{suffix}"
    save_arrays(path, samples(), METADATA)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    if what == "truncate":
        cuts = {*range(40), *range(len(whole) - 40, len(whole)), *rng.integers(len(whole), size=99)}
        damaged = [whole[:cut] for cut in sorted(cuts)]
    elif what == "extend":
        damaged = [whole + bytes(1), bytes(1) + whole, whole + whole]
    else:
        damaged = []
        for place in {*range(90), *rng.integers(len(whole), size=400)}:
            mutated = bytearray(whole)
            mutated[place] ^= rng.integers(1, 256) if rng.integers(2) else 1 << rng.integers(8)
            damaged.append(bytes(mutated))
    for content in damaged:
        path.write_bytes(content)
        try:
            arrays, metadata = load_arrays(path)
        except ValueError as error:
            assert str(error).startswith("path: expected a file that save_arrays wrote, got")
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
        else:
            assert_same(arrays, samples())
            assert metadata == METADATA
    if what == "truncate":
        assert refused == len(damaged)
    else:
        assert refused > (0 if what == "extend" else 0.7 * len(damaged))


def test_every_payload_byte_counts(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    value = np.random.default_rng(2).standard_normal(40)
    save_arrays(path, {"U": value})
    whole = path.read_bytes()
    start = whole.index(value.tobytes())
    for place in range(start, start + value.nbytes, 7):
        mutated = bytearray(whole)
        mutated[place] ^= 1
        path.write_bytes(mutated)
        with pytest.raises(ValueError, match=r"SHA-256|CRC"):
            load_arrays(path)


def test_a_changed_safetensors_header_is_refused(tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "weights.safetensors"
    save_arrays(path, {"U": np.ones((2, 3), np.float32), "W": np.zeros((2, 3), np.float32)})
    whole = path.read_bytes()
    # each still a valid file for the safetensors package: names exchanged, shape, dtype
    for old, new in (
        (b'"U"', b'"Q"'),
        (b"[2, 3]", b"[3, 2]"),
        (b'"F32"', b'"I32"'),
        (b'"metadata": "{}"', b'"metadata": "[]"'),
    ):
        assert old in whole
        path.write_bytes(whole.replace(old, new))
        with pytest.raises(ValueError, match="its header does not match its SHA-256"):
            load_arrays(path)


def test_foreign_files_are_refused(tmp_path):
    bare, packed, empty = tmp_path / "bare.npz", tmp_path / "packed.npz", tmp_path / "empty.npz"
    np.savez(bare, U=np.ones(3))
    np.savez_compressed(packed, U=np.ones(3))
    empty.write_bytes(b"")
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, U=np.array([{}], dtype=object), allow_pickle=True)
    for path, reason in (
        (bare, "it carries no digest"),
        (packed, "it is compressed"),
        (empty, "neither .npz nor .safetensors"),
        (pickled, "it carries no digest"),
    ):
        with pytest.raises(ValueError, match=reason):
            load_arrays(path)
    numpy_side = pytest.importorskip("safetensors.numpy")
    foreign = tmp_path / "foreign.safetensors"
    numpy_side.save_file({"U": np.ones(3)}, foreign)
    with pytest.raises(ValueError, match="it carries no digest"):
        load_arrays(foreign)


def test_a_pickle_with_a_valid_digest_is_not_loaded(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, U=np.array([{}], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["metadata.json"] = b"{}"
    members["sha256"] = checkpoint._digest_of_members(members).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load_arrays(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "none.npz")


BAD_CALLS = [
    ("a.pt", {}, None, ValueError, "path: expected a name that ends with .npz or .safetensors"),
    ("npz", {}, None, ValueError, "path: expected a name that ends with"),
    (7, {}, None, TypeError, "path: expected a path, got int"),
    ("a.npz", {7: np.ones(2)}, None, TypeError, "arrays: expected str names, got 7"),
    ("a.npz", {"": np.ones(2)}, None, ValueError, "arrays: expected printable names"),
    ("a.npz", {"a\0": np.ones(2)}, None, ValueError, "arrays: expected printable names"),
    ("a.npz", {"__metadata__": np.ones(2)}, None, ValueError, "arrays: expected printable names"),
    ("a.npz", {"a": [1.0]}, None, TypeError, r"arrays\['a'\]: expected an array of .*, got list"),
    ("a.npz", {"a": np.array([{}])}, None, TypeError, r"arrays\['a'\]: expected .*, got object"),
    ("a.npz", {"a": np.array(["b"])}, None, TypeError, r"arrays\['a'\]: expected .*, got <U1"),
    ("a.npz", {"a": np.ones(2, complex)}, None, TypeError, r"arrays\['a'\]: .*, got complex128"),
    ("a.npz", {}, {"a": np.ones(2)}, TypeError, "metadata: expected what JSON can hold, got"),
]


@pytest.mark.parametrize(("name", "arrays", "metadata", "error", "message"), BAD_CALLS)
def test_bad_calls_write_nothing(tmp_path, name, arrays, metadata, error, message):
    path = tmp_path / name if isinstance(name, str) else name
    with pytest.raises(error, match=message):
        save_arrays(path, arrays, metadata)
    assert list(tmp_path.iterdir()) == []


def test_without_safetensors_one_sentence_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "old.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (
        lambda: save_arrays(tmp_path / "a.safetensors", {}),
        lambda: load_arrays(tmp_path / "old.safetensors"),
    ):
        with pytest.raises(ImportError, match=r'safetensors package: pip install "fastrnn\[io\]"'):
            call()
    save_arrays(tmp_path / "a.npz", samples())
    assert_same(load_arrays(tmp_path / "a.npz")[0], samples())


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, suffix, monkeypatch, call):
    path = tmp_path / f"weights{suffix}"
    save_arrays(path, {"a": np.ones(2)})

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="disk full"):
        save_arrays(path, {"a": np.zeros(2)})
    monkeypatch.undo()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert load_arrays(path)[0]["a"].tolist() == [1.0, 1.0]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions and symbolic links")
def test_permissions_are_those_of_a_new_file_and_links_stay(tmp_path):
    usual, path = tmp_path / "usual", tmp_path / "weights.npz"
    usual.write_bytes(b"")
    link = tmp_path / "link.npz"
    link.symlink_to(path)
    save_arrays(link, {"a": np.ones(2)})
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
    assert link.is_symlink() and load_arrays(path)[0]["a"].tolist() == [1.0, 1.0]


def test_a_name_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_arrays("weights.npz", {"a": np.ones(2)})
    assert load_arrays(pathlib.Path("weights.npz"))[0]["a"].tolist() == [1.0, 1.0]
