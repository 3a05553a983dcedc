"""Models read from files: `load` (the writing part is `SequenceModel.save`)."""

import os

from fastrnn.bodies import make_body
from fastrnn.checkpoint import load_arrays
from fastrnn.model import SequenceModel

__all__ = ["load"]


def load(path: str | os.PathLike[str]) -> SequenceModel:
    """Read a model that `SequenceModel.save` wrote; the format is seen from the content.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    SequenceModel
        Equal to the saved one, bit for bit.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If `path` is not a path.
    ValueError
        If it is damaged, or holds no model.
    ImportError
        If it needs a package that is not installed.

    Examples
    --------
    >>> import fastrnn, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.npz"
    >>> fastrnn.SequenceModel(fastrnn.Elman(3, 8), 4).save(path)
    >>> fastrnn.load(path)
    SequenceModel(Elman(input_size=3, hidden_size=8, activation='tanh', dtype='float32'), 4, \
loss='softmax', readout='each')
    """
    if not isinstance(path, str | os.PathLike):  # `open` would take an int for a descriptor
        raise TypeError(f"path: expected a path, got {type(path).__name__}")
    arrays, metadata = load_arrays(path)
    config = metadata.get("model")
    if not isinstance(config, dict):
        raise ValueError(f"path: expected a saved model, got {os.fspath(path)!r} without one")
    try:
        body = make_body(config["body"])
        settings = {key: config[key] for key in ("dropout", "same_mask") if key in config}
        model = SequenceModel(
            body, config["output_size"], loss=config["loss"], readout=config["readout"], rng=0,
            **settings,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:  # written by another version, or by hand
        raise ValueError(
            f"path: expected a model of this version, got {os.fspath(path)!r}: {error}"
        ) from error
    parameters = model.parameters()
    described = {name: (a.shape, a.dtype) for name, a in parameters.items()}
    if described != {name: (a.shape, a.dtype) for name, a in arrays.items()}:
        raise ValueError(
            f"path: expected parameters that fit their model, got others in {os.fspath(path)!r}"
        )
    for name, array in parameters.items():
        array[...] = arrays[name]
    model.restore_sampling(metadata.get("sampling", {}))
    return model
