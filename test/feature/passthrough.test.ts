/** TLS passthrough and long bodies through the gateway's process, from manifests. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createHttp, request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Writable } from 'node:stream'
import { before, describe, it } from 'node:test'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { TestAuthority } from '../lib/certificates.ts'
import { closedPort } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import { request } from './raw-client.ts'

const authority = new TestAuthority()
const MiB = 1 << 20
const PART = Buffer.alloc(MiB, 'x')

function secret(name: string, host: string): string {
  const { cert, key } = authority.server(host)
  const data = { 'tls.crt': Buffer.from(cert).toString('base64'), 'tls.key': Buffer.from(key).toString('base64') }
  const object = {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: { name, namespace: 'default' },
    data,
  }
  return `${JSON.stringify(object)}\n---\n`
}

function pour(into: Writable, mebibytes: number): void {
  let sent = 0
  const more = (): void => {
    while (sent < mebibytes) {
      sent++
      if (!into.write(PART)) return void into.once('drain', more)
    }
    into.end()
  }
  more()
}

describe('long connections', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let https: number
  let http: number
  before(async () => {
    const issued = authority.server('pass.example')
    const own = createServer({ cert: issued.cert, key: issued.key }, (socket) => {
      socket.on('error', () => {})
      socket.on('data', (bytes: Buffer) => socket.write(`own: ${bytes.toString()}`))
    }).listen(0, '127.0.0.1')
    const plain = createHttp((request, response) => {
      if (request.method === 'GET') pour(response, Number(request.url!.slice(1)))
      else {
        let bytes = 0
        request.on('data', (part: Buffer) => (bytes += part.length))
        request.on('end', () => response.end(String(bytes / MiB)))
      }
    }).listen(0, '127.0.0.1')
    await Promise.all([once(own, 'listening'), once(plain, 'listening')])
    scope.after(() => {
      own.close()
      plain.close()
      plain.closeAllConnections()
    })
    https = await closedPort()
    http = await closedPort()
    gateway = await startGateway(
      scope,
      {
        'a.yaml':
          backend('own', [(own.address() as AddressInfo).port]) +
          backend('plain', [(plain.address() as AddressInfo).port]) +
          secret('ended', 'ended.example') +
          secret('pass', 'pass.example') +
          route('ended', ['ended.example'], [{ name: 'all', respond: { statusCode: 200, body: 'ended here' } }], {
            tls: { certificates: [{ secretName: 'ended' }] },
          }) +
          route('plain', ['plain.example'], [{ name: 'all', backendRefs: [{ name: 'plain' }] }]),
        'pass.yaml': route('pass', ['pass.example'], [{ name: 'all', backendRefs: [{ name: 'own' }] }], {
          tls: { mode: 'Passthrough' },
        }),
      },
      {
        settings: {
          listeners: [
            { name: 'http', address: '127.0.0.1', port: http },
            { name: 'https', address: '127.0.0.1', port: https, tls: {} },
          ],
        },
      },
    )
  })

  async function secured(servername: string): Promise<TLSSocket> {
    const socket = connect({
      port: https,
      host: '127.0.0.1',
      servername,
      ca: authority.ca,
      ALPNProtocols: ['http/1.1'],
    })
    scope.after(() => void socket.destroy())
    await once(socket, 'secureConnect')
    return socket
  }

  async function said(socket: TLSSocket, text: string): Promise<string> {
    socket.write(text)
    return String((await once(socket, 'data'))[0])
  }

  it('go to the backends of a passthrough host as they are, beside hosts whose TLS ends here', async () => {
    const passed = await secured('pass.example')
    assert.equal(await said(passed, 'hello'), 'own: hello')
    const ended = await secured('ended.example')
    assert.match(await said(ended, 'GET / HTTP/1.1\r\nhost: ended.example\r\n\r\n'), /200 OK.*ended here$/s)
    const misdirected = await secured('ended.example')
    assert.match(await said(misdirected, 'GET / HTTP/1.1\r\nhost: pass.example\r\n\r\n'), /^HTTP\/1\.1 421 /)
    passed.end()
    const line = await gateway.logged(({ protocol }) => protocol === 'TLS')
    assert.deepEqual(
      [line.host, line.route, line.rule, line.backend, line.reason],
      ['pass.example', 'default/pass', 'all', 'default/own', undefined],
    )
    assert.ok(Number(line.bytesIn) > 300 && Number(line.bytesOut) > 300)
  })

  it('get a redirect in clear text, as any host with TLS', async () => {
    const answer = await request(http, { host: 'pass.example', path: '/x?y' })
    assert.equal(answer.status, 308)
    assert.match(answer.header('location')!, /^https:\/\/pass\.example(:\d+)?\/x\?y$/)
  })

  it('go on through an edit that gives the host to another rule', async () => {
    const open = await secured('pass.example')
    assert.equal(await said(open, 'a'), 'own: a')
    const rules = [{ name: 'all', respond: { statusCode: 200, body: 'ended here, too' } }]
    await gateway.write(
      'pass.yaml',
      route('pass', ['pass.example'], rules, { tls: { certificates: [{ secretName: 'pass' }] } }),
    )
    await eventually(async () => {
      const socket = await secured('pass.example')
      assert.match(await said(socket, 'GET / HTTP/1.1\r\nhost: pass.example\r\n\r\n'), /200 OK.*too$/s)
    })
    assert.equal(await said(open, 'b'), 'own: b')
    open.destroy()
  })

  for (const method of ['GET', 'PUT'] as const)
    it(`of ${method} with 256 MiB take little memory`, {
      skip: process.platform !== 'linux' && 'reads /proc',
    }, async () => {
      const run = async (mebibytes: number): Promise<number> => {
        const headers = { host: 'plain.example', ...(method === 'PUT' && { 'content-length': mebibytes * MiB }) }
        const call = httpRequest({ port: http, host: '127.0.0.1', method, path: `/${mebibytes}`, headers })
        if (method === 'PUT') pour(call, mebibytes)
        else call.end()
        const [response] = (await once(call, 'response')) as [IncomingMessage]
        if (method === 'PUT') {
          let text = ''
          for await (const part of response) text += String(part)
          return Number(text)
        }
        let bytes = 0
        for await (const part of response) bytes += (part as Buffer).length
        return bytes / MiB
      }
      await run(64)
      const resident = (): number => {
        const status = readFileSync(`/proc/${gateway.process.pid}/status`, 'utf8')
        return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) / 1024
      }
      const base = resident()
      let most = base
      const timer = setInterval(() => (most = Math.max(most, resident())), 20)
      assert.equal(await run(256), 256)
      clearInterval(timer)
      // Measured: 3 MiB down and 30 up; the bound is what a body that is held would exceed, on any machine.
      assert.ok(most - base < 160, `${(most - base).toFixed(0)} MiB more`)
    })
})
