/** Hostnames that have come to another namespace: nobody's traffic goes elsewhere without a word. */
import { nameOfRoute, whyFirst } from './ingress.ts'
import { ageOf } from './ownership.ts'
import type { Claim } from './plan.ts'

export interface Handover {
  readonly hostname: string
  readonly from: Claim
  readonly to: Claim
  /** A clause. */
  readonly why: string
}

/** What has become of the one who had it. */
export interface FormerOwner {
  /** It was only kept for the namespace. */
  readonly reservation: boolean
  /** The settings let its namespace have it. */
  readonly granted: boolean
  /** Its namespace's oldest claim now. */
  readonly still: Claim | undefined
}

/** Of hostnames that nobody has just now; beyond, the oldest are forgotten. */
const MAX_FORMER = 4_096
/** Waiting to be taken; a change of the settings may concern every hostname. */
const MAX_WAITING = 1_024

export class Handovers {
  /** Who had those that nobody has now. */
  readonly #former = new Map<string, Claim>()
  #waiting = new Map<string, Handover>()
  #lost = 0

  /** @param now undefined when nobody has it any more: whoever comes next is compared with who had it */
  note(
    hostname: string,
    before: Claim | undefined,
    now: Claim | undefined,
    statusOf: (from: Claim) => FormerOwner,
  ): void {
    if (now === undefined) {
      if (before !== undefined) this.#remember(hostname, before)
      return
    }
    const from = before ?? this.#former.get(hostname)
    this.#former.delete(hostname)
    if (from === undefined || from.namespace === now.namespace) return
    const waiting = this.#waiting.get(hostname)
    // Not told yet, and back again.
    if (waiting?.from.namespace === now.namespace) this.#waiting.delete(hostname)
    else if (waiting === undefined && this.#waiting.size >= MAX_WAITING) this.#lost++
    else
      this.#waiting.set(hostname, {
        hostname,
        from: waiting?.from ?? from,
        to: now,
        why: whyMoved(from, now, statusOf(from)),
      })
  }

  /** What has not been taken yet, and how many more there were. */
  take(): { readonly handovers: readonly Handover[]; readonly more: number } {
    const taken = { handovers: [...this.#waiting.values()], more: this.#lost }
    this.#waiting = new Map()
    this.#lost = 0
    return taken
  }

  #remember(hostname: string, claim: Claim): void {
    this.#former.delete(hostname)
    this.#former.set(hostname, claim)
    if (this.#former.size > MAX_FORMER) this.#former.delete(this.#former.keys().next().value!)
  }
}

function whyMoved(from: Claim, to: Claim, { reservation, granted, still }: FormerOwner): string {
  if (!granted) return `the settings do not grant it to namespace ${from.namespace} any more`
  if (still !== undefined) return `${nameOfRoute(to.key)} ${whyFirst(ageOf(to), ageOf(still))}`
  if (reservation) return `the time is over for which it was kept for namespace ${from.namespace}`
  return `namespace ${from.namespace} has no Route or Ingress for it any more`
}

/** `x.example has come from namespace a (Route a/x) to namespace b (Route b/y): …` */
export function handoverText({ hostname, from, to, why }: Handover): string {
  const owner = ({ namespace, key }: Claim): string => `namespace ${namespace} (${nameOfRoute(key)})`
  return `${hostname} has come from ${owner(from)} to ${owner(to)}: ${why}`
}
