"""For all tests: compiled kernels in the per-user cache that the command line uses, so that they are compiled once.

Hypothesis sets no deadline: the first example of a test may have to wait for a kernel's compilation.
"""

from hypothesis import HealthCheck, settings

from corpusmill.pipelines import kernels

kernels.configure()

settings.register_profile("corpusmill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("corpusmill")
