/** Records hostnames that changed their owning namespace, so that every change is reported. */
import { nameOfRoute, whyFirst } from './ingress.ts'
import { ageOf } from './ownership.ts'
import type { HostnameClaim } from './plan.ts'

export interface Handover {
  readonly hostname: string
  readonly from: HostnameClaim
  readonly to: HostnameClaim
  /** A clause. */
  readonly reason: string
}

/** The state of the former owner. */
export interface FormerOwner {
  /** The namespace had a reservation only. */
  readonly reservation: boolean
  /** The settings still grant it to the namespace. */
  readonly granted: boolean
  /** The namespace's oldest remaining claim. */
  readonly still: HostnameClaim | undefined
}

/** Bound on hostnames without an owner whose former owner is kept; the oldest are dropped. */
const MAX_FORMER = 4_096
/** Bound on handovers not yet taken: a change of the settings may affect every hostname. */
const MAX_WAITING = 1_024

export class Handovers {
  /** Former owners of hostnames without an owner. */
  readonly #former = new Map<string, HostnameClaim>()
  #waiting = new Map<string, Handover>()
  #lost = 0

  /** @param now undefined when it has no owner any more: the next owner is compared with the former one */
  note(
    hostname: string,
    before: HostnameClaim | undefined,
    now: HostnameClaim | undefined,
    statusOf: (from: HostnameClaim) => FormerOwner,
  ): void {
    if (now === undefined) {
      if (before !== undefined) this.#rememberFormer(hostname, before)
      return
    }
    const from = before ?? this.#former.get(hostname)
    this.#former.delete(hostname)
    if (from === undefined || from.namespace === now.namespace) return
    const waiting = this.#waiting.get(hostname)
    // Returned before the handover was reported.
    if (waiting?.from.namespace === now.namespace) this.#waiting.delete(hostname)
    else if (waiting === undefined && this.#waiting.size >= MAX_WAITING) this.#lost++
    else
      this.#waiting.set(hostname, {
        hostname,
        from: waiting?.from ?? from,
        to: now,
        reason: reasonOfHandover(from, now, statusOf(from)),
      })
  }

  /** The handovers since the last call, and the number of those dropped. */
  take(): { readonly handovers: readonly Handover[]; readonly more: number } {
    const taken = { handovers: [...this.#waiting.values()], more: this.#lost }
    this.#waiting = new Map()
    this.#lost = 0
    return taken
  }

  #rememberFormer(hostname: string, claim: HostnameClaim): void {
    this.#former.delete(hostname)
    this.#former.set(hostname, claim)
    if (this.#former.size > MAX_FORMER) this.#former.delete(this.#former.keys().next().value!)
  }
}

function reasonOfHandover(
  from: HostnameClaim,
  to: HostnameClaim,
  { reservation, granted, still }: FormerOwner,
): string {
  if (!granted) return `the settings do not grant it to namespace ${from.namespace} any more`
  if (still !== undefined) return `${nameOfRoute(to.key)} ${whyFirst(ageOf(to), ageOf(still))}`
  if (reservation) return `the time is over for which it was kept for namespace ${from.namespace}`
  return `namespace ${from.namespace} has no Route or Ingress for it any more`
}

/** `x.example has come from namespace a (Route a/x) to namespace b (Route b/y): …` */
export function handoverText({ hostname, from, to, reason: why }: Handover): string {
  const owner = ({ namespace, key }: HostnameClaim): string => `namespace ${namespace} (${nameOfRoute(key)})`
  return `${hostname} has come from ${owner(from)} to ${owner(to)}: ${why}`
}
