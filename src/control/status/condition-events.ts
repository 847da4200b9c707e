/**
 * What a person is told of by an Event: each condition that has become unwell, and what an Ingress asks for in vain.
 */
import type { Condition, ObjectStatus } from '../../api/condition.ts'
import { type Handover, handoverText } from '../../compile/handover.ts'
import { ingressOf } from '../../compile/ingress.ts'
import type { ResourceSet } from '../../compile/resource-set.ts'
import type { Notice, Regarding } from './events.ts'
import type { Seen } from './seen-statuses.ts'
import { type Finding, findingsOf, unwell } from './status-cache.ts'
import { newsIn, type StatusDocument } from './status-document.ts'
import { apiVersionOf, type StatusTarget } from './status-target.ts'

export function regardingOf(subject: StatusTarget, { uid }: Pick<Seen, 'uid'>): Regarding {
  const slash = subject.key.indexOf('/')
  const [namespace, name] = [subject.key.slice(0, slash), subject.key.slice(slash + 1)]
  return { apiVersion: apiVersionOf(subject.kind), kind: subject.kind, namespace, name, uid }
}

/**
 * Of a Route or Backend whose status was just written.
 * @param before what it said until then: what was said is not news
 */
export function noticesOf(subject: StatusTarget, wanted: StatusDocument, before: Seen): Notice[] {
  const regarding = regardingOf(subject, before)
  return newsIn(wanted, before, isNews).map((condition) => notice(regarding, condition))
}

/** Of an Ingress, which has nowhere to say what is wrong with it. */
export function ingressNotices(subject: StatusTarget, seen: Seen, status: ObjectStatus): Notice[] {
  const regarding = regardingOf(subject, seen)
  return [...findingsOf(status, isNews)].map((finding) => notice(regarding, finding))
}

/** Of the objects that are there still. */
export function handoverNotices(handovers: readonly Handover[], resources: ResourceSet): Notice[] {
  return handovers.flatMap((handover) =>
    [handover.from, handover.to].flatMap(({ key }): Notice[] => {
      const ingress = ingressOf(key)
      const subject: StatusTarget = ingress === undefined ? { kind: 'Route', key } : { kind: 'Ingress', key: ingress }
      const { routes, ingresses } = resources
      const uid = (ingress === undefined ? routes : ingresses).get(subject.key)?.object.metadata.uid
      if (uid === undefined) return []
      const note = handoverText(handover)
      return [
        {
          regarding: regardingOf(subject, { uid }),
          type: 'Warning',
          reason: 'HostnameHandedOver',
          action: 'Compile',
          note,
        },
      ]
    }),
  )
}

/**
 * Endpoints come and go, and Kubernetes tells of that itself; an object for another installation is none of our
 * business.
 */
function isNews(condition: Condition): boolean {
  return unwell(condition) && condition.type !== 'Healthy' && condition.reason !== 'WrongClass'
}

function notice(regarding: Regarding, { reason, message }: Pick<Finding, 'reason' | 'message'>): Notice {
  return { regarding, type: 'Warning', reason, action: 'Compile', note: message }
}
