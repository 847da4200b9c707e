/**
 * Values as people write them. Every one is linted, rendered, checked, and where there is a cluster tried on its API
 * server.
 */
import type { KubernetesObject, Rendering } from './helm.ts'

export interface Case extends Rendering {
  readonly name: string
  /** The pods use ports of their nodes. */
  readonly hostPorts?: boolean
  /** What this one is about. */
  readonly holds?: (find: Find) => void
}

/** The one object of this kind (and name). */
export type Find = (kind: string, name?: string) => KubernetesObject | undefined

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'
const KEY = '-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n'
const LONG = 'a'.repeat(30)

export const MATRIX: readonly Case[] = [
  { name: 'defaults' },
  { name: 'one replica without a budget', values: { replicas: 1, podDisruptionBudget: { enabled: false } } },
  {
    name: 'a DaemonSet on ports of the nodes, without a Service',
    hostPorts: true,
    values: { kind: 'DaemonSet', service: { enabled: false }, listeners: { http: { hostPort: 80 } } },
  },
  { name: 'a DaemonSet behind a Service', values: { kind: 'DaemonSet' } },
  {
    name: 'a Deployment on ports of the nodes',
    hostPorts: true,
    values: {
      listeners: {
        http: { hostPort: 80, expose: false },
        admin: { enabled: true, port: 8081, servicePort: 81 },
      },
    },
  },
  { name: 'NodePort', values: { service: { type: 'NodePort' }, listeners: { http: { nodePort: 30080 } } } },
  { name: 'ClusterIP', values: { service: { type: 'ClusterIP', internalTrafficPolicy: 'Local' } } },
  {
    name: 'a load balancer that shows clients',
    values: {
      service: {
        externalTrafficPolicy: 'Local',
        healthCheckNodePort: 30222,
        loadBalancerClass: 'example.com/lb',
        loadBalancerSourceRanges: ['203.0.113.0/24'],
        allocateLoadBalancerNodePorts: true,
        trafficDistribution: 'PreferSameZone',
        annotations: { 'example.com/kind': 'nlb' },
        labels: { tier: 'edge' },
      },
      drain: { delaySeconds: 25, timeoutSeconds: 60 },
    },
  },
  { name: 'both address families', values: { service: { ipFamilyPolicy: 'PreferDualStack' } } },
  {
    name: 'TLS with a certificate in the values',
    values: { defaultCertificate: { certificate: PEM, key: KEY } },
  },
  {
    name: 'a default certificate of another namespace, two namespaces watched',
    values: {
      watchNamespaces: ['team-a', 'team-b'],
      defaultCertificate: { secretName: 'wildcard', namespace: 'certs' },
    },
  },
  {
    name: 'Secrets by their names alone',
    values: {
      rbac: { secretNames: { shop: ['shop-tls'], certs: ['wild', 'other'] } },
      settings: { tls: { sessionTicketKey: { secretName: 'tickets', namespace: 'certs' } } },
    },
  },
  { name: 'without TLS', values: { listeners: { https: { enabled: false } } } },
  {
    name: 'only its own namespace',
    namespace: 'team-a',
    values: { watchNamespaces: ['team-a'], ingressClass: { create: false } },
  },
  {
    name: 'PROXY protocol and a third listener',
    values: {
      listeners: {
        http: { proxyProtocolFrom: ['10.0.0.0/8'], appProtocol: 'http' },
        internal: { enabled: true, port: 8090, servicePort: 8090 },
      },
    },
  },
  {
    name: 'listeners of nothing but a port',
    values: { listeners: { more: { port: 9090 }, off: { enabled: false, port: 9091 } } },
  },
  { name: 'a listener of the values taken away', values: { listeners: { https: null } } },
  {
    name: 'autoscaling',
    values: {
      autoscaling: { enabled: true, memoryPercent: 80, behavior: { scaleDown: { stabilizationWindowSeconds: 300 } } },
    },
  },
  { name: 'a budget in percent', values: { podDisruptionBudget: { minAvailable: '50%', maxUnavailable: null } } },
  { name: 'a network policy', values: { networkPolicy: { enabled: true } } },
  {
    name: 'a network policy with peers and ways out',
    values: {
      networkPolicy: {
        enabled: true,
        from: [{ ipBlock: { cidr: '10.0.0.0/8' } }],
        signalsFrom: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }],
        egress: [{ ports: [{ port: 443, protocol: 'TCP' }] }],
      },
    },
  },
  { name: 'a network policy with no way out', values: { networkPolicy: { enabled: true, egress: [] } } },
  {
    name: 'a ServiceMonitor',
    values: {
      metrics: {
        annotations: false,
        serviceMonitor: { enabled: true, namespace: 'monitoring', labels: { release: 'prometheus' } },
      },
    },
  },
  { name: 'a key of the operator for peers', values: { peers: { keySecretName: 'peers', port: 9100 } } },
  { name: 'no peers', values: { peers: { enabled: false }, networkPolicy: { enabled: true, egress: [] } } },
  { name: 'a Service for metrics', values: { metrics: { service: true }, signals: { port: 9100 } } },
  {
    name: 'names as long as they may be',
    release: `r-${LONG}-${'b'.repeat(20)}`,
    namespace: `n-${LONG}-${LONG}`,
    values: { watchNamespaces: [`n-${LONG}-${LONG}`], metrics: { service: true } },
  },
  { name: 'long names everywhere', release: `r-${LONG}-${'b'.repeat(20)}`, namespace: `n-${LONG}-${LONG}` },
  { name: 'another name', values: { nameOverride: 'gw' } },
  {
    name: 'another full name',
    values: {
      fullnameOverride: 'edge',
      commonLabels: { team: 'platform', 'app.kubernetes.io/name': 'mine' },
      commonAnnotations: { contact: 'platform@example.com' },
    },
  },
  {
    name: 'an image by digest',
    values: {
      image: {
        repository: 'registry.example.com/headgate',
        digest: `sha256:${'0'.repeat(64)}`,
        pullPolicy: 'Always',
        pullSecrets: [{ name: 'registry' }],
      },
    },
  },
  {
    name: 'plugins from everywhere',
    unbuilt: true,
    values: {
      plugins: [
        { name: 'inline', namespaces: { from: 'All' }, source: 'export default {}\n' },
        {
          name: 'config',
          namespaces: { from: 'Names', names: ['team-a'] },
          configMap: { name: 'modules', key: 'config.ts' },
        },
        {
          name: 'disk',
          namespaces: { from: 'All' },
          volume: { persistentVolumeClaim: { claimName: 'modules' } },
          file: 'lib/disk.js',
        },
      ],
    },
  },
  { name: 'state', values: { state: { enabled: true } } },
  {
    name: 'state on a claim',
    values: {
      replicas: 1,
      state: { enabled: true, volume: { emptyDir: null, persistentVolumeClaim: { claimName: 'state' } } },
    },
  },
  { name: 'state that is sealed', values: { state: { enabled: true, keySecretName: 'state-key' } } },
  { name: 'user and group given by the cluster', values: { user: null, group: null } },
  {
    name: 'placement',
    values: {
      topologySpread: false,
      nodeSelector: { 'kubernetes.io/os': 'linux' },
      tolerations: [{ key: 'edge', operator: 'Exists', effect: 'NoSchedule' }],
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: 'edge', operator: 'Exists' }] }],
          },
        },
      },
      priorityClassName: 'system-cluster-critical',
      schedulerName: 'default-scheduler',
      dnsPolicy: 'ClusterFirst',
      dnsConfig: { options: [{ name: 'ndots', value: '1' }] },
      topologySpreadConstraints: [
        {
          maxSkew: 1,
          topologyKey: 'kubernetes.io/hostname',
          whenUnsatisfiable: 'DoNotSchedule',
          labelSelector: { matchLabels: { 'app.kubernetes.io/component': 'gateway' } },
        },
      ],
    },
  },
  {
    name: 'environment, flags and volumes',
    values: {
      env: [{ name: 'NODE_OPTIONS', value: '--max-old-space-size=300' }],
      envFrom: [{ configMapRef: { name: 'more', optional: true } }],
      args: ['--access-log', 'off'],
      volumes: [{ name: 'ca', configMap: { name: 'ca' } }],
      volumeMounts: [{ name: 'ca', mountPath: '/etc/ca', readOnly: true }],
      podLabels: { 'example.com/mesh': 'off', 'app.kubernetes.io/component': 'mine' },
      podAnnotations: { 'example.com/scan': 'true' },
    },
  },
  {
    name: 'settings',
    values: {
      settings: {
        clientAddress: { header: 'X-Forwarded-For', trustedCIDRs: ['10.0.0.0/8'], trustedHops: 1 },
        policies: {
          defaults: { timeouts: { request: '30s', tunnelIdle: '1h' }, limits: { maxConcurrentRequests: 0 } },
          enforced: { auth: { anonymous: {} }, rateLimits: [], fault: {} },
        },
        tls: {},
        limits: { head: '32Ki', headers: 50, connections: 5_000_000 },
        accessLog: { sample: 12.5 },
        tenancy: 'Strict',
        hostnames: [{ namespaces: { from: 'Names', names: ['shop'] }, names: ['*.shop.example'] }],
        hostnameHold: '10m',
        upstreams: {
          denyCIDRs: ['192.0.2.0/24'],
          externalTargets: [
            {
              namespaces: { from: 'Selector', selector: { matchLabels: { partner: 'yes' } } },
              hosts: ['api.partner.example:443', '*.cdn.example:80', '[2001:db8::7]:80'],
            },
          ],
        },
      },
      log: { level: 'debug', format: 'text' },
      workers: 0,
    },
  },
  {
    name: 'settings of what is to come',
    unbuilt: true,
    values: {
      settings: {
        redis: { addresses: ['redis:6379'], secretName: 'redis', namespace: 'shop', tls: {} },
        tracing: { otlp: 'http://collector:4318' },
      },
    },
  },
  {
    name: 'permissions given by hand',
    values: { rbac: { create: false }, serviceAccount: { create: false, name: 'mine' } },
  },
  {
    name: 'nodes, no roles for people, addresses',
    values: { rbac: { aggregate: false }, addresses: ['203.0.113.9', 'lb.example.com'] },
  },
  {
    name: 'the default class of the cluster',
    values: { ingressClass: { name: 'edge', default: false, defaultForIngresses: true } },
  },
  { name: 'a sleep before the end', values: { drain: { preStopSeconds: 10, delaySeconds: 0, timeoutSeconds: 120 } } },
  { name: 'CRDs in any case', values: { crds: { install: 'Always' } } },
  { name: 'no CRDs', values: { crds: { install: 'Never' } } },
  {
    name: 'resources',
    values: {
      resources: { requests: { cpu: 2, memory: '1Gi' }, limits: { cpu: 4, memory: '1Gi', 'ephemeral-storage': '1Gi' } },
      minReadySeconds: 5,
      updateStrategy: { type: 'Recreate', rollingUpdate: null },
    },
  },
  {
    name: 'slow probes',
    values: {
      probes: { readiness: { initialDelaySeconds: 3, periodSeconds: 10 }, liveness: { failureThreshold: 20 } },
    },
  },
]

/** Values that must not get through, and what is said about them. */
export const REFUSED: readonly (Rendering & { readonly name: string; readonly says: RegExp })[] = [
  { name: 'a name that is not known', values: { replica: 3 }, says: /replica/ },
  { name: 'a nested name that is not known', values: { service: { typ: 'NodePort' } }, says: /typ/ },
  { name: 'a setting that is not known', values: { settings: { accesslog: {} } }, says: /accesslog/ },
  { name: 'a setting that the chart writes', values: { settings: { listeners: [] } }, says: /listeners/ },
  { name: 'a setting of the wrong type', values: { settings: { limits: { headers: 'many' } } }, says: /headers/ },
  { name: 'a kind that is none', values: { kind: 'StatefulSet' }, says: /kind/ },
  { name: 'root', values: { user: 0 }, says: /user/ },
  ...[':9901', '0.0.0.0:9901', '[::]:9901', '10.0.0.1:9901', 'localhost:9901', '127.999.0.1:9901', '[::1]:9901x'].map(
    (address) => ({
      name: `the admin API at ${address}`,
      values: { settings: { admin: { address } } },
      says: /settings\.admin\.address: /,
    }),
  ),
  ...[9902, 8080].map((port) => ({
    name: `the admin API on port ${port}, which another server has`,
    values: { settings: { admin: { address: `127.0.0.1:${port}` } } },
    says: /: \d+ is the port of the admin API/,
  })),
  {
    name: 'a key for state that is not kept',
    values: { state: { keySecretName: 'state-key' } },
    says: /state\.keySecretName: nothing is kept/,
  },
  {
    name: 'a key for state as a setting beside it',
    values: { state: { enabled: true }, settings: { stateKeyFile: '/keys' } },
    says: /stateKeyFile/,
  },
  { name: 'a port that only root may open', values: { listeners: { http: { port: 80 } } }, says: /port/ },
  {
    name: 'a name too long for a port',
    values: { listeners: { 'a-very-long-name': { enabled: true, port: 9000 } } },
    says: /a-very-long-name/,
  },
  {
    name: 'the name of the signals port',
    values: { listeners: { signals: { enabled: true, port: 9000 } } },
    says: /signals/,
  },
  { name: 'no listener', values: { listeners: { http: { enabled: false }, https: null } }, says: /none is enabled/ },
  {
    name: 'a listener without a port',
    values: { listeners: { more: { enabled: true } } },
    says: /listeners\.more\.port: is missing/,
  },
  {
    name: 'a listener that only has a Service port',
    values: { listeners: { more: { servicePort: 81 } } },
    says: /listeners\.more\.port: is missing/,
  },
  {
    name: 'a node port of a Service without any',
    values: { service: { type: 'ClusterIP' }, listeners: { http: { nodePort: 30080 } } },
    says: /listeners\.http\.nodePort: a Service of type ClusterIP has none/,
  },
  { name: 'one port for two, of peers', values: { peers: { port: 9902 } }, says: /9902 is the port of signals/ },
  { name: 'one port for two', values: { listeners: { http: { port: 9902 } } }, says: /9902 is the port of signals/ },
  {
    name: 'the port of the admin API',
    values: { listeners: { http: { port: 9901 } } },
    says: /9901 is the port of the admin API/,
  },
  {
    name: 'one Service port for two',
    values: { listeners: { https: { enabled: true, servicePort: 80 } } },
    says: /servicePort: 80 is that of listener http/,
  },
  {
    name: 'one host port for two',
    values: { listeners: { http: { hostPort: 80 }, https: { enabled: true, hostPort: 80 } } },
    says: /hostPort: 80 is that of listener http/,
  },
  { name: 'no way in', values: { service: { enabled: false } }, says: /nothing could be reached/ },
  {
    name: 'a Service without ports',
    values: { listeners: { http: { expose: false }, https: { expose: false } } },
    says: /no listener has expose/,
  },
  {
    name: 'an external policy without anything external',
    values: { service: { type: 'ClusterIP', externalTrafficPolicy: 'Local' } },
    says: /ClusterIP has none/,
  },
  {
    name: 'a DaemonSet that scales',
    values: { kind: 'DaemonSet', autoscaling: { enabled: true } },
    says: /cannot be scaled/,
  },
  { name: 'scaling by nothing', values: { autoscaling: { enabled: true, cpuPercent: null } }, says: /say by what/ },
  {
    name: 'more at least than at most',
    values: { autoscaling: { enabled: true, minReplicas: 20 } },
    says: /above maxReplicas/,
  },
  { name: 'a budget in two ways', values: { podDisruptionBudget: { minAvailable: 1 } }, says: /exactly one/ },
  { name: 'a certificate without its key', values: { defaultCertificate: { certificate: PEM } }, says: /go together/ },
  {
    name: 'a certificate twice',
    values: { defaultCertificate: { certificate: PEM, key: KEY, secretName: 'a' } },
    says: /either secretName/,
  },
  {
    name: 'a plugin twice',
    values: { plugins: [1, 2].map(() => ({ name: 'a', namespaces: { from: 'All' }, source: 'x' })) },
    says: /a is there twice/,
  },
  { name: 'a plugin from nowhere', values: { plugins: [{ name: 'a', namespaces: { from: 'All' } }] }, says: /plugins/ },
  {
    name: 'a plugin somewhere on a volume',
    values: { plugins: [{ name: 'a', namespaces: { from: 'All' }, volume: { emptyDir: {} } }] },
    says: /say which file/,
  },
  {
    name: 'plugins',
    values: { plugins: [{ name: 'a', namespaces: { from: 'All' }, source: 'x' }] },
    says: /: plugins is not built yet in this version/,
  },
  {
    name: 'tracing',
    values: { settings: { tracing: { otlp: 'http://collector:4318' } } },
    says: /: settings\.tracing is not built yet in this version; leave it out/,
  },
  {
    name: 'a field of the access log',
    values: { settings: { accessLog: { fields: { agent: 'header:user-agent' } } } },
    says: /: settings\.accessLog\.fields is not built yet in this version; leave it out, or write \{\}/,
  },
  {
    name: 'a policy for all Routes',
    values: { settings: { policies: { enforced: { compression: { algorithms: ['gzip'] } } } } },
    says: /: settings\.policies\.enforced\.compression is not built yet/,
  },
  {
    name: 'an address range that is none',
    values: { settings: { clientAddress: { header: 'X-Forwarded-For', trustedCIDRs: ['10.0.0.1/99'] } } },
    says: /trustedCIDRs/,
  },
  {
    name: 'an address in place of a range',
    values: { service: { loadBalancerSourceRanges: ['203.0.113.9'] } },
    says: /loadBalancerSourceRanges/,
  },
  { name: 'an old cluster', values: {}, flags: ['--kube-version', '1.30.0'], says: /1\.30\.0/ },
]
