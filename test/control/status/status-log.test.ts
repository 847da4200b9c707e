import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ObjectStatus } from '../../../src/api/condition.ts'
import { refusedConditions, routeConditions } from '../../../src/compile/conditions.ts'
import { ObjectLog } from '../../../src/control/status/object-log.ts'
import { StatusLog } from '../../../src/control/status/status-log.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

describe('the log of an object', () => {
  const lines: string[] = []
  const log = new ObjectLog({ time: systemTimers, write: (level, message) => lines.push(`${level} ${message}`) })
  const subscriber = new StatusLog(log, (message) => lines.push(`warn ${message}`))
  const logStatus = (after: ObjectStatus, before?: ObjectStatus): void => {
    subscriber.begin()
    subscriber.prepare({ before, after, differs: true })
    subscriber.commit()
  }
  const status = (rest: Partial<ObjectStatus>): ObjectStatus => ({
    kind: 'Ingress',
    key: 'a/web',
    conditions: [],
    ...rest,
  })

  it('has the field of what an Ingress asks for in vain, and each once', () => {
    lines.length = 0
    const note = { reason: 'PathNeverMatches', message: 'No request has it.', path: ['spec', 'rules', 2] } as const
    const before = status({ notes: [note] })
    logStatus(before)
    logStatus(status({ notes: [note, { ...note, path: ['spec', 'rules', 3] }] }), before)
    assert.deepEqual(lines, [
      'warn Ingress a/web: spec.rules[2]: No request has it. (PathNeverMatches)',
      'warn Ingress a/web: spec.rules[3]: No request has it. (PathNeverMatches)',
    ])
  })

  it('leaves a refused version to the list of problems', () => {
    lines.length = 0
    const conditions = refusedConditions([{ path: ['spec'], reason: 'TooCostly', message: 'costs too much' }], 1, true)
    logStatus(status({ conditions }))
    assert.deepEqual(lines, [])
  })

  it('has an object of which nothing is served although it is valid', () => {
    lines.length = 0
    const fault = { generation: 1, partial: [], references: [], stale: undefined }
    const unaccepted = { reason: 'NoRules', message: 'It has no path' } as const
    logStatus(status({ conditions: routeConditions({ ...fault, notAccepted: unaccepted }) }))
    assert.deepEqual(lines, ['warn Ingress a/web: It has no path. (Accepted NoRules)'])
  })
})
