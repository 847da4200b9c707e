import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connectionLimit, connectionLimitWarning } from '../../src/supervisor/connection-limit.ts'

const MiB = 1024 * 1024
const capacity = (clients: number, connections: number) => ({
  files: { limit: 20_000, clients },
  memory: { limit: 512 * MiB, connections },
})

describe('the limit of client connections', () => {
  it('is the lower one of what open files and memory allow', () => {
    assert.equal(connectionLimit(capacity(5_000, 2_200)), 2_200)
    assert.equal(connectionLimit(capacity(300, 2_200)), 300)
  })

  it('is reported with its cause when the settings request more', () => {
    assert.match(
      connectionLimitWarning(9_000, capacity(5_000, 2_200))!,
      /^limits\.connections is 9000 per worker, but the process may take 512 MiB of memory: 2200 are accepted\. Raise/,
    )
    assert.match(
      connectionLimitWarning(9_000, capacity(300, 2_200))!,
      /^limits\.connections is 9000 per worker, but the process may have 20000 open files: 300 are accepted\. Raise/,
    )
  })

  it('is not reported where it allows the requested number, or none is requested', () => {
    for (const requested of [0, 1, 2_200])
      assert.equal(connectionLimitWarning(requested, capacity(5_000, 2_200)), undefined)
  })
})
