import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { connectionsOf, connectionsWarning } from '../../src/supervisor/connection-limit.ts'

const MiB = 1024 * 1024
const room = (clients: number, connections: number) => ({
  files: { limit: 20_000, clients },
  memory: { limit: 512 * MiB, connections },
})

describe('the limit of client connections', () => {
  it('is what both files and memory suffice for', () => {
    assert.equal(connectionsOf(room(5_000, 2_200)), 2_200)
    assert.equal(connectionsOf(room(300, 2_200)), 300)
  })

  it('is reported once, with the number that is accepted and its cause, when the settings ask for more', () => {
    assert.match(
      connectionsWarning(9_000, room(5_000, 2_200))!,
      /^limits\.connections is 9000 per worker, but the process may take 512 MiB of memory: 2200 are accepted\. Raise/,
    )
    assert.match(
      connectionsWarning(9_000, room(300, 2_200))!,
      /^limits\.connections is 9000 per worker, but the process may have 20000 open files: 300 are accepted\. Raise/,
    )
  })

  it('is not reported where there is room, or nothing is asked for', () => {
    for (const asked of [0, 1, 2_200]) assert.equal(connectionsWarning(asked, room(5_000, 2_200)), undefined)
  })
})
