/** What is wrong with an object, by its conditions and notes. */
import type { Condition, Note, ObjectStatus } from '../../api/condition.ts'

/** Conditions that are well when they are False. */
const NEGATIVE = new Set(['PartiallyInvalid', 'Stale'])

/**
 * Whether a condition says that something is wrong. `Ready` only repeats the others; `Programmed` is a matter of time,
 * except where a listener cannot be opened.
 */
export function unwell({ type, status, reason }: Condition): boolean {
  if (type === 'Programmed') return reason === 'ListenerNotOpen'
  if (type === 'Ready') return false
  // Well, and to be seen to.
  if (reason === 'ExpiresSoon') return true
  return NEGATIVE.has(type) ? status === 'True' : status === 'False'
}

/** The list of problems has these already, with field, file and line. */
const LISTED: ReadonlySet<Condition['reason']> = new Set([
  'Invalid',
  'NotImplemented',
  'TooCostly',
  'Quarantined',
  'MemoryBudget',
  'LastGoodServed',
])

/** Whether the list of problems does not have the condition already, as it has those of a refused version. */
export function isUnlisted({ reason }: Condition): boolean {
  return !LISTED.has(reason)
}

export interface StatusFinding {
  /** Of the condition; none for a note. */
  readonly type?: Condition['type']
  readonly reason: Condition['reason'] | Note['reason']
  readonly message: string
  /** Of a note only: a condition names the place in its message. */
  readonly path?: Note['path']
}

/**
 * One fault is often two conditions: each message comes once.
 *
 * @param matters which of the conditions are asked for
 */
export function* findingsOf(
  { conditions, notes = [] }: ObjectStatus,
  matters: (one: Condition) => boolean = () => true,
): Generator<StatusFinding, void> {
  const seen = new Set<string>()
  for (const one of conditions) {
    if (!unwell(one) || !matters(one) || seen.has(one.message)) continue
    seen.add(one.message)
    yield one
  }
  yield* notes
}
