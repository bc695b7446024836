"""For all tests: compiled kernels in the per-user cache that the command line uses, so that they are compiled once.

Hypothesis sets no deadline: the first example of a test may have to wait for a kernel's compilation. Hugging Face's
libraries are kept from the network, which they would otherwise try for local folders, too.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when they are imported
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and our tables would be wrapped

from hypothesis import HealthCheck, settings

from corpusmill.pipelines import kernels

kernels.configure()

settings.register_profile("corpusmill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("corpusmill")
