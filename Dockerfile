# Openline in a container.
#
# This version listens on loopback only: without a token, any other address would let whoever reaches it use the
# upstream. So run it as a sidecar that shares the network namespace of the container that calls it:
#
#   docker build -t openline .
#   docker run --rm --name agent … my-agent
#   docker run --rm --network container:agent openline
#
# and set OPENAI_BASE_URL=http://127.0.0.1:6736/v1 in the agent. (In a Kubernetes pod the containers share it anyway.)
# Publishing the port with -p does not work yet, for the same reason.
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
