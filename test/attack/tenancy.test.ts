/**
 * A second tenant of a cluster that tries everything of security.md, "Who may use what", in Shared and in Strict. It
 * may write Routes, Backends, Ingresses, Services and slices of its own namespace, and nothing else. Each attempt leads
 * to no wrong answer, and what was written says what to do.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { createValidator } from '../../src/api/validate.ts'
import { identityOf } from '../../src/control/last-good/last-good-shards.ts'
import { readSchemas } from '../../src/source/crds.ts'
import { eventually, type Gateway, startGateway, suiteScope } from '../feature/harness.ts'
import { kubeconfigFile } from '../feature/kubeconfig.ts'
import { FakeApi } from '../source/kubernetes/fake-api.ts'
import type { Manifest } from '../suite/source.ts'

interface Condition {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
}

const API = 'headgate.dev/v1alpha1'
const ENVIRONMENT = {
  HEADGATE_INSTALLATION: 'headgate',
  POD_NAMESPACE: 'gateway',
  HEADGATE_SERVICE: 'headgate',
  KUBERNETES_SERVICE_HOST: '10.96.0.1',
  KUBERNETES_SERVICE_PORT: '443',
}

const VALIDATOR = createValidator(readSchemas())

const made = (kind: string, key: string, spec: object, apiVersion = API): Manifest => {
  const [namespace = '', name = ''] = key.split('/')
  return { apiVersion, kind, metadata: { name, namespace }, spec } as Manifest
}
const answer = (body: string) => ({ respond: { statusCode: 200, body } })
const path = (type: string, value: string) => ({ matches: [{ path: { type, value } }] })
const below = (value: string) => path('PathPrefix', value)
const routeTo = (key: string, hostnames: readonly string[], rules: readonly object[], more: object = {}): Manifest =>
  made('Route', key, { ...(hostnames.length > 0 && { hostnames }), rules, ...more })
const thief = (key: string, ...hostnames: string[]) => routeTo(key, hostnames, [{ name: 'x', ...answer('stolen') }])
const to = (...names: string[]) => ({ from: 'Names', names })
const namespaceOf = (name: string, labels: Record<string, string>): Manifest =>
  ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }) as unknown as Manifest
const ingressOf = (key: string, host: string | undefined, more: object = {}): Manifest => {
  const backend = { service: { name: 'api', port: { number: 80 } } }
  const rule = { ...(host && { host }), http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }
  return made('Ingress', key, { rules: [rule], ...more }, 'networking.k8s.io/v1')
}
const slice = (key: string, service: string, address: string, more: object = {}): Manifest => {
  const [namespace = '', name = ''] = key.split('/')
  const metadata = { name, namespace, labels: { 'kubernetes.io/service-name': service } }
  const rest = {
    addressType: 'IPv4',
    // The pods' own port; the one at which the API server must not be reached.
    ports: [{ name: 'http', port: 443 }],
    endpoints: [{ addresses: [address], ...more }],
  }
  return { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata, ...rest } as unknown as Manifest
}
const serviceOf = (key: string, spec: object): Manifest =>
  made('Service', key, { ports: [{ name: 'http', port: 80 }], ...spec }, 'v1')

const KEPT = made('ConfigMap', 'gateway/headgate-last-good', {}, '')
/** Whether something is stored of this hostname, not only of any. */
const isRecorded = (stored: unknown, key: string): boolean => {
  const { binaryData = {} } = (stored ?? {}) as { binaryData?: Record<string, string> }
  const identity = identityOf({ kind: 'Hostname', key })
  return Object.keys(binaryData).some((member) => member.startsWith(identity))
}

/** By the label that every namespace has, so that Namespaces are read from the start. */
const PLATFORM = { from: 'Selector', selector: { matchLabels: { 'kubernetes.io/metadata.name': 'platform' } } }

const MODES = [
  {
    tenancy: 'Shared',
    // Came after the owner, as names decide between objects of one second.
    me: 'team',
    settings: { tenancy: 'Shared' },
  },
  {
    tenancy: 'Strict',
    // Comes before the owner wherever age decides.
    me: 'a-team',
    settings: {
      tenancy: 'Strict',
      hostnames: [
        { namespaces: to('owner'), names: ['shop.example', '*.wild.example', 'owner.example', '*.owner.example'] },
        { namespaces: to('a-team'), names: ['team.example', '*.team.example'] },
        { namespaces: PLATFORM, names: ['*'] },
      ],
      upstreams: { externalTargets: [{ namespaces: to('a-team'), hosts: ['198.51.100.7:80'] }] },
    },
  },
] as const

for (const { tenancy, me, settings } of MODES)
  describe(`a second tenant, ${tenancy}`, () => {
    const scope = suiteScope()
    const strict = tenancy === 'Strict'
    const environment = { ...process.env }
    let api: FakeApi
    let gateway: Gateway
    let start: () => Promise<Gateway>
    let marks = 0

    before(async () => {
      api = await new FakeApi().listen()
      scope.after(() => api.kill())
      const delegates = [
        { namespaces: { from: 'Selector', selector: { matchLabels: { tier: 'trusted' } } }, pathPrefixes: ['/team'] },
        { namespaces: to('delegate'), pathPrefixes: ['/d'] },
      ]
      for (const one of [
        routeTo('owner/main', ['shop.example', '*.wild.example'], [{ name: 'all', ...answer('owner') }], { delegates }),
        routeTo('owner/fixed', ['pay.wild.example'], [{ name: 'all', ...answer('pay') }]),
        routeTo('platform/all', [], [{ name: 'all', ...answer('platform') }]),
        made('Backend', 'owner/private', { endpoints: [{ address: '198.51.100.9', port: 80 }] }),
        serviceOf('owner/private', { selector: { app: 'private' } }),
        serviceOf('default/kubernetes', { clusterIP: '10.96.0.1', ports: [{ name: 'https', port: 443 }] }),
        namespaceOf(me, {}),
        namespaceOf('owner', {}),
        namespaceOf('platform', {}),
      ])
        api.put(one)
      const file = await kubeconfigFile(scope, api)
      Object.assign(process.env, ENVIRONMENT)
      start = () => startGateway(scope, {}, { source: ['--kubeconfig', file], settings })
      gateway = await start()
    })

    async function restart(meanwhile: () => void = () => {}): Promise<void> {
      await gateway.stop()
      meanwhile()
      gateway = await start()
    }

    after(() => {
      for (const name of Object.keys(ENVIRONMENT))
        if (environment[name] === undefined) delete process.env[name]
        else process.env[name] = environment[name]
    })

    const get = async (host: string, where = '/') => {
      const { status, text } = await gateway.request({ host, path: where })
      return status === 200 ? text : String(status)
    }
    const conditions = (one: Manifest): readonly Condition[] =>
      (api.get(one) as { status?: { conditions?: Condition[] } } | undefined)?.status?.conditions ?? []
    const events = async (): Promise<
      readonly { reason: string; note: string; regarding: { kind: string; name: string } }[]
    > => {
      const response = await fetch(`${api.url}/apis/events.k8s.io/v1/namespaces/${me}/events`)
      return ((await response.json()) as { items: never[] }).items
    }

    /** Writes, waits until what comes after it is served, lets look, and takes it all back. */
    async function attempt(objects: readonly Manifest[], look: () => Promise<void>): Promise<void> {
      for (const one of objects) api.put(one)
      await settled()
      try {
        await look()
      } finally {
        for (const one of objects) api.remove(one)
        await settled()
      }
    }

    async function settled(): Promise<void> {
      const mark = `mark ${++marks}`
      api.put(routeTo('owner/marker', ['owner.example'], [{ name: 'm', ...answer(mark) }]))
      await eventually(async () => assert.equal(await get('owner.example'), mark))
    }

    /** What the object says of itself, of this type, has this reason and tells what to do. */
    async function says(one: Manifest, type: string, reason: string, message: RegExp): Promise<void> {
      await eventually(() => {
        const said = conditions(one).find((condition) => condition.type === type)
        assert.equal(said?.reason, reason, `${one.kind} ${one.metadata.name}: ${JSON.stringify(conditions(one))}`)
        assert.match(said?.message ?? '', message)
      })
    }

    const HOSTS: readonly (readonly [host: string, served: string])[] = [
      ['shop.example', 'owner'],
      ['SHOP.EXAMPLE', 'owner'],
      ['shop.example.', 'owner'],
      ['shop.example:81', 'owner'],
      ['a.wild.example', 'owner'],
      ['b.a.wild.example', 'owner'],
      ['pay.wild.example', 'pay'],
    ]
    const nothingStolen = async (): Promise<void> => {
      for (const [host, served] of HOSTS)
        for (const where of ['/', '/deep/er', '/deep//er', '/x/../deep', '/%64eep'])
          assert.equal(await get(host, where), served, `${host}${where}`)
    }

    for (const [what, hostname] of [
      ['the same name', 'shop.example'],
      ['a name under a wildcard', 'a.wild.example'],
      ['a name that the owner has under its wildcard', 'pay.wild.example'],
      ['a longer wildcard', '*.a.wild.example'],
      ['the same wildcard', '*.wild.example'],
    ])
      it(`takes no hostname: ${what}`, async () => {
        const one = thief(`${me}/thief`, hostname!)
        await attempt([one, thief(`${me}/second`, hostname!)], async () => {
          await nothingStolen()
          await says(one, 'Accepted', 'HostnameNotAllowed', /belongs to namespace owner.*delegates entry for namespace/)
        })
      })

    for (const hostname of [
      'SHOP.example',
      'shop.example.',
      'shop.example:80',
      'shóp.example',
      '*.*.wild.example',
      '*',
      'shop.*',
      '127.0.0.1',
    ])
      it(`takes no hostname spelt ${hostname}`, async () => {
        const one = thief(`${me}/thief`, hostname)
        await attempt([one], async () => {
          await nothingStolen()
          await says(one, 'Accepted', 'Invalid', /hostnames\[0\].*host/)
        })
      })

    it('takes no hostname by a wider wildcard, by one that only looks the same, or by none at all', async () => {
      const wider = thief(`${me}/wider`, '*.example')
      const puny = thief(`${me}/puny`, 'xn--shp-0ma.example')
      const all = thief(`${me}/all`)
      await attempt([wider, puny, all], async () => {
        await nothingStolen()
        if (!strict) return assert.equal(await get('nobody.test'), 'platform', 'the older one first')
        for (const host of ['nobody.test', 'nobody.example', 'xn--shp-0ma.example', 'x.nobody.example'])
          assert.equal(await get(host), 'platform', host)
        for (const one of [wider, puny])
          await says(
            one,
            'Accepted',
            'HostnameNotAllowed',
            /needs a grant.*under hostnames of the settings.*\*\.team\.example/,
          )
        await says(all, 'Accepted', 'HostnameNotAllowed', /the grant "\*".*or name hostnames/)
      })
    })

    it('uses what is its own, next to what is not', async () => {
      const mixed = routeTo(
        `${me}/mixed`,
        ['team.example', 'x.team.example', 'shop.example'],
        [{ name: 'a', ...answer('mine') }],
      )
      await attempt([mixed], async () => {
        assert.equal(await get('team.example'), 'mine')
        assert.equal(await get('x.team.example'), 'mine')
        await nothingStolen()
        await says(mixed, 'PartiallyInvalid', 'HostnameNotAllowed', /shop\.example/)
      })
    })

    it('takes no hostname by an Ingress', async () => {
      const objects = [
        ingressOf(`${me}/same`, 'shop.example'),
        ingressOf(`${me}/wild`, '*.a.wild.example'),
        ingressOf(`${me}/none`, undefined),
        ingressOf(`${me}/fallback`, 'pay.wild.example', {
          defaultBackend: { service: { name: 'api', port: { number: 80 } } },
        }),
      ]
      await attempt(objects, async () => {
        await nothingStolen()
        assert.equal(await get('nobody.test'), 'platform')
        await eventually(async () => {
          const said = (await events()).filter(({ reason }) => reason === 'HostnameNotAllowed')
          const names = strict ? ['same', 'wild', 'none', 'fallback'] : ['same', 'wild', 'fallback']
          for (const name of names)
            assert.match(
              said.find(({ regarding }) => regarding.name === name)?.note ?? '',
              /delegates entry|hostnames of the settings/,
              name,
            )
        })
      })
    })

    it('adds nothing as a delegate by labels that its namespace does not have, and nothing outside once it has them', async () => {
      const rules = [
        { name: 'in', ...below('/team'), ...answer('team') },
        { name: 'near', ...below('/teammates'), ...answer('stolen') },
        { name: 'regex', ...path('RegularExpression', '/.*'), ...answer('by regex') },
        { name: 'leaving', ...path('RegularExpression', '/team/../admin|/admin.*'), ...answer('by regex') },
        { name: 'dots', ...below('/team/../admin'), ...answer('stolen') },
        { name: 'encoded', ...below('/team/%2e%2e/admin'), ...answer('stolen') },
        { name: 'root', ...path('Exact', '/'), ...answer('stolen') },
      ]
      const valid = routeTo(
        `${me}/delegate`,
        ['shop.example'],
        rules.filter(({ name }) => name !== 'dots' && name !== 'encoded'),
      )
      const sly = routeTo(`${me}/sly`, ['shop.example'], rules)
      await attempt([valid, sly], async () => {
        await nothingStolen()
        assert.equal(await get('shop.example', '/team'), 'owner')
        await says(valid, 'Accepted', 'HostnameNotAllowed', /delegates entry/)
        api.put(namespaceOf(me, { tier: 'trusted' }))
        await eventually(async () => assert.equal(await get('shop.example', '/team'), 'by regex'))
        await nothingStolen()
        for (const where of ['/admin', '/teammates', '/team/../admin', '/team/%2e%2e/admin', '//admin', '/%61dmin'])
          assert.equal(await get('shop.example', where), 'owner', where)
        for (const where of ['/team%2F..%2Fadmin', '/team/..;/admin', '/team/..%5cadmin', '/team/%252e%252e/admin'])
          assert.equal(await get('shop.example', where), '400', where)
        await says(valid, 'PartiallyInvalid', 'PathNotDelegated', /rule near.*is not below \/team/)
        api.put(namespaceOf(me, { tier: 'untrusted' }))
        await eventually(async () => assert.equal(await get('shop.example', '/team'), 'owner'))
        api.put(namespaceOf(me, { tier: 'trusted' }))
        await eventually(async () => assert.equal(await get('shop.example', '/team'), 'by regex'))
        // One that is not known any more is let in nowhere.
        api.remove(namespaceOf(me, {}))
        await eventually(async () => assert.equal(await get('shop.example', '/team'), 'owner'))
      })
      api.put(namespaceOf(me, {}))
    })

    it('reaches no Backend and no Service of another namespace by its name', async () => {
      const refs = [
        { name: 'private', namespace: 'owner' },
        { name: 'private' },
        { service: { name: 'private', port: 'http' } },
      ]
      const ref = routeTo(
        `${me}/refs`,
        ['team.example'],
        refs.map((one, i) => ({ name: `r${i}`, ...below(`/r${i}`), backendRefs: [one] })),
      )
      await attempt([ref], async () => {
        for (const i of refs.keys()) assert.equal(await get('team.example', `/r${i}`), '500')
        await says(
          ref,
          'ResolvedRefs',
          'BackendNotAllowed',
          /owner\/private does not allow.*allowedNamespaces must name it/,
        )
      })
    })

    it('confuses no key by names that hold what keys are made of', async () => {
      // An API server takes none of these; neither does the door.
      for (const name of [
        'ingress:web:a.example',
        '~ingress:web',
        'a/b',
        '../owner',
        'x\0y',
        'x%2Fy',
        'x y',
        'UPPER',
        '',
      ])
        for (const namespace of [me, `${me}/x`, `${me}:x`])
          assert.equal(VALIDATOR.check('Route', made('Route', `${namespace}/${name}`, {})).ok, false, name)
      const backends = [
        { service: { name: 'owner/private:80', port: 'http' } },
        { service: { name: 'private', port: '80/owner:http' } },
        { name: '../owner/private' },
        { name: 'service:owner/private:http' },
        { name: 'private', namespace: 'owner/' },
      ]
      const refs = backends.map((one, i) =>
        routeTo(`${me}/ref${i}`, ['team.example'], [{ name: 'x', backendRefs: [one] }]),
      )
      const resource = { resource: { apiGroup: 'headgate.dev', kind: 'Backend', name: '../owner/private' } }
      const byIngress = made(
        'Ingress',
        `${me}/slashes`,
        {
          defaultBackend: resource,
          rules: [
            {
              host: 'y.team.example',
              http: {
                paths: [
                  { path: '/a', pathType: 'Prefix', backend: resource },
                  {
                    path: '/b',
                    pathType: 'Prefix',
                    backend: { service: { name: 'owner/private', port: { name: 'a:b/c' } } },
                  },
                  {
                    path: '/c',
                    pathType: 'Prefix',
                    backend: { service: { name: 'x,metadata.namespace=owner', port: { number: 80 } } },
                  },
                ],
              },
            },
          ],
        },
        'networking.k8s.io/v1',
      )
      await attempt([...refs, byIngress], async () => {
        await nothingStolen()
        assert.match(await get('team.example'), /^404$|^500$|platform/)
        for (const where of ['/a', '/b', '/c']) assert.equal(await get('y.team.example', where), '500')
        for (const one of refs) await says(one, 'Accepted', 'Invalid', /backendRefs/)
        for (const { query } of api.asked)
          for (const selector of [query.get('fieldSelector'), query.get('labelSelector')])
            assert.doesNotMatch(selector ?? '', /[ ,/]owner|,/)
      })
    })

    const FORBIDDEN = [
      ['127.0.0.1', 80, /loopback/],
      ['127.8.8.8', 80, /loopback/],
      ['::1', 80, /loopback/],
      ['169.254.169.254', 80, /link-local/],
      ['::ffff:169.254.169.254', 80, /link-local/],
      ['::169.254.169.254', 80, /link-local/],
      ['64:ff9b::a9fe:a9fe', 80, /link-local/],
      ['64:ff9b:1::a9fe:a9fe', 80, /link-local/],
      ['2002:a9fe:a9fe::1', 80, /link-local/],
      ['fe80::1', 80, /link-local/],
      ['100.100.100.200', 80, /cloud/],
      ['fd00:ec2::254', 80, /cloud/],
      ['0.0.0.0', 80, /unspecified/],
      ['::', 80, /unspecified/],
      ['224.0.0.1', 80, /multicast/],
      ['10.96.0.1', 443, /API server/],
      ['64:ff9b::10.96.0.1', 443, /API server/],
      ['10.1.2.3', 10_250, /kubelet/],
      ['10.1.2.3', 10_255, /kubelet/],
    ] as const

    it('dials no address that is nobody’s to reach, and says of each why', async () => {
      const backends = FORBIDDEN.map(([address, port], i) =>
        made('Backend', `${me}/t${i}`, { endpoints: [{ address, port }] }),
      )
      const rules = FORBIDDEN.map((_, i) => ({ name: `t${i}`, ...below(`/t${i}`), backendRefs: [{ name: `t${i}` }] }))
      const routes = [0, 1, 2].map((i) => routeTo(`${me}/t${i}`, ['team.example'], rules.slice(i * 8, i * 8 + 8)))
      await attempt([...backends, ...routes], async () => {
        for (const [i, [address, , why]] of FORBIDDEN.entries()) {
          const valid = VALIDATOR.check('Backend', backends[i]).ok
          assert.equal(await get('team.example', `/t${i}`), valid ? '503' : '500', address)
          if (!valid) await says(backends[i]!, 'Accepted', 'Invalid', /an address is 10\.0\.0\.7/)
          else if (strict)
            await says(
              backends[i]!,
              'ResolvedRefs',
              'AddressNotAllowed',
              /upstreams\.externalTargets.*namespace a-team/,
            )
          else await says(backends[i]!, 'Healthy', 'AddressNotAllowed', why)
        }
      })
    })

    it('spells no address in a way that only one side understands', async () => {
      const odd = [
        '2852039166',
        '0xa9fea9fe',
        '0251.0376.0251.0376',
        '169.254.43518',
        '127.1',
        '0',
        'fe80::1%lo',
        '[::1]',
        '169.254.169.254:80',
        'LOCALHOST',
        'a b',
      ]
      const backends = odd.map((address, i) => made('Backend', `${me}/o${i}`, { endpoints: [{ address, port: 80 }] }))
      await attempt(backends, async () => {
        for (const one of backends) await says(one, 'Accepted', 'Invalid', /an address is 10\.0\.0\.7/)
      })
    })

    it('reaches none of them by a name, an ExternalName Service or slices of its own', async () => {
      const viaService = (name: string) => [{ service: { name, port: 80 } }]
      const objects = [
        made('Backend', `${me}/by-name`, { endpoints: [{ address: 'localhost', port: 80 }] }),
        serviceOf(`${me}/external`, { type: 'ExternalName', externalName: 'localhost' }),
        serviceOf(`${me}/external-ip`, { type: 'ExternalName', externalName: '169.254.169.254' }),
        serviceOf(`${me}/written`, {}),
        slice(`${me}/written`, 'written', '169.254.169.254'),
        serviceOf(`${me}/forged`, { selector: { app: 'x' } }),
        slice(`${me}/forged`, 'forged', '10.96.0.1', { targetRef: { kind: 'Pod', name: 'x', namespace: me } }),
        routeTo(
          `${me}/names`,
          ['team.example'],
          [{ name: 'n', ...below('/by-name'), backendRefs: [{ name: 'by-name' }] }].concat(
            ['external', 'external-ip', 'written', 'forged'].map((name) => ({
              name,
              ...below(`/${name}`),
              backendRefs: viaService(name) as never,
            })),
          ),
        ),
      ]
      await attempt(objects, async () => {
        // The Service is read when the Route that names it has come.
        for (const name of ['by-name', 'external', 'external-ip', 'written', 'forged'])
          await eventually(async () => assert.equal(await get('team.example', `/${name}`), '503', name))
        if (!strict)
          return says(objects[0]!, 'Healthy', 'AddressNotAllowed', /(127\.0\.0\.1|::1) port 80 is a loopback/)
        await says(objects[0]!, 'ResolvedRefs', 'AddressNotAllowed', /localhost:80 may not be used/)
        await says(
          objects.at(-1)!,
          'ResolvedRefs',
          'AddressNotAllowed',
          /rule external: localhost:80 may not be used.*upstreams\.externalTargets/,
        )
      })
    })

    it('reaches what the settings give it, and in Strict nothing more', async () => {
      const one = made('Backend', `${me}/given`, {
        endpoints: [
          { address: '198.51.100.7', port: 80 },
          { address: '198.51.100.9', port: 80 },
        ],
      })
      await attempt([one], async () => {
        await says(one, 'Healthy', 'Healthy', strict ? /1 of 1/ : /2 of 2/)
        if (strict) await says(one, 'ResolvedRefs', 'AddressNotAllowed', /198\.51\.100\.9:80 may not be used/)
      })
    })

    if (strict)
      it('steals nothing between a deletion and what is created again, nor by a restart of ours', async () => {
        let year = 2001
        const created = (one: Manifest): Manifest => {
          Object.assign(one.metadata, { creationTimestamp: `${year++}-01-01T00:00:00Z` })
          return one
        }
        const mine = (name: string) =>
          created(routeTo(`owner/${name}`, ['x.owner.example'], [{ name: 'a', ...answer(name) }]))
        api.put(mine('first'))
        await eventually(async () => assert.equal(await get('x.owner.example'), 'first'))
        // Granted both, and older than everything that comes later.
        const waiting = created(thief('platform/waiting', 'x.owner.example', '*.owner.example'))
        const byIngress = created(ingressOf('platform/waiting', 'x.owner.example'))
        api.put(waiting)
        api.put(byIngress)
        await settled()
        assert.equal(await get('x.owner.example'), 'first')
        assert.equal(await get('y.owner.example'), 'stolen', 'the wildcard is its own')
        // Somebody waits for it, so whose it is is written down before anything happens to it.
        await eventually(() => assert.ok(isRecorded(api.get(KEPT), 'x.owner.example')))
        api.remove(mine('first'))
        await eventually(async () => assert.equal(await get('x.owner.example'), '404'))
        await says(
          waiting,
          'PartiallyInvalid',
          'HostnameNotAllowed',
          /x\.owner\.example is kept for namespace owner.*hostnameHold/,
        )
        await restart()
        assert.equal(await get('x.owner.example'), '404', 'another process knows of it, too')
        // Nobody sees this deletion, and all is created anew in another order.
        api.put(mine('first'))
        await eventually(async () => assert.equal(await get('x.owner.example'), 'first'))
        await restart(() => {
          const young = mine('restored')
          api.remove(mine('first'))
          api.put(young)
        })
        await eventually(async () => assert.equal(await get('x.owner.example'), 'restored'))
        api.remove(mine('restored'))
        await eventually(async () => assert.equal(await get('x.owner.example'), '404'))
        // Younger than what waits.
        api.put(mine('second'))
        await eventually(async () => assert.equal(await get('x.owner.example'), 'second'))
        api.put(routeTo('owner/second', ['edit.wild.example'], [{ name: 'a', ...answer('second') }]))
        await eventually(async () => assert.equal(await get('edit.wild.example'), 'second'))
        assert.equal(await get('x.owner.example'), '404', 'an edit is a deletion, too')
        api.remove(routeTo('owner/second', [], []))
        api.put(mine('third'))
        await eventually(async () => assert.equal(await get('x.owner.example'), 'third'))
        await settled()
        assert.equal(await get('x.owner.example'), 'third')
        for (const one of [mine('third'), waiting, byIngress]) api.remove(one)
        await settled()
      })

    it('is not told whether a Secret of another namespace exists, and shows none of them', async () => {
      const data = { 'tls.crt': '', 'tls.key': '' }
      const metadata = { name: 'cert', namespace: 'owner' }
      api.put({ apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls', data } as unknown as Manifest)
      const naming = (name: string, host: string) =>
        routeTo(`${me}/${name}`, [host], [{ name: 'a', ...answer('open') }], {
          tls: { certificates: [{ secretName: name, namespace: 'owner' }] },
        })
      const objects = [naming('cert', 'x.team.example'), naming('none', 'z.team.example')]
      await attempt(objects, async () => {
        for (const one of objects)
          await says(
            one,
            'ResolvedRefs',
            'SecretNotAllowed',
            new RegExp(`^there is no Secret owner/${one.metadata.name} that is shared with namespace ${me}`),
          )
      })
    })

    it('has ended nothing and is told nothing that is another’s', async () => {
      assert.doesNotMatch(
        gateway.processLog.join('\n'),
        /stopped responding|restarting it|a rebuild failed|failed in a way nobody expected/,
      )
      await nothingStolen()
    })
  })
