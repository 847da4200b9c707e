/**
 * State of the incremental compile: the parts of the last result, the dependencies, and the pending work. It affects
 * the amount of work only, never the result. An abandoned compile loses nothing: its work lists remain.
 */
import type { ObjectStatus } from '../api/condition.ts'
import type { Policies } from '../api/policies.ts'
import { ShardedMap, ShardedSet } from '../lib/shards.ts'
import { POLICIES } from '../policy/built-in.ts'
import type { PolicyDefinition } from '../policy/definition.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import type { Frontend } from '../snapshot/frontend.ts'
import { FrozenMapBuilder } from '../snapshot/frozen-map.ts'
import type { HostTls } from '../snapshot/host-tls.ts'
import type {
  BackendConfig,
  EndpointAddress,
  Host,
  Match,
  Rule,
  Snapshot,
  WeightedBackend,
} from '../snapshot/snapshot.ts'
import type { ConditionFault } from './conditions.ts'
import { FrontendPartitions } from './frontend-partitions.ts'
import { Handovers } from './handover.ts'
import { type IdentityFields, IdentityHeaders } from './identity-headers.ts'
import { NamespaceCosts } from './namespace-cost.ts'
import type { HostnameOwner, Ownership, Permission } from './ownership.ts'
import type { HostnameClaim, MatchPlan, RoutePlan } from './plan.ts'
import { PolicyInterner } from './policy-interner.ts'
import { ReferenceGraph } from './reference-graph.ts'
import type { BackendReference, BrokenReference } from './references.ts'
import { emptyResourceSet, type ResourceSet } from './resource-set.ts'
import type { Tenancy } from './tenancy.ts'

/** A Route and the results for it. */
export interface RouteState {
  plan: RoutePlan
  /** The hostnames under which it is indexed; none when nothing of it can be served. */
  hostnames: readonly string[]
  /** The backend ids under which it is indexed. */
  targets: readonly string[]
  /** By rule. */
  references: readonly (readonly WeightedBackend[])[]
  broken: readonly BrokenReference[]
  /** Of policies, to Backends. */
  brokenTargets: readonly BrokenReference[]
  /**
   * Its rules with merged policies, by the policies that a hostname's owner enforces, or by the claim of an owner who
   * closes them; `undefined` for the owner's own Routes.
   */
  readonly variants: Map<Policies | HostnameClaim | undefined, Variant>
  /** Incremented when the variants become invalid. */
  version: number
  /** The version of which variants were dropped though hostnames use their rules; -1 = none. */
  dropped: number
  /** By hostname. */
  readonly outcomes: Map<string, HostnameOutcome>
  /** Hostnames, its own and others below its wildcards, whose TLS is what this Route states. */
  readonly tlsHosts: Set<string>
}

export interface Variant {
  readonly version: number
  readonly rules: readonly Rule[]
  readonly policies: readonly PolicySet[]
  /** By rule: where its requests go, and what they say about the client there. */
  readonly receivers: readonly RuleReceivers[]
}

export interface RuleReceivers {
  /** Ids of Backends that it may use: of its split, and of what copies its requests. */
  readonly backends: readonly string[]
  readonly fields: IdentityFields
}

/** A match that an older Route, or an earlier rule, already has. */
export interface Conflict {
  readonly loser: MatchPlan
  readonly winner: Candidate
}

/** The result for a Route on one hostname. */
export interface HostnameOutcome {
  /** The claim that owns the hostname; undefined for the catch-all. */
  readonly owner: HostnameClaim | undefined
  /** The oldest claim, which decides the owning namespace. */
  readonly decider?: HostnameClaim
  /** Undefined when the hostname belongs to another namespace that does not delegate it. */
  readonly permission: Permission | undefined
  readonly conflicts: readonly Conflict[]
  /** Matches outside of the delegated prefixes. */
  readonly outside: readonly MatchPlan[]
  /** Positions of the rules that are served here. */
  readonly served: 'all' | readonly number[]
  /** The Route states TLS, and that of another Route holds here, or that of a wildcard of the owner, or none. */
  readonly otherTls?: { readonly by: RouteState | undefined }
}

/** TLS that is in force for a hostname, and the Route that states it. */
export interface HostTlsState {
  readonly tls: HostTls
  readonly route: RouteState
}

/** A match on one hostname. */
export interface Candidate extends MatchPlan {
  readonly state: RouteState
  readonly within: readonly string[]
  /** The match last built for it. */
  made: Match | undefined
}

/** What one Route contributes to one hostname. */
export interface RouteMatches {
  readonly state: RouteState
  readonly plan: RoutePlan
  readonly permission: Permission
  readonly candidates: readonly Candidate[]
  readonly outside: readonly MatchPlan[]
}

export interface HostState {
  readonly hostname: string
  /** The Routes that name it, by key. */
  readonly routes: Map<string, RouteState>
  /** The reservation for the namespace that owned it before. */
  reservation: HostnameClaim | undefined
  /** A claim with the age of the reservation, cached. */
  backdated:
    | { readonly reservation: HostnameClaim; readonly of: HostnameClaim; readonly claim: HostnameClaim }
    | undefined
  /** The oldest claim on exactly this name. */
  first: HostnameClaim | undefined
  ownership: Ownership | undefined
  tls: HostTlsState | undefined
  entries: ReadonlyMap<string, RouteMatches>
  /** All candidates in matching order. */
  order: readonly Candidate[]
  /** What is served under it; undefined when nothing is. */
  served: Host | undefined
  /** The policy sets of its rules. */
  policies: readonly PolicySet[]
  /** The shared outcome of Routes that may not use the hostname. */
  refusal?: { readonly tenancy: Tenancy; readonly outcome: HostnameOutcome }
}

/** The pending work. */
export class WorkLists {
  readonly routes = new ShardedSet()
  /** Backend ids whose users may resolve them differently now. */
  readonly targets = new Set<string>()
  /** Routes whose references have to be resolved again. */
  readonly references = new ShardedSet()
  readonly claims = new ShardedSet()
  readonly wildcards = new Set<string>()
  readonly hosts = new ShardedSet()
  readonly endpoints = new Set<string>()
  readonly statuses = new ShardedSet()
}

/** Counts of the work done, for tests and metrics. */
export interface WorkCounts {
  routes: number
  hosts: number
  matches: number
  policies: number
  targets: number
  endpoints: number
  statuses: number
}

export class CompileState {
  /** Receives the object being worked on, as kind and key; undefined = no single object. */
  readonly working: (name?: string) => void
  readonly policies: readonly PolicyDefinition[]
  /** The resources whose changes have been marked completely. */
  seen: ResourceSet | undefined
  /** The resources being compared with `seen`. */
  target: ResourceSet | undefined
  /** Number of the latest run; an older run must not continue. */
  run = 0
  readonly work = new WorkLists()
  readonly routes = new ShardedMap<RouteState>()
  readonly hosts = new ShardedMap<HostState>()
  readonly backendReferences = new Map<string, BackendReference>()
  /** References of the Routes and Backends of the last compile. */
  readonly graph = new ReferenceGraph()
  readonly costs = new NamespaceCosts()
  readonly policySets = new PolicyInterner()
  readonly partitions = new FrontendPartitions()
  /** The served virtual hosts, by hostname. */
  readonly served = new FrozenMapBuilder<Host>()
  frontends: ReadonlyMap<string, Frontend> = new Map()
  readonly backends = new FrozenMapBuilder<BackendConfig>()
  readonly endpoints = new FrozenMapBuilder<readonly EndpointAddress[]>()
  /** Faults by backend id, see `targetFaults` in references.ts. */
  readonly targetFaults = new Map<string, readonly ConditionFault[]>()
  readonly owners = new FrozenMapBuilder<HostnameOwner>()
  readonly identityHeaders = new IdentityHeaders()
  readonly handovers = new Handovers()
  /** Backend ids by the DNS name to resolve for them. */
  readonly names = new FrozenMapBuilder<readonly string[]>()
  /** By kind and key, see `objectId`. */
  readonly statuses = new FrozenMapBuilder<ObjectStatus>()
  snapshot: Snapshot | undefined
  readonly counts: WorkCounts = {
    routes: 0,
    hosts: 0,
    matches: 0,
    policies: 0,
    targets: 0,
    endpoints: 0,
    statuses: 0,
  }

  /**
   * @param working called before each piece of work
   * @param policies tests pass rows of their own
   */
  constructor(working: (name?: string) => void = () => {}, policies: readonly PolicyDefinition[] = POLICIES) {
    this.working = working
    this.policies = policies
  }

  /** The resources with which the first compile is compared. */
  base(resources: ResourceSet): ResourceSet {
    return this.seen ?? emptyResourceSet(resources.settings)
  }
}
