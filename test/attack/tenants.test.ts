/** A tenant who may write Routes, Backends and Services of its own namespace, and wants what belongs to others. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type EchoBackend, echoBackend } from '../feature/backends.ts'
import { backend, eventually, type Gateway, manifest, route, startGateway, suiteScope } from '../feature/harness.ts'

const respond = (body: string) => ({ respond: { statusCode: 200, body } })
const at = (type: string, value: string) => ({ matches: [{ path: { type, value } }] })
const prefix = (value: string) => at('PathPrefix', value)

const DELEGATES = [{ namespaces: { from: 'Names', names: ['team'] }, pathPrefixes: ['/team'] }]

describe('a hostile tenant', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let echo: EchoBackend

  before(async () => {
    echo = await echoBackend(scope)
    gateway = await startGateway(
      scope,
      {
        'owner.yaml':
          route('a-owner/main', ['shop.example', '*.wild.example'], [{ name: 'all', ...respond('owner') }], {
            delegates: DELEGATES,
            policies: { enforced: { responseHeaders: { set: [{ name: 'x-enforced', value: 'yes' }] } } },
          }) +
          route(
            'a-owner/closing',
            ['closing.example'],
            [
              { name: 'open', ...prefix('/'), ...respond('open') },
              { name: 'other', ...prefix('/other'), ...respond('other') },
            ],
          ) +
          backend('a-owner/private', [echo.port]),
      },
      {
        settings: { upstreams: { denyCIDRs: ['10.0.0.0/8'] }, policies: { enforced: { timeouts: { request: '3s' } } } },
      },
    )
  })

  /** Writes the tenant's file and waits until its marker Route, which comes with it, is in force. */
  async function attack(text: string): Promise<void> {
    const mark = `m${Math.round(performance.now() * 1000)}`
    await gateway.write('team.yaml', text + route('team/marker', ['marker.example'], [{ name: 'm', ...respond(mark) }]))
    await eventually(async () => assert.equal((await gateway.request({ host: 'marker.example' })).text, mark))
  }

  const get = async (host: string, path: string) => {
    const { status, text } = await gateway.request({ host, path })
    return status === 200 ? text : String(status)
  }

  it('takes no hostname of another namespace, in no spelling and by no wildcard', async () => {
    const stolen = [
      { name: 'x', ...prefix('/'), ...respond('stolen') },
      { name: 'deep', ...prefix('/cart/pay'), ...respond('stolen') },
    ]
    await attack(
      route('team/same', ['shop.example'], stolen) +
        route('team/under', ['deep.wild.example', '*.deep.wild.example'], stolen) +
        route('team/over', ['*.example'], stolen) +
        route('team/all', [], stolen) +
        [
          'SHOP.example',
          'shop.example.',
          'shop.example:80',
          'shóp.example',
          '*.*.wild.example',
          '*',
          'shop.example\u0000',
          ' shop.example',
        ]
          .map((host, i) => route(`team/spelling${i}`, [host], stolen))
          .join(''),
    )
    for (const host of [
      'shop.example',
      'SHOP.EXAMPLE',
      'shop.example.',
      'shop.example:81',
      'a.wild.example',
      'deep.wild.example',
      'x.deep.wild.example',
    ])
      for (const path of ['/', '/cart/pay', '/cart//pay', '/x/../cart/pay'])
        assert.equal(await get(host, path), 'owner', `${host}${path}`)
  })

  it('stays below the prefix that was delegated to it, whatever it writes', async () => {
    await attack(
      route(
        'team/delegate',
        ['shop.example'],
        [
          { name: 'in', ...prefix('/team'), ...respond('team') },
          { name: 'near', ...prefix('/teammates'), ...respond('stolen') },
          { name: 'regex', ...at('RegularExpression', '/.*'), ...respond('by regex') },
          { name: 'anchored', ...at('RegularExpression', '(?:/team)?/admin.*|/team/../admin'), ...respond('by regex') },
          { name: 'dots', ...prefix('/team/../admin'), ...respond('stolen') },
          { name: 'encoded', ...prefix('/team/%2e%2e/admin'), ...respond('stolen') },
          { name: 'slash', ...prefix('/team%2F..%2Fadmin'), ...respond('stolen') },
          { name: 'exact', ...at('Exact', '/'), ...respond('stolen') },
        ],
      ),
    )
    assert.equal(await get('shop.example', '/'), 'owner')
    for (const path of [
      '/admin',
      '/teammates',
      '/admin/x',
      '/team/../admin',
      '/team/%2e%2e/admin',
      '//admin',
      '/%61dmin',
    ])
      assert.equal(await get('shop.example', path), 'owner', path)
    for (const path of [
      '/team%2F..%2Fadmin',
      '/team/..;/admin',
      '/team/%2e%2e;/admin',
      '/team/..%5cadmin',
      '/team/%252e%252e/admin',
      '/team/..\\admin',
    ])
      assert.equal(await get('shop.example', path), '400', path)
  })

  it('cannot take off what the owner and the settings enforce, by values, by null or by emptiness', async () => {
    for (const policies of [
      { responseHeaders: { remove: ['x-enforced'] }, timeouts: { request: '0s' } },
      { responseHeaders: null, timeouts: null, enforced: null },
      { responseHeaders: {}, timeouts: {}, enforced: {} },
      { enforced: { responseHeaders: { remove: ['x-enforced'] }, timeouts: { request: '1h' } } },
    ]) {
      const { enforced, ...rule } = policies as Record<string, unknown>
      const spec = enforced === undefined ? {} : { policies: { enforced } }
      const slow = { name: 'slow', ...prefix('/team'), backendRefs: [{ name: 'b' }], policies: rule }
      await attack(backend('team/b', [echo.port]) + route('team/delegate', ['shop.example'], [slow], spec))
      const answer = await gateway.request({ host: 'shop.example', path: '/team' })
      assert.equal(answer.status, 200)
      assert.equal(answer.header('x-enforced'), 'yes', JSON.stringify(policies))
    }
  })

  it("reaches no Backend of another namespace, and no address that is nobody's to reach", async () => {
    const foreign = { name: 'foreign', ...prefix('/foreign'), backendRefs: [{ name: 'private', namespace: 'a-owner' }] }
    const addresses = [
      '169.254.169.254',
      '::ffff:169.254.169.254',
      '64:ff9b::a9fe:a9fe',
      '2002:a9fe:a9fe::1',
      '::169.254.169.254',
      'fe80::1',
      '0.0.0.0',
      '::',
      '0.1.2.3',
      '224.0.0.1',
      '255.255.255.255',
      '10.1.2.3',
      '64:ff9b::a01:203',
      '2002:a01:203::1',
      '::ffff:10.1.2.3',
      '2852039166',
      '0xa9fea9fe',
      '0251.0376.0251.0376',
      '169.254.43518',
      '0',
      '127.1',
      'fe80::1%lo',
    ]
    const backends = addresses.map((address, i) =>
      manifest('Backend', `team/t${i}`, { endpoints: [{ address, port: 80 }] }),
    )
    const own = [gateway.port, gateway.adminPort, gateway.signalsPort].flatMap((port) =>
      ['127.0.0.1', '127.0.0.2', '::1', '::ffff:127.0.0.1', '64:ff9b::7f00:1', '0.0.0.0', 'localhost'].map(
        (address) => ({ address, port }),
      ),
    )
    for (const [i, endpoint] of own.entries())
      backends.push(manifest('Backend', `team/own${i}`, { endpoints: [endpoint] }))
    const slice = {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 80 }],
      metadata: { name: 's', namespace: 'team', labels: { 'kubernetes.io/service-name': 's' } },
      endpoints: [{ addresses: ['169.254.169.254'] }],
    }
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 's', namespace: 'team' },
      spec: { ports: [{ name: 'http', port: 80 }] },
    }
    const rules = addresses.map((_, i) => ({ name: `t${i}`, ...prefix(`/t${i}`), backendRefs: [{ name: `t${i}` }] }))
    const routes = []
    for (let i = 0; i < rules.length; i += 8) routes.push(route(`team/r${i}`, ['t.example'], rules.slice(i, i + 8)))
    routes.push(
      route(
        'team/rest',
        ['t.example'],
        [
          foreign,
          { name: 'own', ...prefix('/own'), backendRefs: own.map((_, i) => ({ name: `own${i}` })).slice(0, 16) },
          { name: 'own-too', ...prefix('/own-too'), backendRefs: own.map((_, i) => ({ name: `own${i}` })).slice(16) },
          { name: 'slice', ...prefix('/slice'), backendRefs: [{ service: { name: 's', port: 'http' } }] },
        ],
      ),
    )
    await attack([...backends, `${JSON.stringify(slice)}\n---\n${JSON.stringify(service)}\n---\n`, ...routes].join(''))
    await delay(300)
    assert.equal(await get('t.example', '/foreign'), '500')
    for (let i = 0; i < 24; i++)
      for (const path of ['/own', '/own-too']) assert.match(await get('t.example', path), /^50[03]$/, path)
    assert.equal(await get('t.example', '/slice'), '503')
    for (const [i, address] of addresses.entries()) assert.match(await get('t.example', `/t${i}`), /^50[03]$/, address)
  })

  it('holds nobody up with a policy that the door lets pass and no worker can use', async () => {
    const rule = {
      name: 'x',
      backendRefs: [{ name: 'b' }],
      policies: { requestHeaders: { set: [{ name: 'x-a', value: '%{client.ip/999}' }] } },
    }
    for (let i = 0; i < 3; i++) {
      await attack(backend('team/b', [echo.port]) + route('team/unusable', ['unusable.example'], [rule]))
      assert.match(await get('unusable.example', '/'), /^500$|^404$/)
      assert.equal(await get('shop.example', '/'), 'owner')
      await attack('')
    }
  })

  it('sets no field of framing, forwarding or one hop, and brings no line break into a head', async () => {
    for (const name of [
      'host',
      'transfer-encoding',
      'transfer_encoding',
      'content_length',
      'x-forwarded-for',
      'x_forwarded_for',
      'via',
      'x-real-ip',
      'te',
      'connection',
    ]) {
      const rule = {
        name: 'x',
        backendRefs: [{ name: 'b' }],
        policies: { requestHeaders: { set: [{ name, value: 'evil' }] } },
      }
      await attack(backend('team/b', [echo.port]) + route('team/edit', ['edit.example'], [rule]))
      const { status, text } = await gateway.request({ host: 'edit.example' })
      if (status === 200) assert.doesNotMatch(text, /evil/, name)
      await gateway.write('team.yaml', '# nothing\n')
    }
    const set = [{ name: 'x-copy', value: '<%{query:v}|%{header:x-v}|%{cookie:c}>' }]
    await attack(
      backend('team/b', [echo.port]) +
        route(
          'team/edit',
          ['edit.example'],
          [
            {
              name: 'x',
              backendRefs: [{ name: 'b' }],
              policies: { requestHeaders: { set }, responseHeaders: { set } },
            },
          ],
        ),
    )
    const answer = await gateway.request({
      host: 'edit.example',
      path: '/?v=a%0d%0aevil:%201%00',
      headers: { 'x-v': 'é\tb', cookie: 'c=%0d%0a' },
    })
    assert.equal(answer.header('evil'), undefined)
    assert.equal((answer.json().headers as Record<string, string>).evil, undefined)
    assert.match((answer.json().headers as Record<string, string>)['x-copy']!, /^<aevil: 1\|/)
  })

  it('redirects nobody to a host that a client chose', async () => {
    const to = (path: object) => ({ redirect: { statusCode: 302, path } })
    await attack(
      route(
        'team/redirect',
        ['go.example'],
        [
          {
            name: 'regex',
            ...prefix('/r'),
            ...to({ type: 'ReplaceRegex', replaceRegex: { pattern: '^/r(.*)', substitution: '$1' } }),
          },
          { name: 'prefix', ...prefix('/p'), ...to({ type: 'ReplacePrefixMatch', replacePrefixMatch: '/' }) },
        ],
      ),
    )
    for (const path of [
      '/r//evil.example',
      '/p//evil.example',
      '/p/%2f%2fevil.example',
      '/r/%5c%5cevil.example',
      '/p/.evil@x',
      '/p/%0d%0aset-cookie:a=b',
      '/r/?a=%0d%0ab',
      '/r',
      '/p/;@evil.example',
    ]) {
      const { status, header } = await gateway.request({ host: 'go.example', path })
      if (status !== 302) assert.equal(status, 400, path)
      else assert.equal(new URL(header('location')!).hostname, 'go.example', path)
    }
  })

  it('makes no request of megabytes out of one of kilobytes, and no worker hang by expressions', async () => {
    const copies = Array.from({ length: 16 }, (_, i) => ({ name: `x-${i}`, value: '%{header:x}'.repeat(46) }))
    const slow = (i: number) => `.*a[ab]{${100 + i}}b.*`
    const matches = (path: string) =>
      Array.from({ length: 8 }, (_, m) => ({
        path: { type: 'PathPrefix', value: path },
        headers: Array.from({ length: 8 }, (_, i) => ({
          name: `y${i}`,
          type: 'RegularExpression',
          value: slow(m * 8 + i),
        })),
      }))
    await attack(
      backend('team/b', [echo.port]) +
        route(
          'team/bomb',
          ['bomb.example'],
          [
            {
              name: 'copies',
              ...prefix('/h'),
              backendRefs: [{ name: 'b' }],
              policies: { requestHeaders: { set: copies, add: copies } },
            },
            {
              name: 'path',
              ...prefix('/p'),
              backendRefs: [{ name: 'b' }],
              policies: {
                rewrite: {
                  path: { type: 'ReplaceRegex', replaceRegex: { pattern: '.*', substitution: '$0'.repeat(512) } },
                },
              },
            },
            { name: 'slow', matches: matches('/s'), backendRefs: [{ name: 'b' }] },
          ],
        ),
    )
    const bomb = await gateway.request({ host: 'bomb.example', path: '/h', headers: { x: 'y'.repeat(60_000) } })
    assert.equal(bomb.status, 431)
    assert.equal((await gateway.request({ host: 'bomb.example', path: `/p/${'y'.repeat(15_000)}` })).status, 400)
    let random = 1
    const letters = (length: number) =>
      Array.from({ length }, () => {
        random = (Math.imul(random, 1_103_515_245) + 12_345) & 0x7fffffff
        return random & 0x10000 ? 'a' : 'b'
      }).join('')
    const headers = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`y${i}`, letters(4_000)]))
    assert.equal((await gateway.request({ host: 'bomb.example', path: '/s', headers })).status, 431)
    assert.doesNotMatch(gateway.processLog.join('\n'), /stopped responding/)
    assert.equal(await get('shop.example', '/'), 'owner')
  })

  it("leaves a rule closed when its owner's edit to protect it is broken", async () => {
    const jwt = { jwt: { issuer: 'https://id.example/', audiences: ['a'], keys: { jwksURI: 'ftp://id.example/k' } } }
    const write = (...rules: object[]) => gateway.write('z-closing.yaml', route('b-owner/c', ['c.example'], rules))
    const open = { name: 'open', ...prefix('/'), ...respond('open') }
    const other = { name: 'other', ...prefix('/other'), ...respond('other') }
    for (const edit of [
      [{ ...open, policies: { auth: jwt } }, other],
      [{ ...open, policies: { auth: null, jwt: {} } }, other],
      [{ ...open, policies: { Auth: {}, auth: 'yes' } }, other],
      [{ ...open, name: 'renamed', policies: { auth: jwt } }, other],
      [{ ...open, policies: { authorization: [{ name: 'x', claim: 'a', in: 'b' }] } }, other],
    ]) {
      await write(open, other)
      await eventually(async () => assert.equal(await get('c.example', '/'), 'open'))
      await write(...edit)
      await eventually(async () => assert.equal(await get('c.example', '/'), '503', JSON.stringify(edit)))
      assert.equal(await get('c.example', '/other'), 'other')
    }
    await gateway.remove('z-closing.yaml')
    await eventually(async () => assert.equal(await get('c.example', '/'), '404'))
  })
})
