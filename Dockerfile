# The image: compiled JavaScript, production packages, the CRDs and an example service, on Node.js.
#
#   docker build -t headgate:0.1.0 .
#
# BASE runs it: anything with glibc and Node.js 26 as `node` on the PATH. BUILD_BASE compiles it and has npm besides.
ARG BASE=docker.io/library/node:26-slim
ARG BUILD_BASE=${BASE}

FROM ${BUILD_BASE} AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# Nothing runs an install script. What is in npm's cache is not fetched again.
RUN npm ci --ignore-scripts --prefer-offline
COPY . .
RUN node_modules/.bin/tsc -p tsconfig.build.json --outDir /out/dist \
 && node_modules/.bin/tsc -p tsconfig.example.json --outDir /out/examples/service
# The platform packages of Node.js are for npm scripts; here BASE has it. Of packages stays what is loaded, and their licences.
RUN node docs/generate-sbom.ts --cyclonedx > /out/sbom.cdx.json \
 && npm prune --ignore-scripts --omit=dev --omit=optional \
 && rm -rf node_modules/.bin node_modules/.package-lock.json node_modules/.cache \
 && for name in test tests docs benchmark benchmarks examples; do rm -rf node_modules/*/$name node_modules/@*/*/$name; done \
 && find node_modules -type f \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.map' -o -name '*.md' \) -delete \
 && find node_modules -depth -type d -empty -delete \
 && mkdir -p /out/bin /out/schemas \
 && cp -R package.json LICENSE node_modules crds /out/ \
 && cp bin/headgate.js /out/bin/ && chmod 755 /out/bin/headgate.js \
 && cp schemas/compact.json schemas/settings.schema.json /out/schemas/ \
 && mkdir -p /links && ln -s /app/bin/headgate.js /links/headgate

FROM ${BASE}
LABEL org.opencontainers.image.title="headgate" \
      org.opencontainers.image.description="Ingress controller and API gateway for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
# Each arena of the C library keeps what was freed in it, and by default each thread has its own: 30 MiB less with two.
ENV NODE_ENV=production MALLOC_ARENA_MAX=2
# Owned by root, written by nobody: the process needs no file of its own, and may run on a read-only root.
COPY --from=build /out /app
COPY --from=build /links/ /usr/local/bin/
WORKDIR /app
USER 65532:65532
EXPOSE 8080 8443 9902
ENTRYPOINT ["node", "/app/bin/headgate.js"]
CMD ["help"]
