/**
 * What one compile leaves to the next: the pieces of the last result, who depends on whom, and what is still to be
 * done. It changes how much work a compile is, never what comes out. A compile that is given up half-way loses nothing:
 * its work lists stay.
 */
import type { ObjectStatus } from '../api/condition.ts'
import type { Policies } from '../api/policies.ts'
import { POLICIES } from '../policy/built-in.ts'
import type { PolicyDefinition } from '../policy/definition.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import type { Frontend } from '../snapshot/frontend.ts'
import { FrozenMapBuilder } from '../snapshot/frozen-map.ts'
import type { Backend, BackendRef, EndpointAddress, Host, Match, Rule, Snapshot } from '../snapshot/snapshot.ts'
import type { Fault } from './conditions.ts'
import { FrontendPartitions } from './frontend-partitions.ts'
import { Handovers } from './handover.ts'
import { NamespaceCosts } from './namespace-cost.ts'
import type { Owner, Ownership, Permission } from './ownership.ts'
import type { Claim, MatchPlan, RoutePlan } from './plan.ts'
import { PolicyInterner } from './policy-interner.ts'
import { ReferenceGraph } from './reference-graph.ts'
import type { BrokenReference, Face } from './references.ts'
import { noResources, type ResourceSet } from './resource-set.ts'
import type { Tenancy } from './tenancy.ts'

/** A Route and what became of it. */
export interface RouteState {
  plan: RoutePlan
  /** The hostnames under which it is entered; none when nothing of it can be served. */
  hostnames: readonly string[]
  /** The backend ids under which it is entered. */
  targets: readonly string[]
  /** By rule. */
  references: readonly (readonly BackendRef[])[]
  broken: readonly BrokenReference[]
  /**
   * Its rules with their policies, by what the owner of a hostname enforces on it; `undefined` where it is the owner's
   * own.
   */
  readonly variants: Map<Policies | undefined, Variant>
  /** Goes up whenever the variants have to be made anew. */
  version: number
  /** By hostname. */
  readonly outcomes: Map<string, Outcome>
}

export interface Variant {
  readonly version: number
  readonly rules: readonly Rule[]
  readonly policies: readonly PolicySet[]
}

/** A match that an older Route, or an earlier rule, already has. */
export interface Conflict {
  readonly loser: MatchPlan
  readonly winner: Candidate
}

/** What became of a Route on one hostname. */
export interface Outcome {
  /** The Route that speaks for the hostname; undefined for hosts that nobody names. */
  readonly owner: Claim | undefined
  /** By which the hostname is that namespace's. */
  readonly decider?: Claim
  /** Undefined when the hostname is another's, who does not share it. */
  readonly permission: Permission | undefined
  readonly conflicts: readonly Conflict[]
  /** Matches outside of what the owner delegates. */
  readonly outside: readonly MatchPlan[]
  /** Positions of the rules that are served here. */
  readonly served: 'all' | readonly number[]
}

/** A match on one hostname. */
export interface Candidate extends MatchPlan {
  readonly state: RouteState
  readonly within: readonly string[]
  /** What was last put into a virtual host for it. */
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
  /** For the namespace that had it. */
  reservation: Claim | undefined
  /** The claim of a Route with the age of the reservation, which is made once. */
  backdated: { readonly reservation: Claim; readonly of: Claim; readonly claim: Claim } | undefined
  /** The oldest claim on exactly this name. */
  first: Claim | undefined
  ownership: Ownership | undefined
  entries: ReadonlyMap<string, RouteMatches>
  /** All candidates in matching order. */
  order: readonly Candidate[]
  /** What is served under it; undefined when nobody may. */
  served: Host | undefined
  /** The policy sets of its rules. */
  policies: readonly PolicySet[]
  /** What those are told who may not have the name. */
  refusal?: { readonly tenancy: Tenancy; readonly outcome: Outcome }
}

/** What is still to be done. */
export class WorkLists {
  readonly routes = new Set<string>()
  /** Backend ids of which those who refer to them may see something else now. */
  readonly targets = new Set<string>()
  /** Routes whose references have to be looked up again. */
  readonly references = new Set<string>()
  readonly claims = new Set<string>()
  readonly wildcards = new Set<string>()
  readonly hosts = new Set<string>()
  readonly endpoints = new Set<string>()
  readonly statuses = new Set<string>()
}

/** How much was done, for tests and figures. */
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
  /** Told which object the work is about, by kind and key; undefined = about no single one. */
  readonly working: (name?: string) => void
  readonly policies: readonly PolicyDefinition[]
  /** The resources whose changes are all in the work lists. */
  seen: ResourceSet | undefined
  /** Those being compared with `seen`. */
  target: ResourceSet | undefined
  /** Number of the latest run; an older one must not go on. */
  run = 0
  readonly work = new WorkLists()
  readonly routes = new Map<string, RouteState>()
  readonly hosts = new Map<string, HostState>()
  readonly faces = new Map<string, Face>()
  /** What the Routes and Backends that were last compiled refer to. */
  readonly graph = new ReferenceGraph()
  readonly costs = new NamespaceCosts()
  readonly book = new PolicyInterner()
  readonly partitions = new FrontendPartitions()
  /** What is served, by hostname. */
  readonly served = new FrozenMapBuilder<Host>()
  frontends: ReadonlyMap<string, Frontend> = new Map()
  readonly backends = new FrozenMapBuilder<Backend>()
  readonly endpoints = new FrozenMapBuilder<readonly EndpointAddress[]>()
  /** Of backends that have such: see `targetFaults`. */
  readonly targetFaults = new Map<string, readonly Fault[]>()
  readonly owners = new FrozenMapBuilder<Owner>()
  readonly handovers = new Handovers()
  /** Backend ids by the DNS name that has to be resolved for them. */
  readonly names = new FrozenMapBuilder<readonly string[]>()
  /** By kind and key, see `refusedKey`. */
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
   * @param working told of each piece of work
   * @param policies tests bring rows of their own
   */
  constructor(working: (name?: string) => void = () => {}, policies: readonly PolicyDefinition[] = POLICIES) {
    this.working = working
    this.policies = policies
  }

  /** What the first compile is compared with. */
  base(resources: ResourceSet): ResourceSet {
    return this.seen ?? noResources(resources.settings)
  }
}
