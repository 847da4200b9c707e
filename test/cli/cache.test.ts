import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, describe, it } from 'node:test'
import { runCache } from '../../src/cli/cache.ts'
import { parseCommand } from '../../src/cli/parse.ts'

const PURGED = {
  ...{ namespaces: ['shop'], purged: 2, soft: false, replicas: 2, reached: 2, history: 'Redis', kept: true },
  ...{ acts: ['a', 'b'], missing: [], everywhere: true },
  detail: 'It acts in every replica.',
}
/** Of an answer of the one replica that there is. */
const ALONE = { missing: [], everywhere: true, detail: 'Of the only replica.' }
/** Of two, one of which is silent. */
const NOT_B = {
  missing: [{ name: 'b', why: 'it \u001b hangs' }],
  everywhere: false,
  detail: 'Not of b: it \u001b hangs.',
}
const WARM = {
  ...{ id: '3', state: 'running', urls: 2, requested: 0, hits: 0, stored: 0, others: 0, failed: 0 },
  problems: [] as { replica: string; url: string; problem: string }[],
  replicas: [{ name: 'a', urls: 2, requested: 0, hits: 0, stored: 0, others: 0, failed: 0 }],
  ...ALONE,
}

interface Received {
  readonly method: string | undefined
  readonly path: string | undefined
  readonly token: string | undefined
  readonly body: unknown
}

describe('headgate cache', () => {
  const servers: Server[] = []
  after(() => {
    for (const server of servers) server.close()
  })

  async function run(answers: readonly [status: number, body: unknown][], ...argv: string[]) {
    const received: Received[] = []
    const left = [...answers]
    const server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        const { method, url: path, headers } = request
        received.push({ method, path, token: headers.authorization, body: text === '' ? undefined : JSON.parse(text) })
        const [status, body] = left.shift() ?? [500, {}]
        response.writeHead(status, { 'content-type': 'application/json', connection: 'close' })
        response.end(JSON.stringify(body))
      })
    })
    servers.push(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const command = parseCommand(['cache', ...argv, '--admin', `127.0.0.1:${port}`])
    assert.ok(command.name === 'cache', JSON.stringify(command))
    let out = ''
    let err = ''
    const files: Record<string, string> = {
      token: '# comment\n  # and another one\nword\nother\n',
      urls: '# list\nhttp://a/1\n\n http://a/2 \n',
      many: 'http://a/\n'.repeat(10_001),
      odd: 'pass word\n',
    }
    const code = await runCache(command, {
      out: (text) => (out += text),
      err: (text) => (err += text),
      environment: { HEADGATE_ADMIN_TOKEN: 'of-the-environment' },
      read(file) {
        if (files[file] === undefined) throw new Error('ENOENT')
        return files[file]
      },
      pause: () => {},
    })
    return { code, out, err, received }
  }

  it('purges URLs with the token of a file', async () => {
    const args = ['purge', 'https://a/1', 'https://a/2', '--token-file', 'token', '--soft']
    const { code, out, err, received } = await run([[200, { ...PURGED, soft: true }]], ...args)
    assert.deepEqual([code, err], [0, ''])
    assert.equal(out, 'Marked as stale: 2 names of shop, in 2 of 2 replicas.\n')
    assert.deepEqual(received, [
      {
        method: 'POST',
        path: '/api/v1/cache/purges',
        token: 'Bearer word',
        body: { urls: ['https://a/1', 'https://a/2'], soft: true },
      },
    ])
  })

  it('purges the other things in a namespace', async () => {
    const bodies = []
    for (const flags of [
      ['--prefix', 'https://a/img'],
      ['--tag', 'a,b'],
      ['--route', 'web'],
      ['--route', 'web', '--rule', 'images'],
      ['--all'],
    ]) {
      const { received } = await run([[200, PURGED]], 'purge', '--namespace', 'shop', ...flags)
      assert.equal(received[0]?.path, '/api/v1/cache/namespaces/shop/purges')
      assert.equal(received[0]?.token, 'Bearer of-the-environment')
      bodies.push(received[0]?.body)
    }
    assert.deepEqual(bodies, [
      { prefixes: ['https://a/img'] },
      { tags: ['a', 'b'] },
      { route: 'web' },
      { route: 'web', rule: 'images' },
      { all: true },
    ])
  })

  it('says with its exit code that not every replica was reached', async () => {
    const detail = 'It acts in this replica. \u001b[31mRedis does not answer.'
    const { code, out, err } = await run(
      [[202, { ...PURGED, reached: 1, everywhere: false, detail }]],
      'purge',
      'https://a/',
    )
    assert.equal(code, 1)
    assert.equal(out, 'Purged: 2 names of shop, in 1 of 2 replicas.\n')
    assert.equal(err, 'headgate: It acts in this replica. ?[31mRedis does not answer.\n')
    // One is known, and nobody says that it is the only one.
    const alone = { ...PURGED, replicas: 1, reached: 1, acts: ['a'], everywhere: false }
    const unknown = await run([[202, alone]], 'purge', 'https://a/')
    assert.equal(unknown.code, 1)
    assert.equal(unknown.out, 'Purged: 2 names of shop, in this replica; which others there are is not known.\n')
  })

  it('shows what the gateway says against it', async () => {
    const problem = { title: 'No rule has the host', detail: 'State the namespace', status: 404 }
    const { code, err } = await run([[404, problem]], 'purge', 'https://a/')
    assert.deepEqual([code, err], [1, 'headgate: No rule has the host: State the namespace (404)\n'])
    const missing = await run([], 'purge', 'https://a/', '--token-file', 'nowhere')
    assert.deepEqual([missing.code, missing.received], [1, []])
    assert.match(missing.err, /nowhere cannot be read/)
  })

  it('says what is wrong before the gateway is asked, and that another port answers', async () => {
    const asked: readonly [argv: readonly string[], said: RegExp][] = [
      [['purge', 'https://a/', '--token-file', 'odd'], /The token has characters that no token has/],
      [['warm', '--file', 'many'], /10001 names are too many for one command: 10000 at most/],
      [['purge', ...Array.from({ length: 257 }, (_, i) => `a/${i}`)], /257 names are too many .* 256 at most/],
      [['show', '--prefix', ...Array.from({ length: 257 }, (_, i) => `a/${i}`)], /257 names are too many/],
    ]
    for (const [argv, said] of asked) {
      const { code, err, received } = await run([], ...argv)
      assert.deepEqual([code, received], [1, []])
      assert.match(err, said)
    }
    const traffic = {
      type: 'https://headgate.dev/errors/HostNotFound',
      title: 'No route serves this host',
      status: 404,
    }
    const { code, err } = await run([[404, traffic]], 'stats')
    assert.equal(code, 1)
    assert.match(err, /is a listener for traffic, not the admin API; --admin says where that is/)
  })

  it('says what a * at the end of a name is', async () => {
    const url = await run([[200, PURGED]], 'purge', 'https://a/*', 'https://a/b')
    assert.deepEqual([url.code, url.received[0]?.body], [0, { urls: ['https://a/*', 'https://a/b'] }])
    assert.equal(
      url.err,
      'headgate: the * of https://a/* stands for itself: all below a path is --prefix with the path alone\n',
    )
    const prefix = await run([[200, PURGED]], 'purge', '--prefix', 'https://a/img/*')
    assert.match(prefix.err, /^headgate: the \* of https:\/\/a\/img\/\* stands for itself: leave it out/)
    const json = await run([[200, PURGED]], 'purge', 'https://a/*', '-o', 'json')
    assert.match(json.err, /stands for itself/)
    assert.equal(JSON.parse(json.out).purged, PURGED.purged)
    const answer = { items: [], complete: true, unknown: [], replicas: ['a'], ...ALONE }
    const shown = await run([[200, answer]], 'show', 'https://a/*')
    assert.match(shown.err, /stands for itself/)
  })

  it('takes the token of stats, too, which needs none', async () => {
    const command = parseCommand(['cache', 'stats', '--token-file', 'token'])
    assert.deepEqual([command.name, (command as { tokenFile?: string }).tokenFile], ['cache', 'token'])
  })

  it('shows what a purge would concern', async () => {
    const object = {
      ...{ key: 'GET https://a/\u001b', status: 200, bytes: 5, state: 'fresh', age: 1, lifetime: 60 },
      ...{ lifetimeBy: 'origin', staleWhileRevalidate: 0, staleIfError: 0, received: '', tags: 2 },
    }
    const answer = { items: [object], complete: false, unknown: [], replicas: ['a'], ...ALONE }
    const { code, out, err, received } = await run([[200, answer]], 'show', '--tag', 'x', '--namespace', 'shop')
    assert.deepEqual([code, err], [0, 'headgate: there are more than these 1\n'])
    assert.match(
      out,
      /^STATE +STATUS +BYTES +AGE +LIFETIME +TAGS +KEY\nfresh +200 +5 +1s +60s by origin +2 +GET https:\/\/a\/\?\n$/,
    )
    assert.deepEqual([received[0]?.path, received[0]?.body], ['/api/v1/cache/namespaces/shop/lookups', { tags: ['x'] }])
    const none = await run([[200, { ...answer, items: [], complete: true }]], 'show', 'https://a/')
    assert.deepEqual([none.code, none.out], [1, 'Nothing is stored in the memory of this replica.\n'])
  })

  it('shows what the memory holds', async () => {
    const view = {
      ...{ limit: 2 ** 21, used: 2 ** 20, held: 0, entries: 3, stored: 9, evicted: 1, removed: 2, replaced: 3 },
      ...{ refused: 0, hitRatio: 0.75, purges: { history: 'Redis', problem: 'Redis cannot be asked' } },
      requests: [{ result: 'hit', reason: 'Memory', count: 3 }],
      responses: [{ reason: 'NoStore', count: 4 }],
    }
    const alone = { ...view, replicas: [{ name: 'a', ...view }], ...ALONE }
    const { code, out, received } = await run([[200, alone]], 'stats')
    assert.equal(code, 0)
    for (const part of [
      '1.0 of 2.0 MiB used',
      '3: 9 stored',
      '75.0 % of requests',
      '3 hit: Memory',
      '4 NoStore',
      'cannot be asked',
    ])
      assert.ok(out.includes(part), part)
    assert.ok(!out.includes('REPLICA'))
    assert.equal(received[0]?.token, undefined)
    const two = {
      ...view,
      replicas: [
        { name: 'edge/a', ...view },
        { name: 'edge/b', ...view, used: 0 },
      ],
    }
    const several = await run([[200, { ...two, ...ALONE }]], 'stats')
    assert.equal(several.code, 0)
    assert.match(several.out, /^replicas +2 of 2, of which this is the sum\n/)
    const [, table] = several.out.split('\n\n')
    assert.equal(
      table,
      [
        'REPLICA  MEMORY          ENTRIES  STORED  EVICTED  REFUSED  REQUESTS  HITS    PURGES',
        'edge/a   1.0 of 2.0 MiB  3        9       1        0        3         75.0 %  Redis cannot be asked',
        'edge/b   0.0 of 2.0 MiB  3        9       1        0        3         75.0 %  Redis cannot be asked',
        '',
      ].join('\n'),
    )
  })

  it('names the replica that says nothing, with exit code 1', async () => {
    const said = 'headgate: Not of b: it ? hangs.\n'
    const numbers = { ...{ limit: 0, used: 0, held: 0, entries: 0, stored: 0, evicted: 0, removed: 0, replaced: 0 } }
    const none = { ...numbers, refused: 0, hitRatio: 0, requests: [], responses: [], purges: { history: 'None' } }
    const stats = await run([[200, { ...none, replicas: [{ name: 'a', ...none }], ...NOT_B }]], 'stats')
    assert.deepEqual([stats.code, stats.err], [1, said])
    assert.match(stats.out, /^replicas +1 of 2, of which this is the sum\n/)
    const warm = await run([[202, { ...WARM, state: 'finished', ...NOT_B }]], 'warm', 'https://a/')
    assert.deepEqual([warm.code, warm.err], [1, said])
    // One that was asked alone is not all, and that is what was asked for.
    const one = { ...none, replicas: [{ name: 'a', ...none }], missing: [], everywhere: false, detail: 'Of a alone.' }
    const alone = await run([[200, one]], 'stats', '--replica', 'edge/a')
    assert.deepEqual([alone.code, alone.err, alone.received[0]?.path], [0, '', '/api/v1/cache?replica=edge%2Fa'])
    const unlisted = await run([[200, one]], 'stats')
    assert.deepEqual([unlisted.code, unlisted.err], [1, 'headgate: Of a alone.\n'])
  })

  it('shows what each replica has of a key', async () => {
    const object = {
      ...{ status: 200, bytes: 5, state: 'fresh', age: 1, lifetime: 60, keyDigest: 'x', key: 'GET https://a/' },
      ...{ lifetimeBy: 'origin', staleWhileRevalidate: 0, staleIfError: 0, received: '', tags: 0 },
    }
    const items = [
      { ...object, replica: 'a', validator: '"1"' },
      { ...object, replica: 'b', validator: '"2"', age: 12 },
      { ...object, replica: 'b', key: 'GET https://b/', keyDigest: 'y' },
    ]
    const answer = { items, complete: true, unknown: [], replicas: ['a', 'b'], ...ALONE }
    const { code, out } = await run([[200, answer]], 'show', 'https://a/', '--replica', 'b')
    assert.equal(code, 0)
    assert.equal(
      out,
      [
        'GET https://a/',
        '  REPLICA  STATE  STATUS  BYTES  AGE  LIFETIME       TAGS  VALIDATOR',
        '  a        fresh  200     5      1s   60s by origin  0     "1"',
        '  b        fresh  200     5      12s  60s by origin  0     "2"',
        '',
        'GET https://b/',
        '  REPLICA  STATE       STATUS  BYTES  AGE  LIFETIME       TAGS  VALIDATOR',
        '  a        not stored',
        '  b        fresh       200     5      1s   60s by origin  0     -',
        '',
      ].join('\n'),
    )
    const cut = await run([[200, { ...answer, complete: false }]], 'show', 'https://a/')
    assert.match(cut.out, /\n {2}a +not among those that are shown\n/)
    const none = await run([[200, { ...answer, items: [] }]], 'show', 'https://a/')
    assert.deepEqual([none.code, none.out], [1, 'Nothing is stored in the memory of a, b.\n'])
    const silent = await run([[200, { ...answer, replicas: ['a'], items: items.slice(0, 1), ...NOT_B }]], 'show', 'a/')
    assert.deepEqual([silent.code, silent.err], [1, 'headgate: Not of b: it ? hangs.\n'])
    assert.match(silent.out, /\n {2}b +no answer\n$/)
  })

  it('works on a list until it is finished', async () => {
    const problems = [{ replica: 'a', url: 'http://a/2', problem: '404: its rule has no cache' }]
    const finished = { ...WARM, state: 'finished', requested: 2, stored: 1, others: 1, problems }
    const { code, out, err, received } = await run(
      [
        [202, WARM],
        [200, WARM],
        [200, finished],
      ],
      ...['warm', '--file', 'urls', '--rate', '5'],
    )
    assert.equal(code, 0)
    assert.equal(out, '2 requested: 1 stored, 0 were there, 1 not cached, 0 failed.\n')
    assert.equal(err, 'headgate: http://a/2: 404: its rule has no cache\n')
    assert.deepEqual(received[0]?.body, { urls: ['http://a/1', 'http://a/2'], rate: 5 })
    assert.deepEqual(
      received.slice(1).map(({ path }) => path),
      ['/api/v1/cache/warm-ups/3', '/api/v1/cache/warm-ups/3'],
    )
    const replicas = ['a', 'b'].map((name) => ({ ...WARM.replicas[0], name, requested: 1, hits: 1 }))
    const two = await run([[202, { ...finished, requested: 2, hits: 2, replicas }]], 'warm', 'https://a/')
    assert.match(two.out, /\n {2}b: 1 requested: 0 stored, 1 were there, 0 not cached, 0 failed.\n$/)
    assert.equal(two.err, 'headgate: a: http://a/2: 404: its rule has no cache\n')
  })

  for (const line of [
    'cache',
    'cache empty',
    'cache purge',
    'cache stats https://a/',
    'cache show',
    'cache show --tag x',
    'cache show https://a/ --soft',
    'cache purge --prefix',
    'cache purge --tag a',
    'cache purge --all',
    'cache purge https://a/ --all',
    'cache purge https://a/ --rule x',
    'cache purge https://a/ --rate 5',
    'cache warm',
    'cache warm https://a/ --file x',
    'cache warm https://a/ --soft',
    'cache warm https://a/ --rate 0',
    'cache purge https://a/ --replica a',
  ])
    it(`refuses: ${line}`, () => {
      assert.equal(parseCommand(line.split(' ')).name, 'usage')
    })

  for (const [line, message] of [
    ['cache purge --namespace shop --rule x', /^--rule needs --route/],
    ['cache show --namespace shop --rule x', /^--rule needs --route/],
    ['cache purge --prefix', /^Name the prefix: --prefix URL/],
    ['cache purge', /^Say one thing to purge/],
    ['cache purge --namespace shop --tag ,', /^--tag ,: name at least one tag/],
  ] as const)
    it(`says what is missing: ${line}`, () => {
      const command = parseCommand(line.split(' '))
      assert.match(command.name === 'usage' ? command.message : '', message)
    })
})
