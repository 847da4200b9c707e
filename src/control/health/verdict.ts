/** Why an endpoint is taken or not, in words. */
import type { Milliseconds } from '../../lib/clock.ts'
import { isEligible, SLOT_STATE } from '../../shared-memory/endpoint-table.ts'
import type { EndpointRow } from '../../thread/messages.ts'
import type { Ejection } from './ejections.ts'
import type { ProbeRecord } from './probes.ts'

export type EndpointState = 'eligible' | 'unhealthy' | 'ejected' | 'draining'

/** What is known of one endpoint. */
export interface EndpointVerdict {
  /** Whether requests may be sent to it. */
  readonly usable: boolean
  readonly state: EndpointState
  /** Why it is out, or used although it is; '' where there is nothing to say. */
  readonly reason: string
  /** Since when it is out; wall clock. */
  readonly since?: Milliseconds
  /** The last probe; none where it is not probed, or was not yet. */
  readonly probe?: { readonly at: Milliseconds; readonly took: Milliseconds; readonly fault: string }
}

const EJECTED = SLOT_STATE.ejected | SLOT_STATE.trial

/** @param word of shared memory */
export function stateOf(row: EndpointRow, word: number): EndpointState {
  if ((word & EJECTED) !== 0) return 'ejected'
  if ((word & SLOT_STATE.unhealthy) !== 0) return 'unhealthy'
  return row.state === 'draining' ? 'draining' : 'eligible'
}

export function verdictOf(
  row: EndpointRow,
  word: number,
  ejection: Ejection | undefined,
  probes: ProbeRecord | undefined,
): EndpointVerdict {
  const state = stateOf(row, word)
  const since = state === 'ejected' ? ejection?.since : state === 'unhealthy' ? probes?.since : undefined
  return {
    usable: isEligible(word),
    state,
    reason: reasonOf(row, word, ejection, probes),
    ...(since !== undefined && { since }),
    ...(probes?.last !== undefined && { probe: probes.last }),
  }
}

/** An endpoint whose probes fail gets no trial, however long its ejection is over. */
function trialOf(word: number): string {
  return (word & SLOT_STATE.unhealthy) === 0
    ? 'the next request is its trial'
    : 'its ejection is over, and its trial waits for its probes'
}

/** All that keeps it out: who mends one thing wants to know of the other. */
function reasonOf(
  row: EndpointRow,
  word: number,
  ejection: Ejection | undefined,
  probes: ProbeRecord | undefined,
): string {
  const reasons: string[] = []
  if ((word & EJECTED) !== 0) {
    reasons.push(ejection?.reason ?? 'requests failed')
    if ((word & SLOT_STATE.trial) !== 0) reasons.push(trialOf(word))
    else if ((word & SLOT_STATE.trying) !== 0) reasons.push('its trial request is under way')
  }
  if ((word & SLOT_STATE.unhealthy) !== 0) {
    const failure = probes?.failure ?? ''
    reasons.push(`probes fail${failure === '' ? '' : `: ${failure}`}`)
  }
  if ((word & SLOT_STATE.full) !== 0) reasons.push('it has as many requests as it bears now (limits.adaptive)')
  if ((word & SLOT_STATE.panic) !== 0) reasons.push('used all the same, since too few others can be')
  if (row.state === 'draining') reasons.push('its pod is terminating: used while no other endpoint is left')
  return reasons.join('; ')
}
