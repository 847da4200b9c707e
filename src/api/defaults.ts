/**
 * The default values (api.md, "Defaults"). Those of policies are applied after merging, never by the
 * schema: there they would materialise in every rule and beat the Route's own value.
 */
import type { BackendOptions } from './backend.ts'
import type { LimitsPolicy, Policies, RetryPolicy, TimeoutsPolicy } from './policies.ts'

/** Policies with every default applied, in the units of a document. */
export interface DefaultedPolicies extends Policies {
  readonly timeouts: Required<TimeoutsPolicy>
  readonly retry: Required<RetryPolicy>
  /** `maxRequestBytes` is absent where unlimited. */
  readonly limits: LimitsPolicy & { readonly maxConcurrentRequests: number }
  readonly upgrades: readonly string[]
  readonly pathEncoding: 'Strict' | 'KeepEncodedSlash'
}

export const POLICY_DEFAULTS: DefaultedPolicies = deepFreeze({
  timeouts: { request: '0s', backendRequest: '0s', responseHead: '60s', idle: '60s', tunnelIdle: '1h' },
  retry: {
    attempts: 1,
    reasons: ['ConnectFailure', 'ResetBeforeResponse', 'ResponseHeadTimeout', 'BackendRequestTimeout'],
    codes: [],
    grpcCodes: [],
    methods: ['GET', 'HEAD', 'OPTIONS', 'TRACE'],
    backoff: '25ms',
    budgetPercent: 20,
  },
  limits: { maxConcurrentRequests: 0 },
  upgrades: ['websocket'],
  pathEncoding: 'Strict',
})

/**
 * @param policies as `mergePolicies` gives them: a field that is missing in a key that was stated gets its default too
 */
export function withDefaults(policies: Policies): DefaultedPolicies {
  return {
    ...policies,
    timeouts: { ...POLICY_DEFAULTS.timeouts, ...policies.timeouts },
    retry: { ...POLICY_DEFAULTS.retry, ...policies.retry },
    limits: { ...POLICY_DEFAULTS.limits, ...policies.limits },
    upgrades: policies.upgrades ?? POLICY_DEFAULTS.upgrades,
    pathEncoding: policies.pathEncoding ?? POLICY_DEFAULTS.pathEncoding,
  }
}

/**
 * Of a Backend that states nothing, and of a Service that a rule names directly. The same as the schema's; a test holds
 * them together.
 */
export const BACKEND_DEFAULTS: BackendOptions = deepFreeze({
  loadBalancing: { algorithm: 'LeastRequest', slowStart: '0s', zoneAware: false },
  hostHeader: 'Preserve',
  healthCheck: {
    passive: {
      consecutiveFailures: 5,
      baseEjection: '30s',
      maxEjectionPercent: 50,
      successRate: { belowMeanPercent: 20, minRequests: 100 },
    },
    panicPercent: 30,
  },
  limits: { maxConnections: 1024, maxPending: 1024, maxConcurrentRequests: 0 },
  connection: { connectTimeout: '2s', idleTimeout: '60s', maxRequestsPerConnection: 0 },
  allowedNamespaces: { from: 'Same' },
})

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const child of Object.values(value)) deepFreeze(child)
  return Object.freeze(value)
}
