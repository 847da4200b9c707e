import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { TestAuthority } from '../lib/certificates.ts'
import { frameRelay } from '../lib/frame-relay.ts'
import { h2spec, runH2spec } from '../lib/h2spec.ts'
import { toUp } from './test-plane.ts'
import { type TlsRig, tlsRig } from './tls-rig.ts'

const program = h2spec()
const skip = 'missing' in program ? program.missing : false

// Without a preface a client speaks HTTP/1.1 there, which http2/3.5/2 does not expect.
const CLEAR = ['generic', 'hpack', 'http2/3.5/1', 'http2/4', 'http2/5', 'http2/6', 'http2/7', 'http2/8']

/** Answers when the body is complete. */
async function upstream(t: { after(end: () => void): void }): Promise<number> {
  const server = createServer((req, res) => req.resume().on('end', () => res.end('hello')))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  return (server.address() as AddressInfo).port
}

async function report(...arguments_: string[]): Promise<string> {
  const { path } = program as { readonly path: string }
  return await runH2spec(path, [...arguments_, '--timeout', '5'])
}

async function atRest(rig: TlsRig): Promise<void> {
  await rig.nothingLeft()
  assert.deepEqual(rig.errors, [])
}

describe('h2spec', { skip }, () => {
  it('passes 145 of 145, and its strict cases, over TLS', async (t) => {
    const rig = await tlsRig(t, {
      defaultSecret: 'default',
      upstreams: [await upstream(t)],
      rules: toUp({ retry: { attempts: 0 } }),
    })
    rig.secret('default', new TestAuthority().server('h2.example'))
    const tls = ['-h', '127.0.0.2', '-p', `${rig.tlsPort}`, '-t', '-k']
    const plain = await report(...tls)
    assert.match(plain, /145 tests, 145 passed, 0 skipped, 0 failed/, plain.slice(plain.indexOf('Failures:')))
    const strict = await report(...tls, '--strict')
    assert.match(strict, /\d+ tests, \d+ passed, 0 skipped, 0 failed/, strict.slice(strict.indexOf('Failures:')))
    await atRest(rig)
  })

  it('passes its HTTP/2 and HPACK cases in clear text, by prior knowledge', async (t) => {
    const rig = await tlsRig(t, { upstreams: [await upstream(t)], rules: toUp({ retry: { attempts: 0 } }) })
    const clear = await report(...CLEAR, '-h', '127.0.0.1', '-p', `${rig.port}`)
    assert.match(clear, /144 tests, 144 passed, 0 skipped, 0 failed/, clear.slice(clear.indexOf('Failures:')))
    await atRest(rig)
  })

  it('passes them with time between the frames, in which the response is complete', async (t) => {
    const rig = await tlsRig(t, { upstreams: [await upstream(t)], rules: toUp({ retry: { attempts: 0 } }) })
    const port = await frameRelay(t, rig.port, 5)
    const clear = await report(...CLEAR, '-h', '127.0.0.1', '-p', `${port}`)
    assert.match(clear, /144 tests, 144 passed, 0 skipped, 0 failed/, clear.slice(clear.indexOf('Failures:')))
    await atRest(rig)
  })
})
