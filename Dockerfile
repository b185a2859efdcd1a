# Slipway with the iris example as its model: docker run --rm -p 127.0.0.1:8000:8000 slipway:dev
FROM python:3.13-slim-trixie AS dependencies
ENV PIP_CACHE_DIR=/var/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements-build.lock .
RUN --mount=type=cache,target=/var/cache/pip \
    python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes -r requirements-build.lock
COPY requirements.lock .
# Bytecode stays, for without it the start takes more than twice as long; the libraries' own tests, a fifth of the size, go.
# So do the sources of compiled modules, and what ONNX Runtime does not serve with: tools, protobuf, and the C library, of which its Python
# module holds a copy.
RUN --mount=type=cache,target=/var/cache/pip \
    python -m venv --without-pip /opt/slipway \
    && /opt/build/bin/pip --python /opt/slipway/bin/python install --require-hashes -r requirements.lock \
    && find /opt/slipway/lib -type d \( -name tests -o -path '*/site-packages/google' -o -path '*/onnxruntime/backend' \
        -o -path '*/onnxruntime/datasets' -o -path '*/onnxruntime/quantization' -o -path '*/onnxruntime/tools' \
        -o -path '*/onnxruntime/transformers' \) -prune -exec rm -rf {} + \
    && find /opt/slipway/lib -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.tp' -o -name '*.h' -o -name '*.pyi' \
        -o -name 'libonnxruntime.so*' \) -delete

FROM dependencies AS project
COPY pyproject.toml README.md LICENSE ./
COPY service service
# A tree of its own, so that new code leaves the layer of dependencies alone.
RUN /opt/build/bin/python -m hatchling build -t wheel \
    && /opt/build/bin/pip --python /opt/slipway/bin/python install --no-index --no-deps --prefix /opt/project dist/*.whl
RUN cp -r /opt/project/. /opt/slipway/ \
    && /opt/slipway/bin/slipway example iris --output /opt/models

FROM python:3.13-slim-trixie
# Nothing that installs or builds packages is left inside.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip \
    /usr/lib/python3*/ensurepip /usr/share/python-wheels
COPY --from=dependencies /opt/slipway /opt/slipway
COPY --from=project /opt/models /models
COPY --from=project /opt/project /opt/slipway
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
