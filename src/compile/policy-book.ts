/** The distinct policy sets in use, each one object, counted by the rules that are served with it. */
import { FrozenMapBuilder } from '../snapshot/frozen-map.ts'
import type { PolicySet } from '../snapshot/policy.ts'
import { digestOf } from './policies.ts'

interface Entry {
  readonly text: string
  readonly set: PolicySet
  count: number
}

export class PolicyBook {
  /** By canonical form. */
  readonly #byText = new Map<string, Entry>()
  readonly #byDigest = new Map<string, Entry>()
  /** Entries that may have no user. */
  readonly #idle = new Set<Entry>()
  /** What a text of inputs came to, within one compile: most rules say what others say. */
  readonly #byInput = new Map<string, PolicySet>()
  readonly #used = new FrozenMapBuilder<PolicySet>()

  /** The one object for this content. */
  intern(content: Omit<PolicySet, 'digest'>): PolicySet {
    const text = JSON.stringify(content)
    const known = this.#byText.get(text)
    if (known !== undefined) return known.set
    return this.#add({ digest: digestOf(text), ...content }, text).set
  }

  /** The same for the same inputs, of which the merged policies need not be made again. */
  remember(input: string, make: () => Omit<PolicySet, 'digest'>): PolicySet {
    let set = this.#byInput.get(input)
    if (set === undefined) this.#byInput.set(input, (set = this.intern(make())))
    return set
  }

  retain(set: PolicySet): void {
    const entry = this.#byDigest.get(set.digest) ?? this.#add(set, textOf(set))
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
    for (const { text, set } of this.#idle) {
      this.#byText.delete(text)
      this.#byDigest.delete(set.digest)
    }
    this.#idle.clear()
    this.#byInput.clear()
    return this.#used.freeze()
  }

  #add(set: PolicySet, text: string): Entry {
    const entry = { text, set, count: 0 }
    this.#byText.set(text, entry)
    this.#byDigest.set(set.digest, entry)
    this.#idle.add(entry)
    return entry
  }
}

function textOf({ digest: _, ...content }: PolicySet): string {
  return JSON.stringify(content)
}
