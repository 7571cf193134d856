# farheapd and its tools. Build: docker build --network=host -t farheap .   (or ./dev image)
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS deps
WORKDIR /src
COPY dev .
RUN ./dev deps build

FROM deps AS build
COPY . .
RUN cmake -S . -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=gcc -DFARHEAP_TESTS=OFF \
        -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=ON -DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_INSTALL_LIBDIR=lib \
    && ninja -C /build \
    && DESTDIR=/out cmake --install /build --strip \
    # position independent, relocations read-only and bound at start, fortified
    && readelf -h /out/usr/sbin/farheapd | grep -q 'Type: *DYN' \
    && readelf -d /out/usr/sbin/farheapd | grep -q NOW \
    && readelf -lW /out/usr/sbin/farheapd | grep -q GNU_RELRO \
    && readelf -W --dyn-syms /out/usr/sbin/farheapd | grep -q _chk@ \
    && mkdir -p /out/licenses && cp LICENSE /out/licenses/

FROM ${BASE}
LABEL org.opencontainers.image.title="farheap" \
      org.opencontainers.image.description="memory your jobs can allocate on other machines" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY dev /tmp/dev
RUN /tmp/dev deps run && rm -rf /tmp/dev /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 farheap \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/farheap \
        --shell /usr/sbin/nologin farheap \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/farheap
COPY --from=build /out/usr/sbin/farheapd /usr/sbin/
COPY --from=build /out/usr/bin/farheap /usr/bin/
COPY --from=build /out/usr/lib/libfarheap.so.* /usr/lib/
COPY --from=build /out/licenses /usr/share/doc/farheap
# every library is there
RUN ! ldd /usr/sbin/farheapd /usr/bin/farheap | grep 'not found'
USER 10001
VOLUME /var/lib/farheap
EXPOSE 7420 7421
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["farheap", "ping", "-q"]
ENTRYPOINT ["farheapd"]
