/**
 * What a policy is, as one row: a new policy is its fields in the schema (schemas/source/policies.yaml), a folder with
 * such a row, and a line in built-in.ts. The API, the compiler and the workers read the row; none of them knows a
 * policy by name (docs/decisions/0023).
 */
import type { Filter } from './filter.ts'
import type { PolicySet } from './policy-set.ts'
import type { FilterDefinition, Phase } from './registry.ts'
import type { FilterServices } from './services.ts'

/** Where a policy may be stated: in a Route or one of its rules, or in the settings of the installation. */
export type PolicyPlace = 'Route' | 'Settings'

/** What is wrong with a value, at a place in it. */
export interface PolicyProblem {
  /** From the policy's own value: property names and list indexes. */
  readonly path: readonly (string | number)[]
  /** What to do, without the name of the field. */
  readonly message: string
}

/** An object that a policy needs, in the namespace of the object that states the policy unless it names another. */
export interface PolicyReference {
  /** From the policy's own value. */
  readonly path: readonly (string | number)[]
  /** `KeySet`: no object, but what is fetched from the address that `name` is. */
  readonly kind: 'ConfigMap' | 'Secret' | 'Service' | 'Backend' | 'KeySet'
  readonly namespace?: string
  readonly name: string
  /** Of a Service. */
  readonly port?: number | string
  /** Of a ConfigMap or Secret: the key of its data. */
  readonly key?: string
  /** Of a Secret: the type that it must have. Of a key set: the issuer that its metadata must name. */
  readonly type?: string
}

/** A path that a policy serves. */
export interface PolicyPath {
  readonly path: string
  /** Who serves it: of two policies with the same path and another server one could not be had. */
  readonly server: string
}

/**
 * @typeParam Value as it stands in the document, validated by the schema
 * @typeParam Plan what workers get: plain data that can be cloned and written as JSON, equal for equal values
 */
export interface PolicyDefinition<Value = unknown, Plan = unknown> {
  /** The name under `policies`, of the plan in a policy set, and of the filter. */
  readonly key: string
  readonly phase: Phase
  /** Layers merge field by field; else the innermost layer that states the policy replaces it whole. */
  readonly byField?: true
  /** What the schema cannot express. */
  check?(value: Value, place: PolicyPlace): readonly PolicyProblem[]
  /** What a value refers to, and the kinds that it may refer to: a role needs the right to read them. */
  readonly references?: {
    readonly kinds: readonly PolicyReference['kind'][]
    /** @param value may not have been validated: nothing of it is believed, and nothing throws */
    find(value: unknown): Iterable<PolicyReference>
  }
  /**
   * @param value as merged
   * @param namespace of the object that states it; undefined for the settings
   * @param route `namespace/name` of the Route that states it
   * @param rule name of its rule that states it; undefined where the Route states it for all
   * @returns undefined when the value asks for nothing
   */
  plan(value: Value, namespace: string | undefined, route?: string, rule?: string): Plan | undefined
  /** Whether the plan of a value depends on the Route that states it, and not on its namespace alone. */
  byRoute?(value: Value): boolean
  /** It also depends on the rule that states it. */
  readonly byRule?: true
  /**
   * What the policy serves itself, on the hostnames of the Route and before its rules.
   *
   * @param value may not have been validated, and not be there: nothing of it is believed, and nothing throws
   */
  paths?(value: unknown): Iterable<PolicyPath>
  /**
   * Request fields by which the policy tells a Backend who the client is, in any case. Its filter removes what the
   * client sent of them; every other rule to that Backend removes them too.
   */
  identityFields?(plan: Plan): readonly string[]
  /** Id of a Backend that gets requests as the upstream does, and the namespace that asks for it. */
  receiver?(plan: Plan): { readonly backend: string; readonly from: string | undefined }
  /** @returns undefined when there is nothing to do for this policy set */
  create(plan: Plan, services: FilterServices, policy: PolicySet): Filter | undefined
}

interface Planned<Plan> {
  readonly namespace: string | undefined
  readonly route: string | undefined
  readonly rule: string | undefined
  readonly plan: Plan | undefined
}

/** Makes the plan of a value once, so that the rules of a Route send and keep one object for the same value. */
export function planOnce<Value extends object, Plan>(
  plan: (value: Value, namespace: string | undefined, route?: string, rule?: string) => Plan | undefined,
): PolicyDefinition<Value, Plan>['plan'] {
  const planned = new WeakMap<Value, Planned<Plan>>()
  return (value, namespace, route, rule) => {
    const known = planned.get(value)
    if (known !== undefined && known.namespace === namespace && known.route === route && known.rule === rule)
      return known.plan
    const made = plan(value, namespace, route, rule)
    planned.set(value, { namespace, route, rule, plan: made })
    return made
  }
}

/** The filter of a policy, made from its plan in a policy set. */
export function filterOf(policy: PolicyDefinition): FilterDefinition {
  const { key, phase } = policy
  return {
    name: key,
    phase,
    create(set, services) {
      const plan = set.policies?.[key]
      return plan === undefined ? undefined : policy.create(plan, services, set)
    },
  }
}
