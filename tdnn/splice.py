"""Layer lists of a time-delay network, and the splice strings that stand for them."""

import re
from collections.abc import Sequence
from typing import Any

from fastrnn.arrays import count
from tdnn.layer import check_offsets

__all__ = ["parse_layers", "parse_splice"]

_NAMED = re.compile(r"layer(\d+)/(.*)")
_INTEGER = re.compile(r"[+-]?\d+")
# A slip such as layer10000000 must not make a list of that many layers.
_MOST_LAYERS = 1000

Layer = tuple[int, tuple[int, ...], int]


def parse_splice(text: str) -> list[tuple[int, ...]]:
    """Return the offsets of each layer that a splice string names.

    Parameters
    ----------
    text : str
        One group of offsets per layer, separated by blanks: ``"-2,-1,0,1,2 -1,2 -3,3"``; or
        Kaldi's form ``"layer0/-2:-1:0:1:2 layer1/-1:2"``, where a layer that is not named, below
        one that is, sees only its own frame: offsets (0,).

    Returns
    -------
    list of tuple of int

    Raises
    ------
    TypeError, ValueError
        If `text` is no such string; the message holds the bad part.

    Examples
    --------
    >>> from tdnn.splice import parse_splice
    >>> parse_splice("-1,0,1 -3,3"), parse_splice("layer0/-1:1 layer2/-3:3")
    ([(-1, 0, 1), (-3, 3)], [(-1, 1), (0,), (-3, 3)])
    """
    if not isinstance(text, str):
        raise TypeError(f"layers: expected a splice string, got {text!r}")
    parts = text.split()
    if not parts:
        raise ValueError(f"layers: expected a splice string such as '-1,0,1 -2,2', got {text!r}")
    if not any(part.startswith("layer") for part in parts):
        return [_parse_offsets(part, part) for part in parts]
    named: dict[int, tuple[int, ...]] = {}
    for part in parts:
        match = _NAMED.fullmatch(part)
        if match is None:
            raise ValueError(f"layers: expected each part as 'layer0/-1:2', got {part!r}")
        index = int(match[1])
        if index in named:
            raise ValueError(f"layers: expected each layer once, got layer{index} again: {part!r}")
        if index >= _MOST_LAYERS:
            raise ValueError(f"layers: expected at most {_MOST_LAYERS} layers, got {part!r}")
        named[index] = _parse_offsets(match[2], part)
    return [named.get(index, (0,)) for index in range(max(named) + 1)]


def _parse_offsets(text: str, part: str) -> tuple[int, ...]:
    words = re.split("[,:]", text)
    for word in words:
        if not _INTEGER.fullmatch(word):
            raise ValueError(
                f"layers: expected integers separated by ',' or ':', got {word!r} in {part!r}"
            )
    offsets = tuple(int(word) for word in words)
    check_offsets(f"layers: {part!r}", offsets)
    return offsets


def parse_layers(
    layers: str | Sequence[Any], hidden_size: int | Sequence[int] | None
) -> list[Layer]:
    """Return (size, offsets, stride) of each layer, from a list of layers or a splice string.

    Parameters
    ----------
    layers : list of (size, offsets) or (size, offsets, stride), or str
        The layers, lowest first; a string as in `parse_splice`.
    hidden_size : int or list of int, optional
        With a string, the size of all layers or of each; None with a list.

    Returns
    -------
    list of tuple

    Raises
    ------
    TypeError, ValueError
        If the layers or sizes are not as said above.

    Examples
    --------
    >>> from tdnn.splice import parse_layers
    >>> parse_layers("-1,0,1 -3,3", 8)
    [(8, (-1, 0, 1), 1), (8, (-3, 3), 1)]
    """
    if isinstance(layers, str):
        contexts = parse_splice(layers)
        sizes = _parse_sizes(hidden_size, len(contexts))
        return [(size, offsets, 1) for size, offsets in zip(sizes, contexts, strict=True)]
    if hidden_size is not None:
        raise ValueError(
            "hidden_size: expected None, because each layer of the list has its size, "
            f"got {hidden_size!r}"
        )
    if not isinstance(layers, (list, tuple)):
        raise TypeError(f"layers: expected a list of layers or a splice string, got {layers!r}")
    if not layers:
        raise ValueError("layers: expected at least one layer, got none")
    return [_parse_layer(f"layers[{index}]", layer) for index, layer in enumerate(layers)]


def _parse_layer(name: str, layer: Any) -> Layer:
    if not isinstance(layer, (list, tuple)) or len(layer) not in (2, 3):
        raise TypeError(
            f"{name}: expected (size, offsets) or (size, offsets, stride), got {layer!r}"
        )
    size = count(f"{name} size", layer[0])
    offsets = check_offsets(f"{name} offsets", layer[1])
    stride = count(f"{name} stride", layer[2] if len(layer) == 3 else 1)
    return size, tuple(offsets.tolist()), stride


def _parse_sizes(hidden_size: int | Sequence[int] | None, layers: int) -> list[int]:
    if hidden_size is None:
        raise TypeError(
            f"hidden_size: expected an integer or {layers} of them with a splice string, got None"
        )
    if not isinstance(hidden_size, (list, tuple)):
        return [count("hidden_size", hidden_size)] * layers  # type: ignore[arg-type]
    if len(hidden_size) != layers:
        raise ValueError(
            f"hidden_size, layers: expected one size for each of {layers} layers, "
            f"got {len(hidden_size)}"
        )
    return [count(f"hidden_size[{index}]", size) for index, size in enumerate(hidden_size)]
