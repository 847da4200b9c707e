/** The distinct policy sets in use, each one object, counted by the rules that are served with it. */

import type { PolicySet } from '../policy/policy-set.ts'
import { FrozenMapBuilder } from '../snapshot/frozen-map.ts'
import { canonicalForm, digestOf } from './policies.ts'

interface InternedPolicy {
  readonly set: PolicySet
  count: number
}

export class PolicyInterner {
  /**
   * By the digest of the canonical form, never by the form itself: the policies of a Route are in the form of each of
   * its rules.
   */
  readonly #byDigest = new Map<string, InternedPolicy>()
  /** Entries that may have no user. */
  readonly #idle = new Set<InternedPolicy>()
  /** What a text of inputs came to, by its digest, within one compile: most rules say what others say. */
  readonly #byInput = new Map<string, PolicySet>()
  readonly #used = new FrozenMapBuilder<PolicySet>()

  /** The one object for this content. */
  intern(content: Omit<PolicySet, 'digest'>): PolicySet {
    const digest = digestOf(canonicalForm(content))
    return (this.#byDigest.get(digest) ?? this.#add({ digest, ...content })).set
  }

  /** The same for the same inputs, of which the merged policies need not be made again. */
  remember(input: string, make: () => Omit<PolicySet, 'digest'>): PolicySet {
    const digest = digestOf(input)
    let set = this.#byInput.get(digest)
    if (set === undefined) this.#byInput.set(digest, (set = this.intern(make())))
    return set
  }

  retain(set: PolicySet): void {
    const entry = this.#byDigest.get(set.digest) ?? this.#add(set)
    if (entry.count === 0) {
      this.#idle.delete(entry)
      this.#used.set(set.digest, entry.set)
    }
    entry.count++
  }

  release(set: PolicySet): void {
    const entry = this.#byDigest.get(set.digest)
    if (entry === undefined || --entry.count > 0) return
    this.#idle.add(entry)
    this.#used.delete(set.digest)
  }

  /** The settings may be others now. */
  forgetInputs(): void {
    this.#byInput.clear()
  }

  /** Forgets what nothing uses, and gives what is used, by digest. */
  freeze() {
    for (const { set } of this.#idle) this.#byDigest.delete(set.digest)
    this.#idle.clear()
    this.#byInput.clear()
    return this.#used.freeze()
  }

  #add(set: PolicySet): InternedPolicy {
    const entry = { set, count: 0 }
    this.#byDigest.set(set.digest, entry)
    this.#idle.add(entry)
    return entry
  }
}
