/** A store of token issuers in memory, with the calls that a worker makes of it. */
import type { GrantRequest, GrantStore } from '../../src/auth/grant-store.ts'
import { GrantDatabase } from '../../src/store/grant-database.ts'
import { GrantClient } from '../../src/worker/grant-client.ts'

/** Each call in a turn of its own, as messages between threads are. */
export function clientOf(database: Pick<GrantDatabase, 'run'>): GrantStore {
  const client: GrantClient = new GrantClient(
    { after: () => () => {} },
    Math.random,
    (id: number, request: GrantRequest) =>
      setImmediate(() => client.answered(id, structuredClone(database.run([structuredClone(request)])[0]!))),
  )
  return client
}

export function memoryGrants(wall: () => number = Date.now): GrantStore {
  return clientOf(
    new GrantDatabase({ stateDirectory: undefined, wall, monotonic: () => performance.now(), failure: () => {} }),
  )
}
