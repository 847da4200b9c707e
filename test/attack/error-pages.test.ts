/**
 * Error pages: what comes from clients and backends never becomes a part of a page, of a head, or of a later response.
 */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { closedPort, onHead, rawBackend } from '../feature/backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from '../feature/harness.ts'

const PAGE = '<p>%{path} %{header:x-evil} is away</p>'
const page = { codes: ['400-599'], source: 'Any', contentType: 'text/html', body: PAGE }
const rule = (name: string): object => ({
  name,
  matches: [{ path: { type: 'PathPrefix', value: `/${name}` } }],
  backendRefs: [{ name }],
})

/** Responses of a backend that wants its bytes to be read as something else. */
const HOSTILE: Readonly<Record<string, string>> = {
  hidden: 'HTTP/1.1 500 Oops\r\ncontent-length: 60\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstolen',
  behind: 'HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen',
  chunks: 'HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\ntrailer: x-a\r\n\r\n2\r\nok\r\n0\r\nx-a: b\r\n\r\n',
  broken: 'HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
  lengths: 'HTTP/1.1 500 Oops\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok',
  encoded: 'HTTP/1.1 500 Oops\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok',
}

describe('error pages under attack', () => {
  const scope = suiteScope()
  let gateway: Gateway
  before(async () => {
    let manifests = backend('gone', [await closedPort()])
    for (const [name, bytes] of Object.entries(HOSTILE)) {
      const { port } = await rawBackend(scope, (socket) => onHead(socket, () => void socket.write(bytes)))
      manifests += backend(name, [port])
    }
    const rules = ['gone', ...Object.keys(HOSTILE)].map(rule)
    gateway = await startGateway(scope, {
      'all.yaml': manifests + route('pages', ['pages.test'], rules, { policies: { errors: [page] } }),
    })
  })

  it('a page is sent as it stands, whatever the client sends', async () => {
    for (const path of ['/gone/%3Cscript%3E', '/gone/a?<b>', '/gone/%25%7Bpath%7D']) {
      const headers = { 'x-evil': '<script>', accept: 'application/json', 'accept-encoding': 'gzip' }
      const response = await gateway.request({ host: 'pages.test', path, headers })
      assert.equal(response.text, response.status === 400 ? response.text : PAGE)
      assert.doesNotMatch(response.text, /<script>|<b>/)
    }
  })

  for (const name of Object.keys(HOSTILE))
    it(`nothing of what a backend sends is read as the next response: ${name}`, async () => {
      const client = await gateway.connect()
      for (let i = 0; i < 3; i++) {
        const response = await client.request({ host: 'pages.test', path: `/${name}` })
        assert.equal(response.text, PAGE)
        assert.ok(response.status === 500 || response.status === 502)
        assert.equal(response.header('content-length'), String(PAGE.length))
        assert.equal(response.header('content-encoding'), undefined)
        assert.equal(response.header('trailer'), undefined)
      }
      client.end()
    })

  it('a client that asks for a part, or whether it changed, gets the page and its own status', async () => {
    const headers = { range: 'bytes=0-1', 'if-none-match': '*', 'if-modified-since': 'Mon, 01 Jan 2035 00:00:00 GMT' }
    const response = await gateway.request({ host: 'pages.test', path: '/gone', headers })
    assert.deepEqual([response.status, response.text], [502, PAGE])
  })

  it('a thousand refusals leave no connection and no exchange behind', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => gateway.connect()))
    await Promise.all(
      clients.map(async (client) => {
        for (let i = 0; i < 50; i++) {
          const response = await client.request({ host: 'pages.test', path: '/gone' })
          assert.equal(response.text, PAGE)
        }
        client.end()
      }),
    )
    await eventually(() =>
      assert.ok(
        gateway.accessLog.filter(({ path, reason }) => path === '/gone' && reason === 'ConnectFailure').length >= 1000,
      ),
    )
  })
})
