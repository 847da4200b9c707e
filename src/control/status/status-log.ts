/** Statuses, handovers of hostnames and DNS names in the process log. */
import type { ObjectStatus } from '../../api/condition.ts'
import { formatPath } from '../../api/object.ts'
import { handoverText } from '../../compile/handover.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import type { ObjectLog } from './object-log.ts'
import { findingsOf, isUnlisted, type StatusFinding, unwell } from './status-findings.ts'
import type { HandoverReport, StatusChange, StatusSubscriber } from './status-sink.ts'

/** Handovers of one generation that are logged each; more are counted. */
const MAX_HANDOVERS = 50

export class StatusLog implements StatusSubscriber {
  readonly #log: ObjectLog
  readonly #warn: (message: string) => void
  #prepared: StatusChange[] = []

  /** @param warn for what concerns several namespaces */
  constructor(log: ObjectLog, warn: (message: string) => void) {
    this.#log = log
    this.#warn = warn
  }

  begin(): void {
    this.#prepared = []
  }

  prepare(change: StatusChange): void {
    if (change.differs) this.#prepared.push(change)
  }

  commit(): void {
    for (const { before, after } of this.#prepared.splice(0)) if (after !== undefined) this.#logStatus(after, before)
  }

  handedOver({ handovers, more }: HandoverReport): void {
    for (const handover of handovers.slice(0, MAX_HANDOVERS)) this.#warn(handoverText(handover))
    const rest = more + Math.max(0, handovers.length - MAX_HANDOVERS)
    if (rest > 0) this.#warn(`and ${rest} more hostnames have come to another namespace`)
  }

  /** Logs the findings that the object did not have before. */
  #logStatus(status: ObjectStatus, before: ObjectStatus | undefined): void {
    const name = `${status.kind} ${status.key}`
    const namespace = namespaceOf(status.key)
    const bad = [...findingsOf(status, isUnlisted)]
    const known = new Set(before === undefined ? [] : [...findingsOf(before, isUnlisted)].map(findingText))
    for (const finding of bad) {
      // An object of another class is no fault.
      const level = finding.reason === 'WrongClass' ? 'info' : 'warn'
      if (!known.has(findingText(finding))) this.#log.write(namespace, level, `${name}: ${findingText(finding)}`)
    }
    if (bad.length === 0 && before?.conditions.some(unwell) === true && !status.conditions.some(unwell))
      this.#log.write(namespace, 'info', `${name}: all is well again`)
  }
}

function findingText({ type, reason, message, path }: StatusFinding): string {
  const field = path === undefined ? '' : `${formatPath(path)}: `
  return `${field}${message} (${type === undefined ? '' : `${type} `}${reason})`
}

/** @param failure why a name cannot be resolved; undefined when it can be again @param kept addresses still in use */
export function logName(
  log: ObjectLog,
  namespace: string,
  name: string,
  failure: string | undefined,
  kept: readonly string[],
): void {
  if (failure === undefined) return log.write(namespace, 'info', `${name} can be resolved again`)
  const outcome =
    kept.length > 0 ? `; ${kept.join(', ')} stays in use` : '; Backends that name it have no endpoint from it'
  log.write(namespace, 'warn', `${name} cannot be resolved (${failure})${outcome}`)
}
