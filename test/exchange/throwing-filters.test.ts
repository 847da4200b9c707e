import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Filter } from '../../src/policy/filter.ts'
import { onHead, rawBackend } from '../feature/backends.ts'
import { inProcess } from '../worker/in-process.ts'

const broken = (): never => {
  throw new Error('a mistake in a filter')
}
const late = async (): Promise<never> => broken()

/** One throwing hook each; what the client gets. A cut (0) where the head was on its way already. */
const FILTERS: readonly (readonly [what: string, filter: Partial<Filter>, status: number])[] = [
  ['on the request', { onRequest: broken }, 500],
  ['later on the request', { onRequest: late }, 500],
  ['on the response', { onResponse: broken }, 500],
  ['later on the response', { onResponse: late }, 500],
  ['where it makes a step for the request body', { requestBody: broken }, 500],
  ['where it makes a step for the response body', { responseBody: broken }, 500],
  [
    'where it makes a step for the response body, behind one that waits',
    { onResponse: () => new Promise((resolve) => setTimeout(() => resolve(undefined), 5)), responseBody: broken },
    500,
  ],
  [
    'where its step gets the response body',
    { responseBody: () => () => ({ data: broken, end: broken, drained() {}, abort() {} }) },
    0,
  ],
  ['at the end', { onEnd: broken }, 200],
]

describe('a filter that throws', () => {
  for (const [what, hooks, status] of FILTERS)
    it(`${what} costs its own exchange and nothing else`, async (t) => {
      const upstream = await rawBackend(t, (socket) =>
        onHead(socket, () => setTimeout(() => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'), 5)),
      )
      let enabled = true
      const filter: Filter = { name: 'broken' }
      for (const [hook, run] of Object.entries(hooks))
        Object.assign(filter, {
          [hook]: (...args: unknown[]) => (enabled ? (run as (...all: unknown[]) => unknown)(...args) : undefined),
        })
      const gateway = await inProcess(t, {
        upstreams: [upstream.port],
        filters: [{ phase: 'compression', filter }],
      })
      const before = await gateway.connect()
      const request = { host: 'w.test', method: 'POST', body: 'abc' }
      if (status === 0) await assert.rejects(before.request(request))
      else assert.equal((await before.request(request)).status, status)
      enabled = false
      using after = await gateway.connect()
      assert.equal((await after.request(request)).status, 200)
      before.socket.destroy()
      after.end()
      await gateway.nothingLeft()
      assert.equal(gateway.errors.length > 0 || status === 0, true)
      assert.equal(gateway.log().length, 2)
    })
})
