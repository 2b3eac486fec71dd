# The benchmark in a container: `docker run IMAGE` does one timed run (README, section Container).
#
# The default base holds a CUDA 12.6 build of torch, the newest CUDA whose builds have kernels for
# the V100 (sm_70), in the version that requirements.txt pins. By digest, which no new image of the
# same tag changes; the tag is 2.13.0-cuda12.6-cudnn9-runtime. For B200, docs/containers.md names
# one with CUDA 13.
ARG FROM_IMAGE_NAME=pytorch/pytorch@sha256:6acf597eeb8e376a96580dde4952f37cc017fef732bb40bfc73f28f25e3f64b4
FROM ${FROM_IMAGE_NAME}

# Images on Ubuntu 24.04 mark their Python as the distribution's own; this one is ours to fill.
ENV PIP_BREAK_SYSTEM_PACKAGES=1

# The base image's torch is the one that fits its CUDA: it is left out of the pins, held by a
# constraint in case another package asks for it, and compared in the end.
COPY requirements.txt /opt/cloudmask/
RUN set -eu; \
    version() { python3 -c 'from importlib.metadata import version; print(version("torch"))'; }; \
    torch=$(version); \
    echo "torch==$torch" > /tmp/constraint.txt; \
    grep -v '^torch==' /opt/cloudmask/requirements.txt > /tmp/requirements.txt; \
    python3 -m pip install --no-cache-dir --disable-pip-version-check \
        --constraint /tmp/constraint.txt --requirement /tmp/requirements.txt; \
    rm /tmp/constraint.txt /tmp/requirements.txt; \
    test "$(version)" = "$torch"

COPY . /opt/cloudmask/
# /data and /logs stay root's: what is not mounted there cannot be written by the run.
ARG SOURCE_COMMIT=unknown
RUN echo "$SOURCE_COMMIT" > /opt/cloudmask/SOURCE_COMMIT \
    && python3 -m pip install --no-cache-dir --disable-pip-version-check --no-build-isolation \
        --no-deps --no-index --editable /opt/cloudmask \
    && python3 -m compileall -q /opt/cloudmask/cloudmask \
    && mkdir -p /data /logs

ARG FROM_IMAGE_NAME
LABEL org.opencontainers.image.title="CloudMask" \
      org.opencontainers.image.description="Cloud segmentation of SLSTR scenes, timed to target" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${SOURCE_COMMIT}" \
      org.opencontainers.image.base.name="${FROM_IMAGE_NAME}"

# Any user may run it, known to the image or not (`docker run --user`): nothing but the mounts and
# /tmp is written to.
ENV DATADIR=/data LOGDIR=/logs HOME=/tmp USER=cloudmask PYTHONPATH=/opt/cloudmask
WORKDIR /opt/cloudmask
USER 1000:1000
ENTRYPOINT ["/opt/cloudmask/container_entrypoint.sh"]
