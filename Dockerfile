# Openline in a container.
#
#   docker build -t openline .
#
# It listens on loopback: run it as a sidecar that shares the network namespace of the container that calls it, and set
# OPENAI_BASE_URL=http://127.0.0.1:6736/v1 there. (In a Kubernetes pod the containers share it anyway.)
#
#   docker run --rm --name agent … my-agent
#   docker run --rm --network container:agent openline
#
# To publish the port, let it listen on every address; it then wants a token, which callers show in the base URL
# (http://HOST:6736/t/TOKEN/v1) or in the header x-openline-token:
#
#   docker run --rm -p 6736:6736 -e OPENLINE_LISTEN=0.0.0.0:6736 -e OPENLINE_TOKEN openline
FROM python:3.13-slim

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY proxy ./proxy
RUN pip install --no-cache-dir . \
    && useradd --create-home --uid 10001 openline

USER openline
WORKDIR /home/openline
EXPOSE 6736
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:6736/healthz', timeout=2)"]
ENTRYPOINT ["openline"]
CMD ["run"]
