"""Benchmarks, run from a checkout; nothing in fastrnn or tdnn imports them."""
