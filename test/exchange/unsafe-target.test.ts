import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FilterDefinition } from '../../src/policy/registry.ts'
import { onHead, rawBackend } from '../feature/backends.ts'
import { inProcess } from '../worker/in-process.ts'
import { toUp } from '../worker/test-plane.ts'

/** Two rules by method; the one for GET listens. */
function rules() {
  const { all } = toUp({})
  return {
    read: { ...toUp({ limits: { maxRequestBytes: 1 } }).all!, matches: [{ method: 'GET' }] },
    write: { ...all!, matches: [{}] },
  }
}

describe('a rule that hears of unsafe requests through another one', () => {
  it('hears of each that the upstream has answered, and harms nobody by throwing', async (t) => {
    const upstream = await rawBackend(t, (socket) =>
      onHead(socket, () => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')),
    )
    const heard: string[] = []
    const definition: FilterDefinition = {
      name: 'listening',
      phase: 'cache',
      create: ({ limits }) =>
        limits.maxRequestBytes === 1
          ? {
              name: 'listening',
              onResponse: () => undefined,
              onUnsafeResponse: (x, { status }, { route }) => {
                heard.push(`${x.method} ${x.path} ${status} ${route}`)
                throw new Error('a mistake in a filter')
              },
            }
          : undefined,
    }
    const gateway = await inProcess(t, { rules: rules(), definitions: [definition], upstreams: [upstream.port] })
    using client = await gateway.connect()
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'PROPFIND']) await client.request({ method, path: '/a' })
    assert.deepEqual([heard, gateway.errors.length], [[], 0])
    for (const method of ['POST', 'DELETE', 'UNKNOWN']) {
      const answer = await client.request({ method, path: '/b' })
      assert.deepEqual([answer.status, answer.text], [200, 'ok'])
    }
    assert.deepEqual(
      heard.map((line) => line.replace(/ \S+$/, '')),
      ['POST /b 200', 'DELETE /b 200', 'UNKNOWN /b 200'],
    )
    assert.equal(gateway.errors.length, 3)
  })
})
