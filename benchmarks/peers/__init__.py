"""Speed and accuracy beside PyTorch, JAX and ONNX Runtime: ``python -m benchmarks.peers``.

How it measures
---------------
- **One process per thread count.** It is bound to that many cores before anything else is imported.
  For JAX, whose thread pool has no public setting, this is the setting: XLA makes as many threads
  as it has cores; for one thread it also gets ``--xla_cpu_multi_thread_eigen=false
  intra_op_parallelism_threads=1``. Torch, ONNX Runtime, OpenMP and FastRNN are told the number.
- **Interleaved.** In each round every contender runs once, in random order, for at least 2 ms
  (short calls are repeated). A ratio is the median over rounds of peer's time / our time, so a
  machine that slows down for a while slows both. With several threads there is a short pause
  between two contenders, in which the thread pool of the one before stops spinning.
- **Alone or not.** The share of the cores that other processes took is reported where it is above
  5 %: with two threads, barriers that spin then collapse, and so do ratios. So is a peer that kept
  more cores busy than it was given threads.
- **Peers at their best.** Inputs lie in the peer's own tensors before the clock starts; where a
  peer can be called in several ways (memory layouts, unrolling, bound outputs), its fastest is
  taken.
- **Checked first.** Before it is timed, each contender's results are compared with float64
  (`reference.py`): a wrong one stops the run. The error is the largest norm-wise error,
  ``|got - expected| / |expected|``, over all results.
- **Percent.** A case needs at least the longer of two times: its floating-point operations at the
  peak (fused multiply-adds with all operands in registers), and W, read once a step, at the
  bandwidth of the smallest cache it fits into. Percent is that time / the measured one; where the
  second binds, the cache is named. Both yardsticks are measured in the same rounds, on one core,
  and multiplied by the number of threads.

What is timed
-------------
forward
    The recurrent layer alone: x -> h, h_last. Operations: 2 T B m (m + p).
forward + backward
    The layer, the output layer, softmax cross entropy, and the gradients in everything: x, h0, U,
    W, b, V, c. Operations: three times the forward pass and 6 T B m q.
tdnn
    One layer with relu and valid padding, against conv1d in torch's best layout; backward from a
    given gradient in h.
ragged
    Lengths uniform in [T/4, T]. Torch gets packed sequences, packed beforehand; "ours padded" is
    the same batch without its lengths.
vanishing
    W x 0.5 with W orthogonal and the loss on the last step only, so that gradients fall below the
    smallest normal number; and W x 1 to compare with.
jordan
    An output-to-hidden network: forward, it is fed its own softmax outputs; backward, its targets
    (teacher forcing). For the latter torch runs twice: "torch" computes all steps at once, as ours
    does, "torch loop" step after step, as such networks are commonly written.
step
    One step of one sequence, from Python and in a loop inside a compiled function.

Where each thing is: `cases` the grid; `inputs`, `reference` arrays and what is right; `ours`,
`peer_torch`, `peer_jax`, `peer_onnx` the contenders; `machine` peak and bandwidth; `timing` rounds;
`worker` one process; `records` results as CSV; `table` Markdown, lines and summary.
"""
