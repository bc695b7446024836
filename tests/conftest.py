"""For all tests: compiled kernels in the per-user cache that the command line uses, so that they are compiled once."""

from pipelines import kernels

kernels.configure()
