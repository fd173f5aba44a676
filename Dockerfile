# gcbench with all it needs. For a CPU:
#   docker build -t gcbench .
#   docker run --rm -v "$PWD:/work" gcbench sweep --guidance 1,2 -n 16
# For an NVIDIA GPU, with the CUDA build of torch that the driver takes (cu126, cu128, …):
#   docker build -t gcbench:cuda --build-arg TORCH=cu128 .
#   docker run --rm --gpus all --shm-size 2g -v "$PWD:/work" gcbench:cuda sweep
ARG PYTHON=3.13
FROM python:${PYTHON}-slim

# cpu, or a CUDA build of torch. CUDA's libraries come with it: the image needs no base of NVIDIA's.
ARG TORCH=cpu
# Extras of pyproject.toml, as in EXTRAS=[diffusers,cluster]
ARG EXTRAS=
# The version: without git's tags a build takes the last release's.
ARG VERSION=

ENV PYTHONUNBUFFERED=1 UV_COMPILE_BYTECODE=1 UV_SYSTEM_PYTHON=1 UV_NO_CACHE=1
# hadolint ignore=DL3013,DL3042
RUN pip install uv

COPY pyproject.toml hatch_build.py README.md LICENSE NOTICE /source/
COPY gcbench /source/gcbench
RUN export SETUPTOOLS_SCM_PRETEND_VERSION_FOR_GCBENCH="${VERSION}" \
    && uv pip install --torch-backend "${TORCH}" "gcbench${EXTRAS} @ file:///source" \
    && rm -r /source \
    && useradd --create-home --uid 1000 gcbench \
    && mkdir /work /data \
    && chown gcbench /work

USER 1000
ENV GCBENCH_DATA=/data NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /work
ENTRYPOINT ["gcbench"]
CMD ["--help"]
