# corpusmill for CPUs, with Ray and S3, from the wheel: `make wheel`, then
#
#   docker build -t corpusmill:0.1.0 .
#   docker run --rm -v "$PWD:/data" corpusmill:0.1.0 corpusmill doctor
#
# Kernels are compiled here, so that pods start warm. They are compiled for a family of processors (CPU) and not for the
# one that builds the image: any x86-64 server since 2015 has x86-64-v3; for ARM build with --build-arg CPU=generic.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim

# bash and wget are what KubeRay's probes run.
RUN apt-get update && apt-get install --yes --no-install-recommends bash wget && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 1000 --create-home mill

# The Ray of the image, which a RayJob names as its rayVersion, and all nodes of a cluster must share.
ARG RAY=2.60.0
ARG EXTRAS=ray,s3,web,fasttext,mojibake,report,search
COPY dist/corpusmill-*.whl constraints.txt /opt/wheel/
RUN python -m venv /opt/corpusmill
RUN /opt/corpusmill/bin/pip install --no-cache-dir --constraint /opt/wheel/constraints.txt "$(ls /opt/wheel/*.whl)[$EXTRAS]" "ray==$RAY"
ENV PATH=/opt/corpusmill/bin:$PATH

ARG CPU=x86-64-v3
ENV NUMBA_CPU_NAME=$CPU
ENV NUMBA_CPU_FEATURES=
ENV CORPUSMILL_CACHE=/home/mill/cache
ENV RAY_USAGE_STATS_ENABLED=0

# As the user that runs it: kernels of another user's are not trusted. KERNELS names warm-up modules; all if empty.
USER mill
ARG KERNELS=
RUN python -c "import sys; from corpusmill.pipelines import kernels; kernels.compile_if_needed(print, sys.argv[1:] or None)" $KERNELS
WORKDIR /data
CMD ["corpusmill", "--help"]
