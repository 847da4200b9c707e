import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, mock } from 'node:test'
import { ApiError } from '../../../src/source/kubernetes/api-error.ts'
import { KubernetesClient } from '../../../src/source/kubernetes/client.ts'
import { StaticCredentials } from '../../../src/source/kubernetes/credentials.ts'
import { InClusterCredentials, inClusterServer, podNamespace } from '../../../src/source/kubernetes/in-cluster.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { route } from '../../suite/source.ts'
import { authority, issue } from './certificate.ts'
import { FakeApi, type FakeApiOptions, fail } from './fake-api.ts'

const ROUTES = '/apis/headgate.dev/v1alpha1/namespaces/shop/routes'
const JSON_HEAD = { 'content-type': 'application/json' }
const never = new AbortController().signal

async function withApi(run: (api: FakeApi) => Promise<void>, options: FakeApiOptions = {}): Promise<void> {
  const api = await new FakeApi(options).listen()
  try {
    await run(api)
  } finally {
    await api.kill()
  }
}

async function withClient(
  run: (client: KubernetesClient, api: FakeApi) => Promise<void>,
  options: ConstructorParameters<typeof KubernetesClient>[2] = {},
): Promise<void> {
  await withApi(async (api) => {
    const client = new KubernetesClient(
      new StaticCredentials(api.url, { authorization: 'Bearer very-secret' }),
      systemTimers,
      options,
    )
    try {
      await run(client, api)
    } finally {
      await client.close()
    }
  })
}

async function refusal(call: Promise<unknown>): Promise<ApiError> {
  const error = await call.then(
    () => assert.fail('it was not refused'),
    (error: unknown) => error,
  )
  assert.ok(error instanceof ApiError, String(error))
  assert.doesNotMatch(JSON.stringify([error.message, error.stack, error.reason]), /very-secret/)
  return error
}

const sink = { item: () => {} }

describe('a client of the API server', () => {
  it('gets, creates, applies, patches the status, updates and deletes', () =>
    withClient(async (client, api) => {
      const path = `${ROUTES}/a`
      await client.create(ROUTES, route('a'))
      const created = (await client.get(path)) as { metadata: { generation: number; resourceVersion: string } }
      assert.equal(created.metadata.generation, 1)
      await client.apply(path, route('a', 'applied'), { fieldManager: 'headgate', force: true })
      assert.match(JSON.stringify(api.get(route('a'))), /applied/)
      await client.mergePatch(`${path}/status`, { status: { rules: 3 } })
      assert.deepEqual(api.get(route('a'))?.status, { rules: 3 })
      await client.update(path, route('a', 'replaced'))
      assert.match(JSON.stringify(api.get(route('a'))), /replaced/)
      await client.delete(path)
      assert.equal((await refusal(client.get(path))).reason, 'NotFound')
      const apply = api.asked.find(({ query }) => query.has('fieldManager'))!
      assert.equal(apply.request.url, `${path}?fieldManager=headgate&force=true`)
      assert.equal(apply.request.headers['content-type'], 'application/apply-patch+yaml')
      assert.equal(apply.request.headers['user-agent'], 'headgate')
    }))

  it('reports status, reason and Retry-After of an error response', () =>
    withClient(async (client, api) => {
      await client.create(ROUTES, route('a'))
      assert.equal((await refusal(client.create(ROUTES, route('a')))).reason, 'AlreadyExists')
      const stale = { ...route('a'), metadata: { name: 'a', namespace: 'shop', resourceVersion: '1' } }
      const conflict = await refusal(client.update(`${ROUTES}/a`, stale))
      assert.deepEqual([conflict.status, conflict.reason], [409, 'Conflict'])
      api.intercept = (_, response) => {
        fail(response, 429, 'TooManyRequests', 'line one\nline two\u2028\u001b[31m', { 'retry-after': '3' })
        return true
      }
      const busy = await refusal(client.get(`${ROUTES}/a`))
      assert.deepEqual(
        [busy.status, busy.reason, busy.retryAfter, busy.message],
        [429, 'TooManyRequests', 3_000, 'line one line two [31m'],
      )
    }))

  it('handles an error body that is not a Status, too long or truncated', () =>
    withClient(async (client, api) => {
      api.intercept = (_, response) => {
        response.writeHead(502, { 'content-type': 'text/html' }).end('x'.repeat(1_000_000))
        return true
      }
      const long = await refusal(client.get(ROUTES))
      assert.equal(long.status, 502)
      assert.ok(long.message.length < 500)
      api.intercept = (_, response) => {
        response.writeHead(500, { ...JSON_HEAD, 'content-length': '1000' }).write('{"kind":"Status","mess')
        setTimeout(() => response.destroy(), 20)
        return true
      }
      assert.equal((await refusal(client.get(ROUTES))).status, 500)
    }))

  it('follows no redirect, which could leak the token', () =>
    withClient(async (client, api) => {
      api.intercept = (_, response) => {
        response.writeHead(302, { location: `${api.url}${ROUTES}/a` }).end()
        return true
      }
      assert.equal((await refusal(client.get(ROUTES))).status, 302)
      assert.equal(api.asked.length, 1)
    }))

  it('bounds the wait for the head', () =>
    withClient(
      async (client, api) => {
        api.intercept = () => true
        const { reason, message } = await refusal(client.get(ROUTES))
        assert.deepEqual([reason, message], ['TimedOut', 'Headers Timeout Error'])
      },
      { times: { head: 100, body: 60_000 } },
    ))

  it('bounds the wait for each part of the body', () =>
    withClient(
      async (client, api) => {
        api.intercept = (_, response) => {
          response.writeHead(200, JSON_HEAD).write('{')
          return true
        }
        const { reason, message } = await refusal(client.get(ROUTES))
        assert.deepEqual([reason, message], ['TimedOut', 'Body Timeout Error'])
      },
      { times: { head: 60_000, body: 100 } },
    ))

  it('bounds the whole response when it trickles', () =>
    withClient(
      async (client, api) => {
        api.intercept = (_, response) => {
          response.writeHead(200, JSON_HEAD)
          const drip = setInterval(() => response.write(' '), 10)
          response.on('close', () => clearInterval(drip))
          return true
        }
        const dripped = await refusal(client.list(ROUTES, {}, sink, never))
        assert.deepEqual([dripped.reason, dripped.message], ['TimedOut', 'no end of the answer within 0.2 s'])
      },
      { times: { response: 200 } },
    ))

  it('does not bound the silence of a watch', () =>
    withClient(
      async (client) => {
        const end = new AbortController()
        const watch = client.watch(
          ROUTES,
          { resourceVersion: '1', timeoutSeconds: 300 },
          { line: () => {} },
          end.signal,
        )
        const early = await Promise.race([
          watch.then(() => 'ended'),
          new Promise((resolve) => setTimeout(resolve, 400)),
        ])
        assert.equal(early, undefined)
        end.abort()
        assert.equal((await refusal(watch)).reason, 'Aborted')
      },
      { times: { head: 100, body: 100, response: 200 } },
    ))

  it('times out when a connection cannot be established, and reports a refused one', async () => {
    // Listens with a full backlog: further connections get no response.
    const server = createServer()
    await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, resolve))
    const { port } = server.address() as { port: number }
    await new Promise((resolve) => server.close(resolve))
    const client = new KubernetesClient(new StaticCredentials(`http://127.0.0.1:${port}`), systemTimers, {
      times: { connect: 200 },
    })
    const error = await refusal(client.get(ROUTES))
    assert.equal(error.reason, 'Unreachable')
    assert.match(error.message, /ECONNREFUSED/)
    await client.close()
  })

  it('enables TCP keep-alive', async () => {
    const asked = mock.method(Socket.prototype, 'setKeepAlive')
    try {
      await withClient(async (client) => {
        await client.list(ROUTES, {}, sink, never)
      })
      assert.deepEqual(asked.mock.calls[0]?.arguments, [true, 15_000])
    } finally {
      asked.mock.restore()
    }
  })

  it('reuses a connection, and retries once when the server has closed it', () =>
    withClient(async (client, api) => {
      await client.list(ROUTES, {}, sink, never)
      await client.list(ROUTES, {}, sink, never)
      assert.equal(api.connections, 1)
      let resets = 0
      api.intercept = (asked) => {
        if (resets++ > 0) return false
        asked.request.socket.resetAndDestroy()
        return true
      }
      await client.list(ROUTES, {}, sink, never)
      assert.equal(resets, 2)
      // A write may have been applied, so it is not retried.
      resets = 0
      assert.equal((await refusal(client.create(ROUTES, route('a')))).reason, 'Unreachable')
      assert.equal(resets, 1)
    }))

  it('bounds concurrent lists, and drops cancelled ones', () =>
    withClient(
      async (client, api) => {
        const held: (() => void)[] = []
        let most = 0
        let now = 0
        api.intercept = (_, response) => {
          most = Math.max(most, ++now)
          held.push(() => {
            now--
            response.writeHead(200, JSON_HEAD).end('{"metadata":{"resourceVersion":"1"},"items":[]}')
          })
          return true
        }
        const gone = new AbortController()
        const lists = Array.from({ length: 6 }, (_, i) =>
          client.list(ROUTES, {}, sink, i === 3 ? gone.signal : never).then(
            () => 'listed',
            (error: ApiError) => error.reason,
          ),
        )
        gone.abort()
        let answered = 0
        while (answered < 5) {
          while (held.length === 0) await new Promise((resolve) => setTimeout(resolve, 2))
          held.shift()!()
          answered++
        }
        assert.deepEqual(await Promise.all(lists), ['listed', 'listed', 'listed', 'Aborted', 'listed', 'listed'])
        assert.equal(most, 2)
      },
      { lists: 2 },
    ))

  it('aborts all requests when it is closed, and starts none afterwards', () =>
    withClient(async (client, api) => {
      const watch = client.watch(ROUTES, { resourceVersion: '1', timeoutSeconds: 300 }, { line: () => {} }, never)
      while (api.openWatches.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      await client.close()
      assert.equal((await refusal(watch)).reason, 'Unreachable')
      assert.equal((await refusal(client.get(ROUTES))).reason, 'Aborted')
    }))

  it('supports a path prefix of the API', () =>
    withApi(async (api) => {
      const client = new KubernetesClient(new StaticCredentials(`${api.url}/clusters/c-1/`), systemTimers)
      assert.equal((await refusal(client.get(ROUTES))).status, 404)
      await client.close()
    }))
})

describe('credentials in a cluster', () => {
  async function mounted(
    run: (pod: {
      folder: string
      write(file: 'token' | 'ca.crt' | 'namespace', text: string): Promise<void>
      credentials(url: string): InClusterCredentials
      advance(milliseconds: number): void
    }) => Promise<void>,
  ): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-pod-'))
    let time = 0
    try {
      await run({
        folder,
        write: (file, text) => writeFile(join(folder, file), text),
        credentials: (url) => {
          const { hostname, port } = new URL(url)
          const environment = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port }
          return new InClusterCredentials({ environment, folder, now: () => time })
        },
        advance: (milliseconds) => {
          time += milliseconds
        },
      })
    } finally {
      await rm(folder, { recursive: true })
    }
  }

  const root = authority('first')
  const other = authority('second')

  it('come from the environment and the mounted files, also with IPv6', async () => {
    assert.equal(inClusterServer({}), undefined)
    assert.equal(inClusterServer({ KUBERNETES_SERVICE_HOST: '10.96.0.1' }), undefined)
    const six = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' }
    assert.equal(inClusterServer(six), 'https://[fd00::1]:443')
    await mounted(async ({ folder, write }) => {
      assert.equal(await podNamespace(folder), undefined)
      await write('namespace', 'headgate\n')
      assert.equal(await podNamespace(folder), 'headgate')
    })
  })

  it('are read again after a minute; invalid files leave the last good ones in use', () =>
    mounted(async ({ write, credentials, advance }) => {
      await write('ca.crt', root.cert)
      const pod = credentials('https://127.0.0.1:1')
      await assert.rejects(pod.access(), /token cannot be read; the pod needs a ServiceAccount/)
      await write('token', 'one\n')
      const first = await pod.access()
      assert.deepEqual(first, {
        server: 'https://127.0.0.1:1',
        tls: { ca: root.cert.trim() },
        headers: { authorization: 'Bearer one' },
      })
      await write('token', 'two')
      advance(59_000)
      assert.equal(await pod.access(), first)
      advance(1_000)
      assert.equal((await pod.access()).headers.authorization, 'Bearer two')
      for (const broken of ['', 'two\nlines', 'null\u0000byte']) {
        await write('token', broken)
        advance(60_000)
        assert.equal((await pod.access()).headers.authorization, 'Bearer two')
      }
      const half = `${root.cert}${other.cert.slice(0, 200)}`
      for (const broken of ['', 'no certificate', half, root.cert.replace('M', '!')]) {
        await write('ca.crt', broken)
        advance(60_000)
        assert.equal((await pod.access()).tls.ca, root.cert.trim())
      }
    }))

  it('are read again at once after a 401, and used as soon as they differ', () =>
    mounted(async ({ write, credentials }) => {
      await write('ca.crt', root.cert)
      await write('token', 'old')
      await withApi(
        async (api) => {
          api.tokens = new Set(['new'])
          const client = new KubernetesClient(credentials(api.url), systemTimers)
          const refused = await refusal(client.list(ROUTES, {}, sink, never))
          assert.equal(refused.status, 401)
          assert.equal(api.asked.length, 1, 'the same token is not tried twice')
          await write('token', 'new')
          await client.list(ROUTES, {}, sink, never)
          assert.equal(api.asked.length, 3)
          await client.close()
        },
        { tls: issue(root, 'api') },
      )
    }))

  it('12. use one connection pool, and another only when the bytes of the CA change', () =>
    mounted(async ({ write, credentials, advance }) => {
      await write('ca.crt', root.cert)
      await write('token', 'one')
      await withApi(
        async (api) => {
          const client = new KubernetesClient(credentials(api.url), systemTimers)
          const end = new AbortController()
          const query = { resourceVersion: '1000', timeoutSeconds: 300 }
          let events = 0
          const line = () => {
            events++
          }
          const watch = client.watch(ROUTES, query, { line }, end.signal)
          await client.list(ROUTES, {}, sink, never)
          const before = api.connections
          await write('token', 'two')
          advance(60_000)
          await client.list(ROUTES, {}, sink, never)
          assert.deepEqual([client.dispatchers, api.connections], [1, before], 'a token needs no connection')
          // Rotation: both CAs at first, then only the new one.
          await write('ca.crt', root.cert + other.cert)
          advance(60_000)
          await client.list(ROUTES, {}, sink, never)
          assert.equal(client.dispatchers, 2, 'the watch runs on where it began')
          api.put(route('seen'))
          while (events === 0) await new Promise((resolve) => setTimeout(resolve, 5))
          await write('ca.crt', other.cert)
          advance(60_000)
          const distrusted = await refusal(client.list(ROUTES, {}, sink, never))
          assert.deepEqual([distrusted.status, distrusted.reason], [0, 'Unreachable'])
          assert.match(distrusted.message, /certificate/)
          end.abort()
          await refusal(watch)
          while (client.dispatchers > 1) await new Promise((resolve) => setTimeout(resolve, 5))
          await client.close()
        },
        { tls: issue(root, 'api') },
      )
    }))
})
