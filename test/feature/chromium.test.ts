/** A real browser: WebSockets over HTTP/2 and HTTP/1.1, and an event stream, through the gateway with TLS. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { it } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { TestAuthority } from '../lib/certificates.ts'
import type { Scope } from '../worker/test-plane.ts'
import { toUp } from '../worker/test-plane.ts'
import { tlsRig } from '../worker/tls-rig.ts'

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
)

/** Headless, told by its own protocol what to do (DevTools), with a page that is empty. */
async function browser(t: Scope, args: readonly string[]): Promise<(expression: string) => Promise<unknown>> {
  const profile = await mkdtemp(join(tmpdir(), 'headgate-chromium-'))
  const child = spawn(
    CHROMIUM!,
    ['--headless', '--no-sandbox', '--disable-gpu', '--remote-debugging-port=0', `--user-data-dir=${profile}`, ...args],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const exited = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGKILL')
    await exited
    await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  })
  let port = ''
  for await (const line of createInterface({ input: child.stderr }))
    if ((port = /^DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)\//.exec(line)?.[1] ?? '') !== '') break
  child.stderr.resume()
  const pages = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as {
    readonly type: string
    readonly webSocketDebuggerUrl: string
  }[]
  const tools = new WebSocket(pages.find(({ type }) => type === 'page')!.webSocketDebuggerUrl, {
    perMessageDeflate: false,
  })
  t.after(() => tools.terminate())
  await once(tools, 'open')
  const calls = new Map<number, (result: unknown) => void>()
  tools.on('message', (data: Buffer) => {
    const { id, result } = JSON.parse(data.toString()) as { readonly id?: number; readonly result?: unknown }
    if (id !== undefined) calls.get(id)?.(result)
  })
  const call = (method: string, params: object): Promise<unknown> =>
    new Promise((resolve) => {
      const id = calls.size + 1
      calls.set(id, resolve)
      tools.send(JSON.stringify({ id, method, params }))
    })
  return async (expression) => {
    if (expression.startsWith('https://')) {
      await call('Page.enable', {})
      return await call('Page.navigate', { url: expression })
    }
    const answer = (await call('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true })) as {
      readonly result: { readonly value?: unknown }
      readonly exceptionDetails?: object
    }
    if (answer.exceptionDetails !== undefined) throw new Error(JSON.stringify(answer.exceptionDetails))
    return answer.result.value
  }
}

it('a browser opens WebSockets over HTTP/2 and reads events as they come', {
  skip: CHROMIUM === undefined && 'Chromium is missing: apt-get install chromium',
}, async (t) => {
  const authority = new TestAuthority()
  const server = createServer((request, response) => {
    if (request.url === '/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const event of [1, 2]) response.write(`data: ${event}\n\n`)
    } else response.writeHead(200, { 'content-type': 'text/html' }).end('<title>page</title>')
  })
  const sockets = new WebSocketServer({ server, handleProtocols: () => 'chat' })
  sockets.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data as Buffer, { binary })))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets.clients) socket.terminate()
    server.close()
    server.closeAllConnections()
  })
  const rig = await tlsRig(t, {
    upstreams: [(server.address() as AddressInfo).port],
    defaultSecret: 'w',
    rules: toUp({ retry: { attempts: 0 } }),
  })
  rig.secret('w', authority.server('w.test'))
  const run = await browser(t, ['--ignore-certificate-errors', '--host-resolver-rules=MAP w.test 127.0.0.2'])
  const origin = `https://w.test:${rig.tlsPort}`
  await run(`${origin}/`)
  const title = `new Promise((done) => { const look = () => document.title === 'page' ? done(1) : setTimeout(look, 20); look() })`
  assert.equal(await run(title), 1)
  const echoed = await run(`new Promise((done, fail) => {
      const socket = new WebSocket('${origin.replace('https', 'wss')}/chat', ['chat'])
      socket.onopen = () => socket.send('x'.repeat(100000))
      socket.onmessage = ({ data }) => { socket.onclose = ({ code }) => done([data.length, socket.protocol, code]); socket.close(4001) }
      socket.onerror = () => fail(new Error('it failed'))
    })`)
  assert.deepEqual(echoed, [100_000, 'chat', 4001])
  const events = await run(`new Promise((done) => {
      const seen = []
      const source = new EventSource('/events')
      source.onmessage = ({ data }) => { seen.push(data); if (seen.length === 2) { source.close(); done(seen) } }
    })`)
  assert.deepEqual(events, ['1', '2'])
  const lines = rig.log()
  const tunnel = lines.find(({ path }) => path === '/chat')
  assert.deepEqual([tunnel!.protocol, tunnel!.status, tunnel!.reason], ['HTTP/2', 101, undefined])
})
