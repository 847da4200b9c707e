/** Interns policy sets, with reference counts by the rules that use them. */

import type { PolicySet } from '../policy/policy-set.ts'
import { FrozenMapBuilder } from '../snapshot/frozen-map.ts'
import { canonicalForm, digestOf } from './policies.ts'

interface InternedPolicy {
  readonly set: PolicySet
  count: number
}

export class PolicyInterner {
  /**
   * By the digest of the canonical form, since the form itself repeats the Route's policies for each of its rules.
   */
  readonly #byDigest = new Map<string, InternedPolicy>()
  /** Entries that may be unused. */
  readonly #idle = new Set<InternedPolicy>()
  /** Sets by the digest of their inputs, within one compile: most rules have equal inputs. */
  readonly #byInput = new Map<string, PolicySet>()
  readonly #used = new FrozenMapBuilder<PolicySet>()

  /** The interned object of this content. */
  intern(content: Omit<PolicySet, 'digest'>): PolicySet {
    const digest = digestOf(canonicalForm(content))
    return (this.#byDigest.get(digest) ?? this.#add({ digest, ...content })).set
  }

  /** The interned object of these inputs; merges policies only for new inputs. */
  internInput(input: string, make: () => Omit<PolicySet, 'digest'>): PolicySet {
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

  /** Called before a compile, whose settings may have changed. */
  clearInputs(): void {
    this.#byInput.clear()
  }

  /** Drops unused sets, and returns the others by digest. */
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
