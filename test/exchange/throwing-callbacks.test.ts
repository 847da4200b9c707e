/** Callbacks that a filter leaves with timers and signals: nobody stands between them and the end of the thread. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FilterDefinition } from '../../src/policy/registry.ts'
import type { FilterServices } from '../../src/policy/services.ts'
import { inProcess } from '../worker/in-process.ts'

const broken = (): never => {
  throw new Error('a mistake in a callback')
}
const late = (): Promise<never> => Promise.reject(new Error('a mistake in a callback'))

const LISTENERS: readonly (readonly [string, (signal: AbortSignal) => void])[] = [
  ['a function', (signal) => signal.addEventListener('abort', broken)],
  ['an object', (signal) => signal.addEventListener('abort', { handleEvent: broken })],
  ['onabort', (signal) => void (signal.onabort = broken)],
  ['a promise', (signal) => signal.addEventListener('abort', late)],
]
const TIMERS: readonly (readonly [string, (timers: FilterServices['timers']) => void])[] = [
  ['after', (timers) => void timers.after(1, broken)],
  ['nextTurn', (timers) => void timers.nextTurn(broken)],
  ['a promise', (timers) => void timers.nextTurn(late)],
  [
    'every',
    (timers) => {
      const cancel = timers.every(1, () => {
        cancel()
        broken()
      })
    },
  ],
]

describe('a callback that throws', () => {
  for (const [what, listen] of LISTENERS)
    it(`of the signal of an exchange, ${what}, is a logged fault`, async (t) => {
      const gateway = await inProcess(t, {
        filters: [{ phase: 'plugin', filter: { name: 'f', onRequest: (x) => void listen(x.signal) } }],
      })
      using client = await gateway.connect()
      for (let i = 0; i < 2; i++) assert.match((await client.request()).text, /NoEndpoint/)
      client.end()
      await gateway.nothingLeft()
      assert.match(String(gateway.errors), /a mistake.*a mistake/)
    })

  for (const [what, use] of TIMERS)
    it(`of a timer, ${what}, is a logged fault`, async (t) => {
      const definition: FilterDefinition = {
        name: 'f',
        phase: 'plugin',
        create: (_, { timers }) => ({ name: 'f', onRequest: () => use(timers) as undefined }),
      }
      const gateway = await inProcess(t, { definitions: [definition] })
      using client = await gateway.connect()
      assert.match((await client.request()).text, /NoEndpoint/)
      while (gateway.errors.length === 0) await new Promise((resolve) => setImmediate(resolve))
      assert.match((await client.request()).text, /NoEndpoint/)
      client.end()
      await gateway.nothingLeft()
      assert.match(String(gateway.errors[0]), /a mistake/)
    })

  it('can be taken off the signal again, and is kept once', async (t) => {
    const heard: string[] = []
    const off = (): void => void heard.push('off')
    const on = (): void => void heard.push('on')
    const gateway = await inProcess(t, {
      filters: [
        {
          phase: 'plugin',
          filter: {
            name: 'f',
            onRequest({ signal }) {
              signal.addEventListener('abort', off)
              signal.removeEventListener('abort', off)
              signal.addEventListener('abort', on)
              signal.addEventListener('abort', on)
              AbortSignal.any([signal]).addEventListener('abort', () => void heard.push('derived'))
              return undefined
            },
          },
        },
      ],
    })
    using client = await gateway.connect()
    await client.request()
    assert.deepEqual(heard.toSorted(), ['derived', 'on'])
  })
})
