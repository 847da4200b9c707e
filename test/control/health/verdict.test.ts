/** Why an endpoint is taken or not, in words. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { verdictOf } from '../../../src/control/health/verdict.ts'
import { SLOT_STATE } from '../../../src/shared-memory/endpoint-table.ts'
import type { EndpointRow } from '../../../src/thread/messages.ts'

const row = { state: 'ready' } as EndpointRow
const ejection = { since: 0, reason: 'its trial failed' }

test('a trial is announced only where the next request can be it', () => {
  const word = SLOT_STATE.live | SLOT_STATE.trial
  const due = verdictOf(row, word, ejection, undefined)
  assert.equal(due.usable, true)
  assert.match(due.reason, /the next request is its trial/)
  const sick = verdictOf(row, word | SLOT_STATE.unhealthy, ejection, { failure: 'status 503' })
  assert.equal(sick.usable, false)
  assert.doesNotMatch(sick.reason, /next request/)
  assert.match(sick.reason, /its trial waits for its probes; probes fail: status 503/)
})
