/** What a person is told of by an Event: each condition that has become unwell, and what an Ingress asks for in vain. */
import type { Condition, ObjectStatus } from '../../api/condition.ts'
import type { IngressNote } from '../../compile/ingress-notes.ts'
import { unwell } from '../status-board.ts'
import type { Notice, Regarding } from './events.ts'
import type { Seen } from './seen-statuses.ts'
import { newsIn, type StatusDocument } from './status-document.ts'
import { apiVersionOf, type Subject } from './subject.ts'

export function regardingOf(subject: Subject, { uid }: Pick<Seen, 'uid'>): Regarding {
  const slash = subject.key.indexOf('/')
  const [namespace, name] = [subject.key.slice(0, slash), subject.key.slice(slash + 1)]
  return { apiVersion: apiVersionOf(subject.kind), kind: subject.kind, namespace, name, uid }
}

/** Of a Route or Backend whose status was just written. @param before what it said until then: what was said is not news */
export function noticesOf(subject: Subject, wanted: StatusDocument, before: Seen): Notice[] {
  const regarding = regardingOf(subject, before)
  return newsIn(wanted, before, isNews).map((condition) => notice(regarding, condition))
}

/** Of an Ingress, which has nowhere to say what is wrong with it. */
export function ingressNotices(
  subject: Subject,
  seen: Seen,
  statuses: readonly ObjectStatus[],
  notes: readonly IngressNote[],
): Notice[] {
  const regarding = regardingOf(subject, seen)
  const told = new Map<string, Notice>()
  for (const { key, conditions } of statuses) {
    // That all of a host goes to somebody's paths leaves nothing to a default backend; so it is meant.
    const last = key.includes('/~ingress:') && !key.endsWith(':*')
    for (const condition of conditions)
      if (isNews(condition) && !(last && condition.reason === 'Conflicted'))
        told.set(`${condition.reason} ${condition.message}`, notice(regarding, condition))
  }
  const foreign = notes.map(({ reason, message }): Notice => {
    return { regarding, type: 'Warning', reason, action: 'Compile', note: message }
  })
  return [...told.values(), ...foreign]
}

/** Endpoints come and go, and Kubernetes tells of that itself; an object for another installation is none of our business. */
function isNews(condition: Condition): boolean {
  return unwell(condition) && condition.type !== 'Healthy' && condition.reason !== 'WrongClass'
}

function notice(regarding: Regarding, { reason, message }: Condition): Notice {
  return { regarding, type: 'Warning', reason, action: 'Compile', note: message }
}
