/** What an installation asked of the API server in the tests before; later ones kill it, and a new one refuses everybody at first. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { notOurs } from '../lib/faults.ts'
import { figure } from '../lib/figures.ts'
import { RELEASE, SYSTEM } from '../lib/headgate.ts'

interface AuditEvent {
  readonly verb: string
  readonly user: { readonly username: string }
  readonly objectRef?: { readonly apiGroup?: string; readonly resource?: string; readonly subresource?: string }
  readonly responseStatus?: { readonly code: number; readonly message?: string; readonly reason?: string }
  readonly annotations?: Readonly<Record<string, string>>
}

describe('the rights of the installation', { skip: notOurs }, () => {
  it('suffice for every call it made, in all tests before', () => {
    const account = `system:serviceaccount:${SYSTEM}:${RELEASE}`
    const calls = readFileSync(join(process.env.HEADGATE_E2E_STATE!, 'logs', 'audit.jsonl'), 'utf8')
      .split('\n')
      .filter((line) => line.includes(account))
      .map((line) => JSON.parse(line) as AuditEvent)
      .filter(({ user }) => user.username === account)
    assert.ok(calls.length > 10, 'it asked for something')
    figure('calls to the API server in the tests so far', calls.length)
    const refused = calls
      .filter(({ annotations }) => annotations?.['authorization.k8s.io/decision'] === 'forbid')
      .map(({ verb, objectRef }) => `${verb} ${objectRef?.resource}/${objectRef?.subresource ?? ''}`)
    assert.deepEqual([...new Set(refused)], [])
  })
})
