/** The examples on the page of Kthena's networking chart, as they stand there. */
export const printedValues = {
  basic: `
inferGateway:
  enabled: true
  replicas: 1
  image:
    repository: ghcr.io/volcano-sh/infer-gateway
    tag: latest
    pullPolicy: IfNotPresent
`,
  commented: `
inferGateway:
  fairness:
    # Enable fairness scheduling (default: false)
    enabled: true

    # Sliding window duration for token tracking (default: "1h")
    # Valid formats: 1m, 5m, 10m, 30m, 1h
    windowSize: "10m"

    # Token weights for priority calculation
    # Input token weight (default: 1.0)
    inputTokenWeight: 1.0

    # Output token weight (default: 2.0)
    # Typically higher than input weight due to generation cost
    outputTokenWeight: 2.0
`,
  development: `
inferGateway:
  fairness:
    enabled: true
    windowSize: "2m"          # Short window for quick feedback
    inputTokenWeight: 1.0     # Equal weights for simplicity
    outputTokenWeight: 1.0
`,
  production: `
inferGateway:
  fairness:
    enabled: true
    windowSize: "10m"         # Balanced window size
    inputTokenWeight: 1.0     # Realistic cost ratios
    outputTokenWeight: 2.5
`,
  costSensitive: `
inferGateway:
  fairness:
    enabled: true
    windowSize: "30m"         # Longer window for stability
    inputTokenWeight: 1.0     # High output weight for cost control
    outputTokenWeight: 4.0
`,
  tls: `
inferGateway:
  tls:
    enabled: true
    dnsName: "your-domain.com"
    secretName: "infer-gateway-tls"
`,
  resource: `
inferGateway:
  resource:
    limits:
      cpu: 500m
      memory: 512Mi
    requests:
      cpu: 100m
      memory: 128Mi
`,
};
