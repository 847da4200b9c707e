/**
 * Whose records the ConfigMaps of last good versions hold. Where they are full, the namespace with the most gives up
 * one of its records to one that has less with the new record than that, so that broken Routes of one never keep
 * another's from surviving a restart.
 */
import { namespaceOf } from '../../snapshot/backend-id.ts'
import type { LastGood } from '../../thread/retained-state.ts'

export interface Owner {
  readonly namespace: string
  /** They have a place of their own, and only they make room for each other. */
  readonly hostname: boolean
}

/** Of a kept hostname, the namespace for which it is kept. */
export function ownerOf({ kind, key, object }: Omit<LastGood, 'object'> & { readonly object: unknown }): Owner {
  if (kind !== 'Hostname') return { namespace: namespaceOf(key), hostname: false }
  const { namespace } = (object ?? {}) as { readonly namespace?: unknown }
  return { namespace: typeof namespace === 'string' ? namespace : '', hostname: true }
}

interface Share {
  readonly owner: Owner
  readonly records: Map<string, number>
  bytes: number
}

export class LastGoodShares {
  readonly #shares = new Map<string, Share>()
  readonly #shareOf = new Map<string, Share>()

  /** @param bytes that it takes */
  put(identity: string, owner: Owner, bytes: number): void {
    this.drop(identity)
    const name = nameOf(owner)
    let share = this.#shares.get(name)
    if (share === undefined) this.#shares.set(name, (share = { owner, records: new Map(), bytes: 0 }))
    share.records.set(identity, bytes)
    share.bytes += bytes
    this.#shareOf.set(identity, share)
  }

  drop(identity: string): void {
    const share = this.#shareOf.get(identity)
    if (share === undefined) return
    share.bytes -= share.records.get(identity)!
    share.records.delete(identity)
    this.#shareOf.delete(identity)
    if (share.records.size === 0) this.#shares.delete(nameOf(share.owner))
  }

  clear(): void {
    this.#shares.clear()
    this.#shareOf.clear()
  }

  /**
   * @returns a record that makes room for one of so many bytes; undefined when no namespace has more than its owner
   *   would have
   */
  victim(owner: Owner, bytes: number): string | undefined {
    let most = (this.#shares.get(nameOf(owner))?.bytes ?? 0) + bytes
    let crowd: Share | undefined
    for (const share of this.#shares.values())
      if (share.owner.hostname === owner.hostname && share.bytes > most) {
        crowd = share
        most = share.bytes
      }
    return crowd?.records.keys().next().value
  }
}

function nameOf({ namespace, hostname }: Owner): string {
  return `${hostname ? 'hostnames' : 'objects'} ${namespace}`
}
