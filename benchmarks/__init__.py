"""Benchmarks, run from a checkout: the asv suite, its history, and the comparison with peers.

asv imports every module of this package and of the packages in it. What is no benchmark and needs
more than the core does lies in folders without an ``__init__.py`` (`history`, `peers`), which asv
does not look into: so it finds the suite where no other framework is installed, and under old
versions of FastRNN.
"""
