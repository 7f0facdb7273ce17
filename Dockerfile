# Two stages: the first installs wheels from the hash lock, the second holds what runs. Neither has a compiler: every
# dependency comes as a wheel.
#
# The tag names a minor version so that rebuilding brings Debian's security fixes. A release is built from a digest:
#   docker build --build-arg PYTHON_IMAGE=python:3.12-slim-bookworm@sha256:... .
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV APP=/app VENV=/opt/venv INSTALLER=/opt/installer STATE=/state PYTHONDONTWRITEBYTECODE=1
WORKDIR ${APP}
COPY requirements.lock requirements-installer.lock ./
RUN python -m venv --without-pip "${VENV}"
RUN python -m pip install --quiet --no-cache-dir --require-hashes --no-deps --only-binary :all: --target "${INSTALLER}" --requirement requirements-installer.lock
RUN "${INSTALLER}/bin/uv" pip sync --quiet --no-cache --require-hashes --only-binary :all: --python "${VENV}/bin/python" requirements.lock
# The Kraken SDK brings a server that forwards raw requests with keys from the environment; nothing here needs it.
RUN rm -f "${VENV}/bin/kraken-mcp" "${VENV}/bin/kraken"
RUN printf '#!/bin/sh\nexec "%s/bin/python" -P -m src.main "$@"\n' "${VENV}" > "${VENV}/bin/mycelial" && chmod 0755 "${VENV}/bin/mycelial"
COPY config config
COPY src src
COPY dashboard dashboard
RUN "${VENV}/bin/python" -m compileall -q src dashboard
RUN install -d -m 0700 "${STATE}"

FROM ${PYTHON_IMAGE} AS runtime
LABEL org.opencontainers.image.title="Mycelial Finance" org.opencontainers.image.licenses="MIT"
# What numba compiles is kept beside the state: the root is read-only, and compiling again takes half a minute.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 NUMBA_CACHE_DIR=/state/numba-cache HOME=/tmp
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
COPY --from=build --chown=10001:10001 /state /state
USER 10001:10001
VOLUME /state
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=180s --retries=3 CMD ["mycelial", "status", "--state", "/state/paper", "--json"]
ENTRYPOINT ["mycelial"]
CMD ["run", "--state", "/state/paper"]
