/** Purges by the admin API: objects in, purges in, what the origin is asked for out; and the cache filled ahead. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { runCache } from '../../src/cli/cache.ts'
import { parseCommand } from '../../src/cli/parse.ts'
import { httpBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'

const HOST = 'shop.example'

describe('purges of the cache', () => {
  const scope = suiteScope()
  const asked: string[] = []
  let gateway: Gateway
  /** Responses of the origin that wait. */
  const held: (() => void)[] = []
  let folder = ''

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'headgate-purge-'))
    scope.after(() => rm(folder, { recursive: true }))
    await writeFile(join(folder, 'token'), 'token-of-the-feature-test', { mode: 0o600 })
    const origin = await httpBackend(scope, async (request, response) => {
      asked.push(`${request.method} ${request.url}${request.headers['if-none-match'] === undefined ? '' : ' again'}`)
      if (request.url === '/a/slow') await new Promise<void>((resolve) => held.push(resolve))
      if (request.headers['if-none-match'] === '"1"') response.writeHead(304, { etag: '"1"' }).end()
      else
        response
          .writeHead(200, {
            'cache-control': 'max-age=600',
            etag: '"1"',
            'surrogate-key': `all ${request.url?.slice(1, 2)}`,
          })
          .end(`body of ${request.url}`)
    })
    const rules = ['a', 'b'].map((name) => ({
      name,
      matches: [{ path: { value: `/${name}` } }],
      backendRefs: [{ name: 'origin' }],
      policies: { cache: { tags: { header: 'surrogate-key' } } },
    }))
    const admin = { tokenFile: join(folder, 'token') }
    gateway = await startGateway(
      scope,
      { 'a.yaml': backend('origin', [origin.port]) + route('web', [HOST], rules) },
      { settings: { admin, stateDirectory: join(folder, 'state') }, workers: 2 },
    )
  })

  async function headgate(...argv: string[]): Promise<string> {
    const { text, code } = await attempt(...argv)
    assert.equal(code, 0, text)
    return text
  }

  async function attempt(...argv: string[]): Promise<{ readonly text: string; readonly code: number }> {
    const command = parseCommand(['cache', ...argv, '--admin', `127.0.0.1:${gateway.adminPort}`])
    assert.ok(command.name === 'cache', JSON.stringify(command))
    let text = ''
    const code = await runCache(command, {
      out: (more) => (text += more),
      err: (more) => (text += more),
      environment: { HEADGATE_ADMIN_TOKEN: 'token-of-the-feature-test' },
      read: () => assert.fail('no file is read'),
      pause: () => {},
    })
    return { text, code }
  }

  /** What the origin is asked for by requests of each path, from several connections, so that both workers serve. */
  async function originSees(paths: readonly string[]): Promise<string[]> {
    asked.length = 0
    for (const path of paths)
      for (let i = 0; i < 4; i++) {
        const { status, text } = await gateway.request({ path, host: HOST, headers: { connection: 'close' } })
        assert.deepEqual([status, text], [200, `body of ${path}`])
      }
    return [...asked]
  }

  const PATHS = ['/a', '/a/1', '/a/1?q=1', '/b/1']

  it('by URL, prefix, tag, rule and all, softly and not, in all workers before the answer', async () => {
    assert.deepEqual(
      await originSees(PATHS),
      PATHS.map((path) => `GET ${path}`),
    )
    assert.deepEqual(await originSees(PATHS), [])
    const purges: readonly [argv: readonly string[], seen: readonly string[]][] = [
      [[`http://${HOST}/a/1`], ['GET /a/1']],
      [
        ['--prefix', `http://${HOST}/a/1`],
        ['GET /a/1', 'GET /a/1?q=1'],
      ],
      [['--tag', 'b', '--namespace', 'default'], ['GET /b/1']],
      [
        ['--route', 'web', '--rule', 'a', '--namespace', 'default'],
        ['GET /a', 'GET /a/1', 'GET /a/1?q=1'],
      ],
      [['--all', '--namespace', 'default'], PATHS.map((path) => `GET ${path}`)],
      [['--tag', 'b', '--namespace', 'default', '--soft'], ['GET /b/1 again']],
    ]
    for (const [argv, seen] of purges) {
      assert.match(await headgate('purge', ...argv), /in 1 of 1 replicas/)
      assert.deepEqual(await originSees(PATHS), seen, argv.join(' '))
    }
  })

  it('says that nothing here has a name, and purges it all the same', async () => {
    const attempts: readonly [argv: readonly string[], said: RegExp][] = [
      [['--all', '--namespace', 'other'], /No rule of namespace other is served here\./],
      [['--tag', 'b', '--namespace', 'other'], /No rule of namespace other is served here\./],
      [
        ['--route', 'wbe', '--namespace', 'default'],
        /There is no Route default\/wbe with a rule that is served here\./,
      ],
      [
        ['--route', 'web', '--rule', 'c', '--namespace', 'default'],
        /Route default\/web has no rule c that is served here/,
      ],
      [
        ['http://other.example/a', '--namespace', 'default'],
        /No rule of namespace default has the host other\.example\./,
      ],
      [['--prefix', 'other.example', '--namespace', 'default'], /No rule of namespace default has the host other/],
    ]
    for (const [argv, said] of attempts) {
      const purged = await attempt('purge', ...argv)
      assert.match(purged.text, said)
      assert.match(purged.text, /^Purged: /m)
      assert.equal(purged.code, 1, argv.join(' '))
      const shown = await attempt('show', ...argv)
      assert.match(shown.text, said)
      assert.equal(shown.code, 1)
    }
    for (const argv of [
      ['--tag', 'never-seen', '--namespace', 'default'],
      ['--route', 'default/web', '--namespace', 'default'],
      [`http://${HOST}/nothing`, '--namespace', 'default'],
    ])
      assert.equal((await attempt('purge', ...argv)).code, 0, argv.join(' '))
    await gateway.write(
      'gone.yaml',
      route('gone', ['gone.example'], [{ name: 'a', backendRefs: [{ name: 'origin' }] }]),
    )
    await eventually(async () =>
      assert.equal((await attempt('purge', '--route', 'gone', '--namespace', 'default')).code, 0),
    )
  })

  it('a response that was under way is not served to those who come behind the purge', async () => {
    asked.length = 0
    const ask = () => gateway.request({ path: '/a/slow', host: HOST, headers: { connection: 'close' } })
    const before = ask()
    await eventually(() => assert.equal(held.length, 1))
    await headgate('purge', `http://${HOST}/a/slow`)
    const behind = ask()
    held[0]!()
    await before
    await eventually(() => assert.equal(held.length, 2))
    held[1]!()
    assert.equal((await behind).text, 'body of /a/slow')
    assert.deepEqual(asked, ['GET /a/slow', 'GET /a/slow'])
  })

  it('shows what is stored, and counts it', async () => {
    await originSees(PATHS)
    const shown = await headgate('show', `http://${HOST}/a/1?q=1`)
    assert.match(
      shown,
      /^STATE .*\nfresh +200 +16 .* GET http:\/\/shop\.example(:\d+)?\/a\/1\?q=1; namespace default; .*\n$/,
    )
    assert.equal(
      (await headgate('show', '--tag', 'all', '--namespace', 'default')).split('\n').length,
      PATHS.length + 3,
    )
    const counted = await headgate('stats')
    assert.match(counted, /hits +\d+\.\d % of requests/)
    assert.match(counted, /hit: Memory/)
    assert.match(counted, /purges +kept: File/)
  })

  it('fills it from a list', async () => {
    const urls = ['/a/new', '/b/new', '/a'].map((path) => `http://${HOST}${path}`)
    await originSees(['/a'])
    assert.match(
      await headgate('warm', ...urls, '--rate', '1000'),
      /3 requested: 2 stored, 1 were there, 0 not cached, 0 failed/,
    )
    assert.deepEqual(await originSees(['/a/new', '/b/new', '/a']), [])
  })
})
