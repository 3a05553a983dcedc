"""Named arrays and metadata in one file, written atomically and checked wholly when loaded.

Two formats: ``.npz`` (NumPy alone, never a pickle) and ``.safetensors``. Both carry SHA-256 digests
that cover every name, dtype, shape and value and the metadata, so that a damaged file is refused
instead of loaded with other numbers in it.
"""

import contextlib
import hashlib
import io
import json
import os
import secrets
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["check_path", "load_arrays", "save_arrays", "write_atomically"]

Arrays = dict[str, np.ndarray]

_SUFFIXES = (".npz", ".safetensors")
_KINDS = frozenset(np.dtype(kind) for kind in ("?", *"bhilq", *"BHILQ", *"efd"))
_METADATA, _DIGEST = "metadata.json", "sha256"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a fixed time in the zip, so that equal contents are equal files


def save_arrays(
    path: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Save named arrays and metadata, atomically: the file is either the old one or the new one.

    The new contents go to a temporary file in the same folder, which then takes the place of
    `path`; nothing is left behind where that fails. Equal contents give equal files.

    Parameters
    ----------
    path : str or os.PathLike
        Its suffix, ``.npz`` or ``.safetensors``, chooses the format.
    arrays : dict of str to ndarray
        Of bool, integers or floats of up to 64 bits, of any shape. They are stored little-endian
        and in C order.
    metadata : dict, optional
        What JSON can hold: str keys, and tuples come back as lists.

    Raises
    ------
    ImportError
        If a ``.safetensors`` file is wanted and safetensors is not installed.
    OSError
        If the file cannot be written.
    TypeError
        If an array or the metadata cannot be stored.
    ValueError
        If the suffix or a name cannot be used.

    Examples
    --------
    >>> import numpy as np, tempfile, os
    >>> from fastrnn.checkpoint import load_arrays, save_arrays
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.npz")
    >>> save_arrays(path, {"U": np.ones(3)}, {"epoch": 7})
    >>> load_arrays(path)
    ({'U': array([1., 1., 1.])}, {'epoch': 7})
    """
    suffix = check_path("path", path)
    ready = {name: _storable(name, array) for name, array in arrays.items()}
    try:
        text = json.dumps({} if metadata is None else dict(metadata))
    except (TypeError, ValueError) as error:
        raise TypeError(f"metadata: expected what JSON can hold, got {error}") from error
    folder = os.path.dirname(os.path.realpath(os.fsdecode(path)))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"path: expected an existing folder, got {folder!r}")
    write = _to_npz if suffix == ".npz" else _to_safetensors
    write_atomically(os.path.realpath(os.fsdecode(path)), write(ready, text))


def load_arrays(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, Any]]:
    """Load what `save_arrays` saved; the format is told by the content, not by the suffix.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    arrays : dict of str to ndarray
        New arrays, writeable.
    metadata : dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If it is a ``.safetensors`` file and safetensors is not installed.
    ValueError
        If the file is damaged, or not one that `save_arrays` wrote.

    Examples
    --------
    >>> import numpy as np, tempfile, os
    >>> from fastrnn.checkpoint import load_arrays, save_arrays
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.npz")
    >>> save_arrays(path, {"b": np.zeros(2, np.float32)})
    >>> load_arrays(path)
    ({'b': array([0., 0.], dtype=float32)}, {})
    """
    with open(path, "rb") as file:
        data = file.read()
    if data[:2] == b"PK":
        read = _from_npz
    elif data[8:9] == b"{":
        _import_safetensors()
        read = _from_safetensors
    else:
        raise _unreadable(path, "neither .npz nor .safetensors")
    try:
        return read(data)
    except Exception as error:  # the parsers raise about anything over damaged bytes
        raise _unreadable(path, str(error) or type(error).__name__) from error


def check_path(argument: str, path: str | os.PathLike[str]) -> str:
    """Return the suffix of a path to save to, after checking that its format can be written.

    Parameters
    ----------
    argument : str
        The name that an error message begins with.
    path : str or os.PathLike

    Returns
    -------
    str
        ``".npz"`` or ``".safetensors"``.

    Raises
    ------
    ImportError
        If the suffix is ``.safetensors`` and safetensors is not installed.
    TypeError
        If `path` is not a path.
    ValueError
        If the suffix is another one.

    Examples
    --------
    >>> from fastrnn.checkpoint import check_path
    >>> check_path("path", "weights.npz")
    '.npz'
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{argument}: expected a path, got {type(path).__name__}")
    suffix = os.path.splitext(os.fsdecode(path))[1].lower()
    if suffix not in _SUFFIXES:
        raise ValueError(
            f"{argument}: expected a name that ends with .npz or .safetensors, "
            f"got {os.fspath(path)!r}"
        )
    if suffix == ".safetensors":
        _import_safetensors()
    return suffix


def _storable(name: str, array: Any) -> np.ndarray:
    """Return an array as it is stored: little-endian, C order."""
    if not isinstance(name, str):
        raise TypeError(f"arrays: expected str names, got {name!r}")
    if not name.isprintable() or not name or "\\" in name or name == "__metadata__":
        raise ValueError(f"arrays: expected printable names without backslash, got {name!r}")
    if not isinstance(array, np.ndarray) or array.dtype.newbyteorder("=") not in _KINDS:
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"arrays[{name!r}]: expected an array of bool, int or float, got {got}")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _to_npz(arrays: Arrays, text: str) -> bytes:
    """Return the bytes of a .npz file: one member per array, the metadata, the digest of it all."""
    members = {}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, array, allow_pickle=False)
        members[name + ".npy"] = buffer.getvalue()
    members[_METADATA] = text.encode()
    members[_DIGEST] = _digest_of_members(members).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return file.getvalue()


def _from_npz(data: bytes) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays and the metadata in the bytes of a .npz file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise ValueError("it is compressed, which save_arrays never does")
        members = {name: archive.read(name) for name in archive.namelist()}
    digest = members.pop(_DIGEST, None)
    if digest is None or _METADATA not in members:
        raise ValueError("it carries no digest: not written by save_arrays")
    if digest != _digest_of_members(members).encode():
        raise ValueError("its contents do not match their SHA-256")
    metadata = json.loads(members.pop(_METADATA))
    arrays = {}
    for name, content in members.items():
        array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        arrays[name.removesuffix(".npy")] = array
    return arrays, metadata


def _digest_of_members(members: Mapping[str, bytes]) -> str:
    """Return the SHA-256 over the names and the contents, each preceded by its length."""
    digest = hashlib.sha256()
    for name, content in members.items():
        for part in (name.encode(), content):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.hexdigest()


def _to_safetensors(arrays: Arrays, text: str) -> bytes:
    """Return the bytes of a .safetensors file with the digests of payload and header inside."""
    data = _import_safetensors().save(arrays)
    header, payload = _split_safetensors(data)
    metadata = {"metadata": text, "sha256": hashlib.sha256(payload).hexdigest()}
    header["__metadata__"] = metadata
    metadata["sha256_header"] = _digest_of_header(header)
    raw = json.dumps(header, sort_keys=True).encode()
    raw += b" " * (-len(raw) % 8)  # the format aligns the payload to 8 bytes
    return len(raw).to_bytes(8, "little") + raw + payload


def _from_safetensors(data: bytes) -> tuple[Arrays, dict[str, Any]]:
    """Return the arrays and the metadata in the bytes of a .safetensors file."""
    header, payload = _split_safetensors(data)
    metadata = header.get("__metadata__", {})
    given = metadata.pop("sha256_header", None)
    if given is None or "sha256" not in metadata or "metadata" not in metadata:
        raise ValueError("it carries no digest: not written by save_arrays")
    if given != _digest_of_header(header):
        raise ValueError("its header does not match its SHA-256")
    if metadata["sha256"] != hashlib.sha256(payload).hexdigest():
        raise ValueError("its payload does not match its SHA-256")
    arrays = _import_safetensors().load(data)
    return {name: np.array(array) for name, array in arrays.items()}, json.loads(
        metadata["metadata"]
    )


def _split_safetensors(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return the parsed header and the payload behind it."""
    end = 8 + int.from_bytes(data[:8], "little")
    if end > len(data):
        raise ValueError("it is shorter than its header says")
    return json.loads(data[8:end]), memoryview(data)[end:]


def _digest_of_header(header: Mapping[str, Any]) -> str:
    """Return the SHA-256 over names, dtypes, shapes, places and metadata, in one spelling."""
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def _import_safetensors() -> Any:
    """Return the module safetensors.numpy."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            '.safetensors files need the safetensors package: pip install "fastrnn[io]"'
        ) from error
    return safetensors.numpy


def write_atomically(path: str, data: bytes) -> None:
    """Put `data` in the place of `path` in one step, on disk before the name points to it."""
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:  # "x" and not mkstemp: a normal new file's permissions
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _unreadable(path: str | os.PathLike[str], reason: str) -> ValueError:
    """Return the error for a file that cannot be loaded."""
    return ValueError(
        f"path: expected a file that save_arrays wrote, got {os.fspath(path)!r}: {reason}"
    )
