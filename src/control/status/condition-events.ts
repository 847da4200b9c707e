/**
 * Kubernetes Events of conditions: one for each condition that becomes unwell, for a Backend that is well again, for
 * endpoints that are out or in again, for what an Ingress asks for in vain, and for hostnames that came to another
 * namespace.
 */

import type { Condition, ObjectStatus } from '../../api/condition.ts'
import { apiVersionOf, KINDS } from '../../api/kinds.ts'
import { type Handover, handoverText } from '../../compile/handover.ts'
import { ingressOf } from '../../compile/ingress.ts'
import type { ResourceSet } from '../../compile/resource-set.ts'
import type { EndpointTurn } from '../health/health.ts'
import type { EventRecorder, Notice, Regarding } from './events.ts'
import type { Seen } from './seen-statuses.ts'
import { newConditionsIn, type StatusDocument } from './status-document.ts'
import { findingsOf, type StatusFinding, unwell } from './status-findings.ts'
import type { HandoverReport, StatusSubscriber } from './status-sink.ts'
import { type StatusTarget, statusTargetId } from './status-target.ts'

/** What was done when it was found. */
const HEALTH = 'CheckHealth'

export class ConditionEvents implements StatusSubscriber {
  readonly #recorder: Pick<EventRecorder, 'record'>
  readonly #resources: () => ResourceSet
  /** The texts of the last Events of each Ingress: it has no conditions that would show them. */
  readonly #ofIngress = new Map<string, ReadonlySet<string>>()

  constructor(recorder: Pick<EventRecorder, 'record'>, resources: () => ResourceSet) {
    this.#recorder = recorder
    this.#resources = resources
  }

  written(target: StatusTarget, document: StatusDocument, before: Seen): void {
    this.#record(noticesOf(target, document, before))
  }

  ingressChecked(target: StatusTarget, status: ObjectStatus, seen: Seen): void {
    const notices = ingressNotices(target, seen, status)
    const id = statusTargetId(target)
    const known = this.#ofIngress.get(id)
    const texts = notices.map(({ reason, note }) => `${reason} ${note}`)
    this.#record(notices.filter((_, i) => known?.has(texts[i]!) !== true))
    if (texts.length > 0) this.#ofIngress.set(id, new Set(texts))
    else this.#ofIngress.delete(id)
  }

  /** A Service that a rule names directly has no object of ours that would show it. */
  endpointTurned(backend: string, { reason, message }: EndpointTurn): void {
    const uid = this.#resources().backends.get(backend)?.object.metadata.uid
    if (uid === undefined) return
    const regarding = regardingOf({ kind: 'Backend', key: backend }, { uid })
    const type = reason === 'EndpointRecovered' ? 'Normal' : 'Warning'
    this.#record([{ regarding, type, reason, action: HEALTH, note: message }])
  }

  /** Both namespaces see it: the one that has the hostname now and the one that had it. */
  handedOver({ handovers }: HandoverReport): void {
    this.#record(handoverNotices(handovers, this.#resources()))
  }

  deleted(target: StatusTarget): void {
    this.#ofIngress.delete(statusTargetId(target))
  }

  /** Another replica led until now, and nothing is known of its Events. */
  forgetAll(): void {
    this.#ofIngress.clear()
  }

  #record(notices: readonly Notice[]): void {
    for (const notice of notices) this.#recorder.record(notice)
  }
}

export function regardingOf(target: StatusTarget, { uid }: Pick<Seen, 'uid'>): Regarding {
  const slash = target.key.indexOf('/')
  const [namespace, name] = [target.key.slice(0, slash), target.key.slice(slash + 1)]
  return { apiVersion: apiVersionOf(KINDS[target.kind]), kind: target.kind, namespace, name, uid }
}

/**
 * Of a Route or Backend whose status was just written.
 * @param before what it had until then, which is not repeated
 */
export function noticesOf(target: StatusTarget, wanted: StatusDocument, before: Seen): Notice[] {
  const regarding = regardingOf(target, before)
  const notices = newConditionsIn(wanted, before, isReported).map((condition) => notice(regarding, condition))
  const health = healthNotice(regarding, wanted, before)
  return health === undefined ? notices : [...notices, health]
}

/**
 * Where `Healthy` becomes another one, or is False for another reason: its message follows every pod. Of a Backend that
 * is new, pods that are not there yet are no news.
 */
function healthNotice(regarding: Regarding, wanted: StatusDocument, before: Seen): Notice | undefined {
  const now = wanted.conditions.find(({ type }) => type === 'Healthy')
  const was = before.conditions.find(({ type }) => type === 'Healthy')
  if (now === undefined || (now.status === was?.status && now.reason === was.reason)) return undefined
  const { reason, message: note } = now
  if (now.status === 'True')
    return was === undefined ? undefined : { regarding, type: 'Normal', reason, action: HEALTH, note }
  if (was === undefined && reason === 'NoEndpoints') return undefined
  return { regarding, type: 'Warning', reason, action: HEALTH, note }
}

/** Of an Ingress, which has no place for its faults. */
export function ingressNotices(target: StatusTarget, seen: Seen, status: ObjectStatus): Notice[] {
  const regarding = regardingOf(target, seen)
  return [...findingsOf(status, isReported)].map((finding) => notice(regarding, finding))
}

/** Of the objects that are there still. */
export function handoverNotices(handovers: readonly Handover[], resources: ResourceSet): Notice[] {
  return handovers.flatMap((handover) =>
    [handover.from, handover.to].flatMap(({ key }): Notice[] => {
      const ingress = ingressOf(key)
      const target: StatusTarget = ingress === undefined ? { kind: 'Route', key } : { kind: 'Ingress', key: ingress }
      const { routes, ingresses } = resources
      const uid = (ingress === undefined ? routes : ingresses).get(target.key)?.object.metadata.uid
      if (uid === undefined) return []
      const note = handoverText(handover)
      return [
        {
          regarding: regardingOf(target, { uid }),
          type: 'Warning',
          reason: 'HostnameHandedOver',
          action: 'Compile',
          note,
        },
      ]
    }),
  )
}

/** Changes of `Healthy` are judged by themselves; an object of another class is not ours. */
function isReported(condition: Condition): boolean {
  return unwell(condition) && condition.type !== 'Healthy' && condition.reason !== 'WrongClass'
}

function notice(regarding: Regarding, { reason, message }: Pick<StatusFinding, 'reason' | 'message'>): Notice {
  return { regarding, type: 'Warning', reason, action: 'Compile', note: message }
}
