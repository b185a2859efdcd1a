# Slipway with the iris example as its model: docker run --rm -p 127.0.0.1:8000:8000 slipway:dev
# `docker build --target compiled` makes a smaller image, for models of which each has a compiled form: without scikit-learn and pandas.
FROM python:3.13-slim-trixie AS build
ENV PIP_CACHE_DIR=/var/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# strip, for deploy/lean. The distribution's version, whichever that is.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
COPY requirements-build.lock .
RUN --mount=type=cache,target=/var/cache/pip \
    python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes -r requirements-build.lock \
    && python -m venv --without-pip /opt/slipway
COPY --chmod=755 deploy/lean .

FROM build AS dependencies
COPY requirements.lock .
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/build/bin/pip --python /opt/slipway/bin/python install --require-hashes -r requirements.lock \
    && ./lean /opt/slipway

FROM build AS compiled-dependencies
COPY deploy/compiled.lock .
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/build/bin/pip --python /opt/slipway/bin/python install --require-hashes -r compiled.lock \
    && ./lean /opt/slipway

FROM dependencies AS project
COPY pyproject.toml README.md LICENSE ./
COPY service service
# A tree of its own, so that new code leaves the layer of dependencies alone.
RUN /opt/build/bin/python -m hatchling build -t wheel \
    && /opt/build/bin/pip --python /opt/slipway/bin/python install --no-index --no-deps --prefix /opt/project dist/*.whl
RUN cp -r /opt/project/. /opt/slipway/ \
    && /opt/slipway/bin/slipway example iris --output /opt/models

FROM python:3.13-slim-trixie AS server
# Nothing that installs or builds packages is left inside.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip \
    /usr/lib/python3*/ensurepip /usr/share/python-wheels
ENV PATH=/opt/slipway/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SLIPWAY_HOST=0.0.0.0 SLIPWAY_MODELS=/models
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["slipway"]
CMD ["serve"]
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Slipway" \
    org.opencontainers.image.description="Serves scikit-learn models: predictions, probes and metrics, ready for Kubernetes" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"

FROM server AS compiled
COPY --from=compiled-dependencies /opt/slipway /opt/slipway
COPY --from=project /opt/models /models
COPY --from=project /opt/project /opt/slipway

FROM server
COPY --from=dependencies /opt/slipway /opt/slipway
COPY --from=project /opt/models /models
COPY --from=project /opt/project /opt/slipway
