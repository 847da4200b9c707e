/** PROXY headers with a peer that others wrote: HAProxy before the gateway and behind it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { freePort } from '../../bench/lib/free-port.ts'
import { RawClient } from '../feature/raw-client.ts'
import { until } from '../socket/sockets.ts'
import { type InProcess, inProcess } from './in-process.ts'
import { settingsWith } from './test-plane.ts'

const HAPROXY = ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy'].find((path) => existsSync(path))

/** @param sections of its configuration */
async function haproxy(t: TestContext, ports: readonly number[], sections: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-haproxy-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'haproxy.cfg')
  const defaults = 'defaults\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n'
  writeFileSync(file, `global\n  maxconn 100\n${defaults}${sections}`)
  const child = spawn(HAPROXY!, ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (text: Buffer) => (said += text.toString()))
  const ended = new Promise((resolve) => child.once('exit', resolve))
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  for (const port of ports) {
    let open = false
    await until(() => {
      assert.equal(child.exitCode, null, said)
      if (!open)
        RawClient.connect(port).then(
          (client) => {
            open = true
            client.end()
          },
          () => {},
        )
      return open
    })
  }
}

async function throughGateway(t: TestContext, gateway: InProcess): Promise<string> {
  const client = await gateway.connect()
  t.after(() => client.end())
  const { text } = await client.request()
  assert.equal(text, `127.0.0.1:${client.socket.localPort} 127.0.0.1:${gateway.port}`)
  return text
}

describe('HAProxy', { skip: HAPROXY === undefined ? 'no haproxy on this machine' : false }, () => {
  for (const version of ['V1', 'V2'] as const)
    it(`reads the header of version ${version[1]} that a Backend gets`, async (t) => {
      const port = await freePort()
      const body = '"%[src]:%[src_port] %[dst]:%[dst_port]"'
      await haproxy(
        t,
        [port],
        `frontend f\n  mode http\n  bind 127.0.0.1:${port} accept-proxy\n  http-request return status 200 content-type text/plain lf-string ${body}\n`,
      )
      const gateway = await inProcess(t, {
        upstreams: [port],
        rules: { all: { backendRefs: [{ name: 'up', weight: 1, priority: 0 }], policies: { retry: { attempts: 5 } } } },
        backend: {
          connection: { connectTimeout: '2s', idleTimeout: '60s', maxRequestsPerConnection: 0, proxyProtocol: version },
        },
      })
      await throughGateway(t, gateway)
    })

  for (const sends of ['send-proxy', 'send-proxy-v2', 'send-proxy-v2 proxy-v2-options crc32c,authority,unique-id'])
    it(`is believed with ${sends}`, async (t) => {
      const gateway = await inProcess(t, {
        rules: { all: { respond: { statusCode: 200, contentType: 'text/plain', body: 'ok' } } as never },
      })
      await gateway.use(
        settingsWith([{ name: 'http', address: '127.0.0.1', port: 0, proxyProtocol: { trusted: ['127.0.0.1/32'] } }]),
      )
      const port = await freePort()
      await haproxy(
        t,
        [port],
        `listen l\n  mode tcp\n  bind 127.0.0.1:${port}\n  server s 127.0.0.1:${gateway.port} source 127.0.0.1 ${sends}\n`,
      )
      const client = await RawClient.connect(port, '127.0.0.1')
      assert.equal((await client.request()).text, 'ok')
      client.end()
      assert.deepEqual(
        gateway.log().map((line) => line.client),
        ['127.0.0.1'],
      )
      assert.deepEqual(
        gateway.proxyRefusals.filter((reason) => reason !== 'gone'),
        [],
      )
    })
})
