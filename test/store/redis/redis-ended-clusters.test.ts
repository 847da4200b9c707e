import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../../src/store/redis/connection.ts'
import { suiteScope } from '../../feature/harness.ts'
import { NO_REDIS } from '../../lib/redis-server.ts'
import { cluster, until } from '../../lib/redis-topology.ts'

/** Of the whole process; the test that looks has none of its own. */
const timers = (): number => process.getActiveResourcesInfo().filter((type) => type === 'Timeout').length

describe('a connection to a cluster', { skip: NO_REDIS }, () => {
  const scope = suiteScope()

  it('leaves no timer when it is ended while the cluster is asked who has which keys', {
    timeout: 60_000,
  }, async () => {
    const [node] = await cluster(scope, 3)
    const before = timers()
    const endpoints = [{ host: node!.host, port: node!.port }]
    const connection = connect({ mode: 'Cluster', endpoints }, 0, () => {})
    await until(() => connection.status === 'ready')
    const asked = new Promise<void>((resolve) => {
      const look = (): void => (Reflect.get(connection, 'isRefreshing') === true ? resolve() : void setImmediate(look))
      look()
    })
    await asked
    connection.disconnect()
    // What it waits for is over by then.
    await sleep(3_500)
    assert.equal(timers(), before)
  })
})
