/** Conditions and names for the process log. */
import type { ObjectStatus } from '../../api/condition.ts'
import { formatPath } from '../../api/object.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import type { ObjectLog } from './object-log.ts'
import { type Finding, findingsOf, isUnlisted, unwell } from './status-cache.ts'

/** A name that cannot be resolved, or can again. @param namespace of a Backend that has it */
export function tellName(
  log: ObjectLog,
  namespace: string,
  name: string,
  failure: string | undefined,
  kept: readonly string[],
): void {
  if (failure === undefined) return log.tell(namespace, 'info', `${name} can be resolved again`)
  const what =
    kept.length > 0 ? `; ${kept.join(', ')} stays in use` : '; Backends that name it have no endpoint from it'
  log.tell(namespace, 'warn', `${name} cannot be resolved (${failure})${what}`)
}

/** What was not said of the object before. */
export function tellStatus(log: ObjectLog, status: ObjectStatus, before: ObjectStatus | undefined): void {
  const name = `${status.kind} ${status.key}`
  const namespace = namespaceOf(status.key)
  const bad = [...findingsOf(status, isUnlisted)]
  const told = new Set(before === undefined ? [] : [...findingsOf(before, isUnlisted)].map(findingText))
  // An object for somebody else is no fault at all.
  for (const finding of bad) {
    const level = finding.reason === 'WrongClass' ? 'info' : 'warn'
    if (!told.has(findingText(finding))) log.tell(namespace, level, `${name}: ${findingText(finding)}`)
  }
  if (bad.length === 0 && before?.conditions.some(unwell) === true && !status.conditions.some(unwell))
    log.tell(namespace, 'info', `${name}: all is well again`)
}

function findingText({ type, reason, message, path }: Finding): string {
  const field = path === undefined ? '' : `${formatPath(path)}: `
  return `${field}${message} (${type === undefined ? '' : `${type} `}${reason})`
}
