# A stand-in for the public base image where there is no GPU: Debian's Python and the CPU's torch.
FROM bare
ARG TORCH
ENV PATH=/opt/venv/bin:$PATH
RUN python3 -m venv /opt/venv && pip install --no-cache-dir "$TORCH"
