# Likewise as an image: the code, its libraries and the embedding model, no compiler, no root.
#   docker build -t likewise .
#   docker run -p 127.0.0.1:8080:8080 -e LIKEWISE_UPSTREAM=https://api.openai.com/v1 likewise
# The dashboard (8081) stays on the container's own loopback until a configuration file says
# otherwise and LIKEWISE_ADMIN_TOKEN is set: see deploy/likewise.docker.yaml and docker-compose.yml.

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/likewise
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY proxy proxy
COPY index index
COPY policies policies
COPY admin_ui admin_ui
RUN /opt/likewise/bin/pip install .
# The model is fetched and built here, so that a container starts without a network.
ENV LIKEWISE_CACHE=/opt/likewise/cache
RUN /opt/likewise/bin/likewise models pull

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin likewise \
 && install -d -o likewise -g likewise -m 0750 /data
COPY --from=build /opt/likewise /opt/likewise
COPY deploy/likewise.docker.yaml /etc/likewise/likewise.yaml
ENV PATH=/opt/likewise/bin:$PATH \
    LIKEWISE_CACHE=/opt/likewise/cache \
    PYTHONUNBUFFERED=1
USER likewise
# The built-in policy keeps its store under ./.likewise, so the working directory is the volume.
WORKDIR /data
VOLUME /data
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=2)"]
ENTRYPOINT ["likewise", "serve"]
CMD ["--host", "0.0.0.0"]
