/** The program that `helm test` runs, against servers that answer as a gateway may. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { ROOT } from './helm.ts'

const PROGRAM = readFileSync(join(ROOT, 'helm/headgate/files/test.js'), 'utf8')
const NOT_FOUND = 'HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'
/** A record of one fatal alert, RFC 8446 section 6. */
const alert = (description: number): Buffer => Buffer.from([0x15, 3, 3, 0, 2, 2, description])
const UNRECOGNIZED_NAME = 112
const HANDSHAKE_FAILURE = 40

async function listening(t: TestContext, accept: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    accept(socket)
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

const onFirstBytes = (answer: string | Buffer) => (socket: Socket) => void socket.once('data', () => socket.end(answer))

function run(...ports: readonly string[]): Promise<{ code: unknown; output: string }> {
  const env = { ...process.env, SERVICE: 'gate-way', GATE_WAY_SERVICE_HOST: '127.0.0.1', PORTS: ports.join(' ') }
  return new Promise((resolve) => {
    execFile(process.execPath, ['-e', PROGRAM], { env, timeout: 30_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, output: stdout + stderr })
    })
  })
}

describe('helm test', () => {
  it('is content with any answer on every port', async (t) => {
    const port = await listening(t, onFirstBytes(NOT_FOUND))
    const { code, output } = await run(`http://${port}`, `http://${port}`)
    assert.equal(output, `http://127.0.0.1:${port}: status 404\n`.repeat(2))
    assert.equal(code, 0)
  })

  it('is content where there is no certificate yet, whether the alert is read or overtakes the ClientHello', async (t) => {
    const read = await listening(t, onFirstBytes(alert(UNRECOGNIZED_NAME)))
    const overtaken = await listening(t, (socket) => socket.end(alert(UNRECOGNIZED_NAME)))
    const { code, output } = await run(`https://${read}`, `https://${overtaken}`)
    const lines = [read, overtaken].map((port) => `https://127.0.0.1:${port}: no certificate yet\n`)
    assert.equal(output, lines.join(''))
    assert.equal(code, 0)
  })

  it('fails on another alert, a connection that ends and one that is refused, and says why', async (t) => {
    const fails = async (entry: string, reason: RegExp) => {
      const { code, output } = await run(entry)
      assert.equal(code, 1, output)
      assert.match(output, reason)
    }
    await fails(`https://${await listening(t, onFirstBytes(alert(HANDSHAKE_FAILURE)))}`, /handshake failure/)
    await fails(`http://${await listening(t, (socket) => socket.destroy())}`, /socket hang up|ECONNRESET/)
    await fails('http://1', /ECONNREFUSED/)
  })
})
