import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { stringify } from 'yaml'
import { ApiError } from '../../../src/source/kubernetes/api-error.ts'
import { KubernetesClient } from '../../../src/source/kubernetes/client.ts'
import { KubeConfigCredentials } from '../../../src/source/kubernetes/kube-config.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { authority, issue } from './certificate.ts'
import { FakeApi } from './fake-api.ts'

const ROUTES = '/apis/headgate.dev/v1alpha1/routes'
const root = authority('root')
const base64 = (text: string) => Buffer.from(text).toString('base64')

describe('a kubeconfig', () => {
  let folder: string
  let api: FakeApi

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headgate-kubeconfig-'))
    api = await new FakeApi({ tls: issue(root, 'api') }).listen()
  })
  after(async () => {
    await api.kill()
    await rm(folder, { recursive: true })
  })

  async function write(cluster: object, user: object, context: object = {}): Promise<string> {
    const file = join(folder, `config-${Math.random()}`)
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'here',
      contexts: [
        { name: 'here', context: { cluster: 'c', user: 'u', ...context } },
        { name: 'elsewhere', context: { cluster: 'missing', user: 'u' } },
      ],
      clusters: [{ name: 'c', cluster: { server: api.url, ...cluster } }],
      users: [{ name: 'u', user }],
    }
    await writeFile(file, stringify(config))
    return file
  }

  async function list(file: string, context?: string): Promise<string> {
    const credentials = new KubeConfigCredentials({
      file,
      time: systemTimers,
      ...(context !== undefined && { context }),
    })
    const client = new KubernetesClient(credentials, systemTimers)
    try {
      const { resourceVersion } = await client.list(ROUTES, {}, { item: () => {} }, new AbortController().signal)
      return resourceVersion
    } finally {
      await client.close()
    }
  }

  async function refusal(listed: Promise<unknown>): Promise<ApiError> {
    const error = await listed.then(
      () => assert.fail('it was not refused'),
      (error: unknown) => error,
    )
    assert.ok(error instanceof ApiError, String(error))
    return error
  }

  const ca = { 'certificate-authority-data': base64(root.cert) }

  it('provides server, CA, token and namespace', async () => {
    api.tokens = new Set(['from-file'])
    const file = await write(ca, { token: 'from-file' }, { namespace: 'shop' })
    assert.equal(await list(file), '1000')
    const credentials = new KubeConfigCredentials({ file, time: systemTimers })
    assert.equal(await credentials.namespace(), 'shop')
    api.tokens = undefined
  })

  it('provides a client certificate', async () => {
    const client = issue(root, 'kubernetes-admin')
    const file = await write(ca, {
      'client-certificate-data': base64(client.cert),
      'client-key-data': base64(client.key),
    })
    const credentials = new KubeConfigCredentials({ file, time: systemTimers })
    const { tls, headers } = await credentials.access()
    assert.deepEqual(tls, { ca: root.cert, cert: client.cert, key: client.key })
    assert.deepEqual(headers, {})
    assert.equal(await list(file), '1000')
  })

  it('calls an exec plugin, and again after a 401', async () => {
    const plugin = join(folder, 'plugin')
    const count = join(folder, 'count')
    const credential = { apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential' }
    await writeFile(count, '')
    await writeFile(
      plugin,
      `#!/bin/sh\nprintf x >> ${count}\nprintf '%s' '${JSON.stringify(credential).slice(0, -1)},"status":{"token":"t'$(wc -c < ${count} | tr -d ' ')'"}}'\n`,
    )
    await chmod(plugin, 0o755)
    const exec = { apiVersion: credential.apiVersion, command: plugin, interactiveMode: 'Never' }
    const file = await write(ca, { exec })
    const credentials = new KubeConfigCredentials({ file, time: systemTimers })
    const client = new KubernetesClient(credentials, systemTimers)
    const signal = new AbortController().signal
    api.tokens = new Set(['t1'])
    await client.list(ROUTES, {}, { item: () => {} }, signal)
    api.tokens = new Set(['t2'])
    await client.list(ROUTES, {}, { item: () => {} }, signal)
    await client.list(ROUTES, {}, { item: () => {} }, signal)
    assert.equal((await credentials.access()).headers.authorization, 'Bearer t2')
    api.tokens = undefined
    await client.close()
  })

  it('supports an HTTP proxy', async () => {
    const through: string[] = []
    const proxy = createServer()
    proxy.on('connect', ({ url = '' }, socket) => {
      through.push(url)
      const upstream = connect(Number(url.slice(url.indexOf(':') + 1)), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        socket.pipe(upstream).pipe(socket)
      })
      upstream.on('error', () => socket.destroy())
      socket.on('error', () => upstream.destroy())
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    const { port } = proxy.address() as AddressInfo
    assert.equal(await list(await write({ ...ca, 'proxy-url': `http://127.0.0.1:${port}` }, {})), '1000')
    assert.deepEqual(through, [new URL(api.url).host])
    proxy.closeAllConnections()
    await new Promise((resolve) => proxy.close(resolve))
  })

  for (const [what, cluster, message] of [
    ['a missing CA', {}, /certificate/],
    ['an invalid CA', { 'certificate-authority-data': base64('garbage') }, /./],
    ['an invalid server address', { server: 'ftp://example' }, /has no server for its context "here"/],
    ['an unsupported kind of proxy', { ...ca, 'proxy-url': 'socks5://127.0.0.1:1' }, /use an HTTP proxy/],
  ] as const)
    it(`with ${what} is rejected with an ApiError`, async () => {
      const error = await refusal(list(await write(cluster, {})))
      assert.match(error.message, message)
    })

  it('that is missing, invalid, or lacks the requested context is rejected with NoCredentials', async () => {
    const broken = join(folder, 'broken')
    await writeFile(broken, '{{{')
    for (const [file, context] of [
      [join(folder, 'missing'), undefined],
      [broken, undefined],
      [await write(ca, {}), 'elsewhere'],
    ] as const)
      assert.equal((await refusal(list(file, context))).reason, 'NoCredentials')
  })

  it('without verification needs no CA, and with plain HTTP no TLS', async () => {
    assert.equal(await list(await write({ 'insecure-skip-tls-verify': true }, {})), '1000')
    const plain = await new FakeApi().listen()
    assert.equal(await list(await write({ server: plain.url }, {})), '1000')
    await plain.kill()
  })

  it('alone loads the large client library', () => {
    const folderUrl = new URL('../../../src/source/kubernetes/', import.meta.url)
    const script = `
      for (const file of ['kubernetes-source', 'client', 'in-cluster', 'kube-config', 'credentials'])
        await import(new URL(file + '.ts', ${JSON.stringify(folderUrl.href)}))
      const { registerHooks } = await import('node:module')
      const seen = []
      registerHooks({ resolve: (specifier, context, next) => (seen.push(specifier), next(specifier, context)) })
      const { KubeConfigCredentials } = await import(new URL('kube-config.ts', ${JSON.stringify(folderUrl.href)}))
      const none = seen.includes('@kubernetes/client-node')
      await new KubeConfigCredentials({ file: '/nonexistent', time: { monotonic: () => 0, after: () => () => {} } }).access().catch(() => {})
      console.log(JSON.stringify([none, seen.includes('@kubernetes/client-node')]))`
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
    assert.deepEqual(JSON.parse(out), [false, true])
  })
})
