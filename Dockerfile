# docker build --tag wildtalker .                              for CPUs
# docker build --tag wildtalker --build-arg DEVICE=cuda .      for NVIDIA cards
# docker run --rm --volume "$PWD:/data" wildtalker make me.mp4
# docs/setup.md says what of it was tried.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
ARG DEVICE=cpu

WORKDIR /opt/wildtalker
COPY Makefile requirements.lock ./
COPY envs/container.sh envs/
RUN sh envs/container.sh "${DEVICE}"

COPY . .
RUN .venv/bin/pip install --no-deps --no-build-isolation .

ENV PATH=/opt/wildtalker/.venv/bin:$PATH
WORKDIR /data
ENTRYPOINT ["wildtalker"]
CMD ["doctor"]
