# The simulator in a container: docker build -t interopsim . && docker run --rm -p 127.0.0.1:4460-4462:4460-4462 interopsim
FROM python:3.13-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.13-slim
# Such as "[cluster]".
ARG EXTRAS=""
RUN --mount=from=build,source=/wheel,target=/wheel \
    --mount=source=constraints.txt,target=/constraints.txt \
    pip install --no-cache-dir --constraint /constraints.txt "$(echo /wheel/*.whl)${EXTRAS}" \
    && useradd --create-home --uid 10001 interopsim
USER 10001:10001
WORKDIR /home/interopsim
EXPOSE 4460 4461 4462
HEALTHCHECK --interval=5s --timeout=6s --start-period=10s CMD ["interopsim", "check", "--quiet"]
ENTRYPOINT ["interopsim"]
# In a container all of its addresses are its own; what reaches them is decided by who publishes its ports.
CMD ["up", "--grpc", "0.0.0.0:4460", "--admin", "0.0.0.0:4461", "--http", "0.0.0.0:4462", "--allow-remote"]
