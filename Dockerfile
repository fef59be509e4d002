# A static binary in an empty image, run by a user that is not root.
#
#   docker build -t sinkhole .
#   docker run -p 53:5300/udp -p 53:5300/tcp -v /etc/sinkhole:/etc/sinkhole:ro -v sinkhole:/var/lib/sinkhole sinkhole
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
# What goes into the image lies under /image; `make image-root` makes the same.
RUN make image-root IMAGE_ROOT=/image VERSION="${VERSION}"

FROM scratch
COPY --from=build --chown=65532:65532 /image/ /
USER 65532:65532
VOLUME /var/lib/sinkhole
EXPOSE 5300/udp 5300/tcp 9153/tcp
HEALTHCHECK NONE
ENTRYPOINT ["/sinkhole"]
CMD ["serve", "-c", "/etc/sinkhole/sinkhole.yaml"]
