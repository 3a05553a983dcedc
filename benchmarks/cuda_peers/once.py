"""One small pass of every network, loss and optimizer on the GPU, for compute-sanitizer."""

import numpy as np

import fastrnn
import tdnn

__all__ = ["main"]


def main() -> None:
    """Take one step of training with each; what comes out is looked at elsewhere."""
    rng = np.random.default_rng(0)
    p, m, q, T, B = 9, 33, 5, 7, 3
    lengths = np.array([T, 0, 4])
    bodies = (
        fastrnn.Elman(p, m, rng=0),
        fastrnn.Elman(p, m, dtype=np.float64, rng=0),
        fastrnn.Jordan(p, m, q, rng=0),
        fastrnn.Jordan(p, m, q, teacher_forcing=0, rng=0),
        tdnn.TDNN(p, [(m, (-2, 0, 1), 1), (m, (0, 1), 2)], rng=0),
    )
    optimizers = fastrnn.SGD(0.1, 0.9), fastrnn.RMSProp(), fastrnn.AdaGrad(), fastrnn.Adam()
    for body, optimizer in zip(bodies, (*optimizers, fastrnn.SGD(0.1)), strict=True):
        model = fastrnn.SequenceModel(body, q, rng=0).to("cuda")
        for x in (rng.standard_normal((T, B, p)).astype(body.dtype), rng.integers(0, p, (T, B))):
            batch = (x, rng.integers(0, q, (T, B)), lengths)
            fastrnn.fit(model, batch, optimizer=optimizer, epochs=1, clip_norm=1.0, progress=False)


if __name__ == "__main__":
    main()
