/**
 * Which filters there are and in which order a request passes them. The order is api.md's, "Order of a request"; read
 * upwards it is the way of the response, because `onResponse` is called in reverse.
 */
import type { Filter } from './filter.ts'
import type { PolicySet } from './policy-set.ts'
import type { FilterServices } from './services.ts'

/**
 * The places of the order. Those before `access` are steps of the way back that must also see what the gateway answers
 * itself: headers and error pages belong on a refusal as on any response.
 */
export const PHASES = [
  /** Identity and limits of the exchange, needed by whatever may refuse it. */
  'begin',
  'cors-headers',
  'response-headers',
  'compression',
  'error-pages',
  'access',
  'maintenance',
  'fault',
  'cors-preflight',
  /** Refusals by the request's head, before any expensive work. */
  'body-limit',
  'rate-limit-before-auth',
  'auth',
  /** Behind `auth`, whose credentials may stand in such a header; before all that reads the client's. */
  'identity-headers',
  /** Behind `auth`, which knows whether the credential is one that browsers attach by themselves. */
  'cross-site',
  'authorization',
  'rate-limit-after-auth',
  /** A user's own filters, unless they name another place. */
  'plugin',
  /** Rules that answer themselves: nothing goes upstream, so nothing after this is composed for them. */
  'answer',
  'request-headers',
  'rewrite',
  'cache',
  'mirror',
] as const
export type Phase = (typeof PHASES)[number]

export interface FilterDefinition {
  /** Unique; shown in logs and in `explain`. */
  readonly name: string
  readonly phase: Phase
  /**
   * @returns undefined when this policy set gives the filter nothing to do
   * @throws {TypeError} when the policy set holds what validation should have refused
   */
  create(policy: PolicySet, services: FilterServices): Filter | undefined
}

/**
 * The filters that chains are composed from: in the order of {@link PHASES}, within a phase in the order of
 * registration.
 */
export class FilterRegistry {
  readonly #byPhase = new Map<Phase, FilterDefinition[]>(PHASES.map((phase) => [phase, []]))
  readonly #names = new Set<string>()
  #ordered: readonly FilterDefinition[] | null = null

  /** @throws {TypeError} when the name is taken or the phase is none of {@link PHASES} */
  register(definition: FilterDefinition): void {
    if (this.#names.has(definition.name)) throw new TypeError(`a filter named ${definition.name} is registered already`)
    const phase = this.#byPhase.get(definition.phase)
    if (phase === undefined) throw new TypeError(`no such phase: ${definition.phase}`)
    this.#names.add(definition.name)
    phase.push(definition)
    this.#ordered = null
  }

  /** All of them, in the order of a request. */
  get definitions(): readonly FilterDefinition[] {
    this.#ordered ??= Object.freeze(PHASES.flatMap((phase) => this.#byPhase.get(phase)!))
    return this.#ordered
  }
}
