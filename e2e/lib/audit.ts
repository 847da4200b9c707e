/** Reads the calls of an account from the audit log of the API server; only on a cluster of our own. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { RELEASE, SYSTEM } from './headgate.ts'

export interface Call {
  readonly auditID: string
  readonly verb: string
  readonly user: { readonly username: string }
  readonly requestURI: string
  readonly requestReceivedTimestamp: string
  readonly objectRef?: {
    readonly apiGroup?: string
    readonly resource?: string
    readonly subresource?: string
    readonly namespace?: string
    readonly name?: string
  }
  readonly responseStatus?: { readonly code: number; readonly message?: string; readonly reason?: string }
  readonly annotations?: Readonly<Record<string, string>>
}

export const accountOf = (namespace = SYSTEM, release = RELEASE): string =>
  `system:serviceaccount:${namespace}:${release}`

/** Each once. @param since milliseconds since the epoch; those of before are left out */
export function callsOf(account: string, since = 0): Call[] {
  const calls = new Map<string, Call>()
  for (const line of readFileSync(join(process.env.HEADGATE_E2E_STATE!, 'logs', 'audit.jsonl'), 'utf8').split('\n')) {
    if (!line.includes(account) || !line.endsWith('}')) continue
    const call = JSON.parse(line) as Call
    // A watch is told of when it begins and again when it ends.
    if (call.user.username === account && Date.parse(call.requestReceivedTimestamp) >= since)
      calls.set(call.auditID, call)
  }
  return [...calls.values()]
}

/** `list routes.headgate.dev`, `patch routes.headgate.dev/status`: as a role names it. */
export function callName({ verb, objectRef = {} }: Pick<Call, 'verb' | 'objectRef'>): string {
  const { apiGroup = '', resource = '', subresource } = objectRef
  return `${verb} ${resource}${apiGroup === '' ? '' : `.${apiGroup}`}${subresource === undefined ? '' : `/${subresource}`}`
}

/** How often each was asked for. */
export function countCalls(calls: readonly Call[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const call of calls) counts[callName(call)] = (counts[callName(call)] ?? 0) + 1
  return counts
}
