# Sluice without Envoy: the pod of manifests/ runs the official image of Envoy beside it.
#   docker build -t sluice:0.1.0 .
FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build && npm prune --omit=dev

FROM node:24-slim
ENV NODE_ENV=production
WORKDIR /opt/sluice
COPY --from=build /build/package.json /build/LICENSE ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/proto proto
COPY --from=build /build/dist dist
RUN ln -s /opt/sluice/dist/main.js /usr/local/bin/sluice \
 && ln -s /opt/sluice/dist/vllm-router.js /usr/local/bin/vllm-router
# Nobody in particular, by number: Kubernetes can only check numbers against runAsNonRoot.
USER 65532:65532
ENTRYPOINT ["sluice"]
CMD ["--help"]
