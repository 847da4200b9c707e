import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Filter } from '../../src/policy/filter.ts'
import { echoBackend } from '../feature/backends.ts'
import { inProcess } from '../worker/in-process.ts'
import { toUp } from '../worker/test-plane.ts'

/** Adds what only the upstream may see, and notes the status of what comes back. */
function adding(statuses: number[]): Filter {
  return {
    name: 'adding',
    onRequest: (x) => {
      x.request.set('x-for-upstream', 'hidden')
      return undefined
    },
    onResponse: (_, head) => {
      statuses.push(head.status)
      head.fields.add('x-way-back', '1')
      return undefined
    },
  }
}

describe('Max-Forwards', () => {
  for (const method of ['OPTIONS', 'TRACE']) {
    for (const [sent, passed] of [
      ['1', '0'],
      ['10', '9'],
      ['007', '6'],
      ['2147483647', '2147483646'],
      ['99999999999999999999999999', '2147483647'],
    ] as const)
      it(`${sent} of ${method} goes on as ${passed}`, async (t) => {
        const up = await echoBackend(t)
        const gateway = await inProcess(t, { upstreams: [up.port] })
        using client = await gateway.connect()
        const answer = await client.request({ method, host: 'w.test', headers: { 'Max-Forwards': sent } })
        assert.equal(answer.status, 200)
        assert.deepEqual([up.received[0]!.method, up.received[0]!.headers['max-forwards']], [method, passed])
      })

    for (const value of ['', '-1', '+1', '1.0', '0x1', '1, 1', 'none', '1\r\nmax-forwards: 1'])
      it(`${JSON.stringify(value)} of ${method} is refused`, async (t) => {
        const up = await echoBackend(t)
        const gateway = await inProcess(t, { upstreams: [up.port] })
        using client = await gateway.connect()
        const answer = await client.request({ method, host: 'w.test', headers: { 'max-forwards': value } })
        assert.deepEqual([answer.status, answer.json().reason, up.received.length], [400, 'BadRequest', 0])
      })

    it(`0 of ${method} goes no further than the filters`, async (t) => {
      const up = await echoBackend(t)
      const statuses: number[] = []
      const filters = [{ phase: 'auth' as const, filter: adding(statuses) }]
      const gateway = await inProcess(t, { upstreams: [up.port], filters })
      using client = await gateway.connect()
      for (const value of ['0', '000']) {
        const answer = await client.request({ method, host: 'w.test', headers: { 'max-forwards': value } })
        assert.deepEqual([answer.status, answer.header('x-way-back')], [200, '1'])
        if (method === 'OPTIONS') assert.deepEqual([answer.text, answer.header('content-length')], ['', '0'])
      }
      assert.deepEqual([statuses, up.received.length], [[200, 200], 0])
      client.end()
      await gateway.nothingLeft()
      assert.deepEqual(
        gateway.log().map((line) => [line.status, line.reason, line.attempts ?? 0]),
        [
          [200, undefined, 0],
          [200, undefined, 0],
        ],
      )
    })
  }

  it('0 of TRACE sends back what came, without credentials and without what filters add', async (t) => {
    const up = await echoBackend(t)
    const gateway = await inProcess(t, { upstreams: [up.port], filters: [{ phase: 'auth', filter: adding([]) }] })
    using client = await gateway.connect()
    const answer = await client.request({
      method: 'TRACE',
      path: '/a?b=c',
      host: 'w.test',
      headers: {
        'max-forwards': '0',
        'X-Test': 'yes ',
        Via: '1.1 front',
        Cookie: 'c=hidden',
        Authorization: 'Basic hidden',
        'Proxy-Authorization': 'Basic hidden',
        'X-Api-Key': 'hidden',
        'X-Forwarded-For': '192.0.2.77',
      },
    })
    assert.equal(answer.header('content-type'), 'message/http')
    assert.match(answer.text, /^TRACE \/a\?b=c HTTP\/1\.1\r\nhost: w\.test\r\n/)
    assert.match(answer.text, /\r\nx-test: yes\r\nvia: 1\.1 front\r\n/)
    assert.match(answer.text, /\r\n\r\n$/)
    assert.doesNotMatch(answer.text, /hidden|192\.0\.2\.77/)
    client.send('TRACE http://w.test:80/x HTTP/1.1\r\nhost: w.test\r\nmax-forwards: 0\r\n\r\n')
    assert.match((await client.response()).text, /^TRACE \/x HTTP\/1\.1\r\nhost: w\.test:80\r\n/)
  })

  it('of other methods is left alone', async (t) => {
    const up = await echoBackend(t)
    const gateway = await inProcess(t, { upstreams: [up.port] })
    using client = await gateway.connect()
    for (const value of ['0', '5', 'none']) {
      const answer = await client.request({ host: 'w.test', headers: { 'max-forwards': value } })
      assert.equal(answer.status, 200)
      assert.equal(up.received.at(-1)!.headers['max-forwards'], value)
    }
  })

  it('of OPTIONS * is read too, and changes nothing', async (t) => {
    const gateway = await inProcess(t, { rules: { all: {} } })
    using client = await gateway.connect()
    for (const [value, status] of [
      ['0', 200],
      ['3', 200],
      ['x', 400],
    ] as const) {
      const answer = await client.request({
        method: 'OPTIONS',
        path: '*',
        host: 'w.test',
        headers: { 'max-forwards': value },
      })
      assert.equal(answer.status, status)
    }
  })

  it('0 does not make a resource out of none', async (t) => {
    const gateway = await inProcess(t, { rules: { one: { matches: [{ path: { type: 'Exact', value: '/one' } }] } } })
    using client = await gateway.connect()
    const answer = await client.request({ method: 'OPTIONS', host: 'w.test', headers: { 'max-forwards': '0' } })
    assert.equal(answer.status, 404)
  })

  it('0 is answered where a rule has no endpoint', async (t) => {
    const gateway = await inProcess(t, { rules: toUp() })
    using client = await gateway.connect()
    const answer = await client.request({ method: 'OPTIONS', host: 'w.test', headers: { 'max-forwards': '0' } })
    assert.equal(answer.status, 200)
  })
})
